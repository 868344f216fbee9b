"""Damaged files: whatever is changed in one, it is refused in one line, or the file reads as it was."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Image, build, epoch, plain

from randwire.data import Batching, Dataset, Loader, beton, prepare
from randwire.data.sources import Mode
from randwire.errors import DataError

COUNT = 40


def _images() -> list[Image]:
    stream = np.random.default_rng(0)
    smooth = stream.integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
    return [np.kron(image, np.ones((12, 12, 1), np.uint8)) for image in smooth]


@pytest.fixture(scope="module", params=["jpg", "raw"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    mode: Mode = request.param
    return build(tmp_path_factory.mktemp(mode) / "set", _images(), _images()[:5], mode)


def _flip(content: bytearray, stream: np.random.Generator, offset: int) -> None:
    content[offset] ^= 1 << stream.integers(8)


def _overwrite(content: bytearray, stream: np.random.Generator, offset: int) -> None:
    length = int(stream.integers(1, 5000))
    length = len(content[offset : offset + length])
    content[offset : offset + length] = stream.bytes(length) if stream.random() < 0.5 else bytes(length)


def _cut(content: bytearray, stream: np.random.Generator, offset: int) -> None:
    del content[offset:]


def _remove(content: bytearray, stream: np.random.Generator, offset: int) -> None:
    del content[offset : offset + int(stream.integers(1, 100))]


def _insert(content: bytearray, stream: np.random.Generator, offset: int) -> None:
    content[offset:offset] = stream.bytes(int(stream.integers(1, 100)))


def _exchange(content: bytearray, stream: np.random.Generator, offset: int) -> None:
    other, length = int(stream.integers(len(content))), int(stream.integers(1, 3000))
    length = min(length, len(content) - max(offset, other))
    piece = content[offset : offset + length]
    content[offset : offset + length] = content[other : other + length]
    content[other : other + length] = piece


CHANGES: tuple[Callable[[bytearray, np.random.Generator, int], None], ...] = (
    _flip, _flip, _flip, _overwrite, _cut, _remove, _insert, _exchange
)  # fmt: skip


def _read(dataset: Dataset) -> tuple[bytes, list[int]]:
    config = plain(dataset.folder, resolution=24)
    with closing(Loader(prepare(config), "train", config, Batching(batch_size=COUNT))) as loader:
        [(images, labels)] = epoch(loader)
    return images.tobytes(), labels


def test_every_change_is_refused_or_harmless(dataset: Dataset) -> None:
    path: Path = dataset.file("train")
    whole, expected = path.read_bytes(), _read(dataset)
    stream = np.random.default_rng(1)
    table = np.fromfile(path, beton.ALLOCATION, COUNT, offset=len(whole) - COUNT * beton.ALLOCATION.itemsize)
    end = int((table["offset"] + table["size"]).max())
    first = int(table["offset"].min())
    regions = [(0, beton.START), (beton.START, beton.START + 32 * COUNT), (first, end), (first, end),
               (len(whole) - 24 * COUNT, len(whole))]  # fmt: skip
    messages = []
    for number in range(400):
        content = bytearray(whole)
        low, high = regions[number % len(regions)]
        CHANGES[number % len(CHANGES)](content, stream, int(stream.integers(low, high)))
        path.write_bytes(content)
        try:
            content_read = _read(dataset)
        except DataError as error:
            messages.append(str(error))
        else:
            assert content_read == expected, number
    path.write_bytes(whole)
    assert _read(dataset) == expected
    assert len(messages) > 300  # the others: arguments of fields, unused bytes, changes that changed nothing
    for message in messages:
        assert message.startswith(f"{path}: ")
        assert "\n" not in message


@pytest.mark.parametrize("threads", [1, 2])
def test_one_bit_of_any_image_is_enough(dataset: Dataset, threads: int) -> None:
    path = dataset.file("val")
    whole = path.read_bytes()
    table = np.fromfile(path, beton.ALLOCATION, 5, offset=len(whole) - 5 * beton.ALLOCATION.itemsize)
    config = plain(dataset.folder, resolution=24)
    for row in table:
        for offset in (row["offset"], row["offset"] + row["size"] // 2, row["offset"] + row["size"] - 1):
            content = bytearray(whole)
            content[int(offset)] ^= 4
            path.write_bytes(content)
            with (
                closing(Loader(prepare(config), "val", config, Batching(batch_size=2, threads=threads))) as loader,
                pytest.raises(DataError, match=rf"val\.beton: image {row['sample']} is damaged"),
            ):
                epoch(loader)
    path.write_bytes(whole)


def test_a_stored_file_that_is_no_jpeg_is_refused(tmp_path: Path) -> None:
    """Its checksum is right: only the decoder can tell."""
    dataset = build(tmp_path / "set", _images(), _images(), "jpg")
    content = b"\xff\xd8\xff" + bytes(200)
    with open(dataset.file("val"), "wb") as file:
        image = beton.StoredImage(content, True, 48, 48, 0, beton.checksum(content), "no picture")
        beton.write(file, [image] * COUNT, COUNT)
    config = plain(dataset.folder, resolution=24)
    with (
        closing(Loader(dataset, "val", config, Batching(batch_size=2))) as loader,
        pytest.raises(DataError, match="image 0 is damaged"),
    ):
        epoch(loader)
