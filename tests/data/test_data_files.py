"""The file format, the check of files, and `prepare`: FFCV reads what is written, damage is refused in one line."""

import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from unittest import mock

import numba.typed
import numpy as np
import pytest
import torch
from data_helpers import augmented, build, epoch, identity, noise, plain

from randwire.config import DataConfig
from randwire.data import Batching, Dataset, Loader, beton, class_count, prepare
from randwire.errors import DataError

COUNT = 23
TABLE = COUNT * beton.ALLOCATION.itemsize


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANDWIRE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def ffcv() -> Iterator[None]:
    """FFCV may be imported, without 4 s of compiling a typed dictionary, and leaves torch's threads as they are."""
    threads = torch.get_num_threads()
    with mock.patch.object(numba.typed, "Dict", dict):
        import ffcv.reader  # noqa: F401
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return build(tmp_path / "set", noise(COUNT), noise(5))


def _fails(config: DataConfig, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare(config)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# The format


@pytest.mark.usefixtures("ffcv")
def test_the_types_are_those_of_ffcv() -> None:
    from ffcv import types
    from ffcv.fields import IntField, RGBImageField

    rows = types.get_metadata_type([RGBImageField(), IntField(), IntField()])
    for ours, theirs in (
        (beton.HEADER, types.HeaderType),
        (beton.FIELD, types.FieldDescType),
        (beton.ALLOCATION, types.ALLOC_TABLE_TYPE),
        (beton.SAMPLE, rows),
        (beton.IMAGE, rows["f0"]),
    ):
        assert ours.itemsize == theirs.itemsize
        assert _offsets(ours) == _offsets(theirs)
    assert types.CURRENT_VERSION == beton.VERSION


def _offsets(record: np.dtype) -> list[int]:
    assert record.names is not None
    assert record.fields is not None
    return [record.fields[name][1] for name in record.names]


@pytest.mark.usefixtures("ffcv")
def test_ffcv_reads_what_is_written(dataset: Dataset) -> None:
    from ffcv.memory_managers import OSCacheManager
    from ffcv.reader import Reader

    reader = Reader(str(dataset.file("train")))
    assert reader.field_names == ["image", "label", "checksum"]
    assert [type(handler).__name__ for handler in reader.handlers.values()] == ["RGBImageField", "IntField", "IntField"]
    assert reader.metadata["f1"].tolist() == [i % 10 for i in range(COUNT)]
    content = np.fromfile(dataset.file("train"), np.uint8)
    sizes = OSCacheManager(reader).ptr_to_size
    for row, image in zip(reader.metadata["f0"], noise(COUNT), strict=True):
        start = row["data_ptr"]
        assert np.array_equal(content[start : start + sizes[start]].reshape(16, 16, 3), image)
    with open(dataset.file("train"), "rb") as file:
        tables = beton.read_tables(file, COUNT)
    assert tables.page_bytes == reader.page_size
    assert tables.labels.tolist() == reader.metadata["f1"].tolist()
    assert tables.checksums.tolist() == reader.metadata["f2"].tolist()
    assert tables.images.tolist() == reader.metadata["f0"].tolist()
    assert tables.sizes.tolist() == [sizes[start] for start in reader.metadata["f0"]["data_ptr"]]


def test_the_checksum_of_the_writer_is_that_of_the_decoder() -> None:
    from randwire.data.decoder import _checksum

    stream = np.random.default_rng(0)
    for size in [*range(1, 40), 1000, 4097]:
        content = stream.integers(0, 256, size, np.uint8)
        data = np.concatenate([np.zeros(16, np.uint8), content, stream.integers(0, 256, 8, np.uint8)])
        data = data[: len(data) // 8 * 8] if size % 8 == 0 else data
        assert _checksum(data, 16, size) == beton.checksum(content.tobytes())
        content[stream.integers(size)] ^= 1 << stream.integers(8)
        assert _checksum(data, 16, size) != beton.checksum(content.tobytes())
    assert beton.checksum(bytes(7)) == beton.checksum(bytes(8)) != beton.checksum(bytes(16))  # sizes are in the tables


@pytest.mark.usefixtures("ffcv")
def test_what_ffcv_writes_is_foreign(tmp_path: Path, dataset: Dataset) -> None:
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter

    samples = [(image, i % 10) for i, image in enumerate(noise(COUNT))]
    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    path = dataset.file("train")
    DatasetWriter(str(path), fields, page_size=1 << 21, num_workers=1).from_indexed_dataset(samples)
    _fails(plain(dataset.folder), "its fields are not `image` (RGB), `label` and `checksum` (int)")


def test_images_do_not_cross_pages(tmp_path: Path) -> None:
    images = noise(9, 500, 500)  # 750,000 bytes: two a page
    dataset = build(tmp_path / "set", images, images[:1])
    assert dataset.file("train").stat().st_size > 5 * beton.PAGE_BYTES
    with closing(Loader(dataset, "train", plain(resolution=500), Batching(batch_size=9))) as loader:
        [(pixels, _)] = epoch(loader)
    assert np.array_equal(pixels.transpose(0, 2, 3, 1), np.stack(images)[identity(pixels)])


def test_too_large_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train image 0: 1000x1000 pixels take 3000000 bytes.*--max-side"):
        build(tmp_path / "set", noise(1, 1000, 1000), noise(1))
    assert list(tmp_path.iterdir()) == []


def test_mean_and_std_are_those_of_the_training_pixels(dataset: Dataset) -> None:
    pixels = np.stack(noise(COUNT)).reshape(-1, 3)
    assert dataset.mean == pytest.approx(pixels.mean(axis=0), abs=1e-5)
    assert dataset.std == pytest.approx(pixels.std(axis=0), abs=1e-5)
    assert dataset.sizes == {"train": COUNT, "val": 5}
    assert dataset.classes == tuple("0123456789")


# Damage


def _edit(offset: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into(form, content, offset, value)


def _cut(keep: Callable[[int], int]) -> Callable[[bytearray], None]:
    def cut(content: bytearray) -> None:
        del content[keep(len(content)) :]

    return cut


def _add(content: bytearray) -> None:
    content.append(0)


def _repeat_sample(content: bytearray) -> None:
    content[-48:-40] = content[-24:-16]


FIELDS, ROWS = beton.HEADER.itemsize, beton.START
LAST = -beton.ALLOCATION.itemsize
DAMAGE: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "empty": (_cut(lambda size: 0), "do not hold a header"),
    "header only": (_cut(lambda size: 24), "do not hold a header"),
    "half": (_cut(lambda size: size // 2), "cut"),
    "one byte less": (_cut(lambda size: size - 1), "cut"),
    "one row less": (_cut(lambda size: size - 24), "cut"),
    "half the table": (_cut(lambda size: size - TABLE // 2), "cut"),
    "no table": (_cut(lambda size: size - TABLE), "cut"),
    "one byte more": (_add, "damaged"),
    "version": (_edit(0, "<H", 1), "not a .beton file of version 2"),
    "field count": (_edit(2, "<H", 2), "fields"),
    "page size 0": (_edit(4, "<I", 0), "page size"),
    "page size odd": (_edit(4, "<I", 3 << 20), "page size"),
    "twice the samples": (_edit(8, "<Q", 2 * COUNT), f"holds {2 * COUNT} images, dataset.json says {COUNT}"),
    "absurd samples": (_edit(8, "<Q", 1 << 60), "images"),
    "unfinished": (_edit(16, "<Q", 0), "unfinished"),
    "table far away": (_edit(16, "<Q", 1 << 62), "damaged"),
    "table in metadata": (_edit(16, "<Q", 2048), "impossible offset"),
    "field type": (_edit(FIELDS, "<B", 4), "fields"),
    "field name": (_edit(FIELDS + 1, "<B", ord("x")), "fields"),
    "image mode": (_edit(ROWS, "<B", 7), "neither raw nor jpg"),
    "image width": (_edit(ROWS + 1, "<H", 17), "size of its pixels"),
    "image shape": (_edit(ROWS + 1, "<I", 64 | 4 << 16), "more than 16 on a side"),
    "image height 0": (_edit(ROWS + 3, "<H", 0), "size of its pixels"),
    "image offset": (_edit(ROWS + 5, "<Q", 1), "disagree"),
    "label too large": (_edit(ROWS + 16, "<q", 10), "labels 0 to 10, dataset.json knows 10 classes"),
    "label negative": (_edit(ROWS + 16, "<q", -1), "labels -1 to 9"),
    "sample twice": (_repeat_sample, "every image once"),
    "allocation outside": (_edit(LAST + 8, "<Q", 1 << 63), "outside the pages"),
    "allocation in metadata": (_edit(LAST + 8, "<Q", 100), "outside the pages"),
    "allocation of nothing": (_edit(LAST + 16, "<Q", 0), "outside the pages"),
    "allocation too long": (_edit(LAST + 16, "<Q", (1 << 21) - 5), "border of a page"),
    "label exchanged": (_edit(ROWS + 16, "<q", 5), "its tables are not those that dataset.json describes"),
    "checksum": (_edit(ROWS + 24, "<q", 5), "its tables are not those that dataset.json describes"),
    "allocation endless": (_edit(LAST + 16, "<Q", (1 << 64) - 1), "outside the pages"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_one_line(dataset: Dataset, damage: str) -> None:
    edit, reason = DAMAGE[damage]
    content = bytearray(dataset.file("train").read_bytes())
    if damage.startswith("allocation") or damage == "sample twice":
        tail = content[-TABLE:]
        edit(tail)
        content[-TABLE:] = tail
    else:
        edit(content)
    dataset.file("train").write_bytes(content)
    _fails(plain(dataset.folder), str(dataset.file("train")), reason, "convert the data again")


def test_random_damage_of_the_tables_is_found_or_harmless(dataset: Dataset) -> None:
    path = dataset.file("train")
    whole = path.read_bytes()
    stream = np.random.default_rng(0)
    offsets = [*range(beton.HEADER.itemsize), *range(beton.START, beton.START + COUNT * 24)]
    offsets += range(len(whole) - TABLE, len(whole))
    refused = 0
    for offset in stream.choice(offsets, 300, replace=False):
        content = bytearray(whole)
        content[offset] ^= 1 << stream.integers(8)
        path.write_bytes(content)
        try:
            prepare(plain(dataset.folder))
        except DataError:
            refused += 1
            continue
        with closing(Loader(dataset, "train", plain(), Batching(batch_size=COUNT))) as loader, suppress(DataError):
            epoch(loader)  # padding, another label, or raw pixels called a jpg
    assert refused > 150


def test_a_folder_in_place_of_a_file(dataset: Dataset) -> None:
    dataset.file("val").unlink()
    _fails(plain(dataset.folder), "val.beton: missing")
    dataset.file("val").mkdir()
    _fails(plain(dataset.folder), "val.beton: missing")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": "mnist"}, "holds mnist, not digits"),
        ({"format": 1}, "format"),
        ({"format": None}, "format"),
        ({"sizes": {"train": COUNT + 1, "val": 5}}, f"holds {COUNT} images, dataset.json says {COUNT + 1}"),
        ({"sizes": {"train": COUNT}}, "does not describe val"),
        ({"files": {}}, "does not describe train"),
        ({"classes": ["0", "1"]}, "2 classes, digits has 10"),
        ({"mean": [1, 2]}, "mean"),
        ({"extra": 1}, "extra"),
        (
            {"files": {f"{s}.beton": {"bytes": 1, "sha256": "", "tables_sha256": ""} for s in ("train", "val")}},
            "its tables are not those",
        ),
    ],
)
def test_a_foreign_sidecar_is_refused_in_one_line(dataset: Dataset, change: dict[str, object], reason: str) -> None:
    path = dataset.folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    _fails(plain(dataset.folder), reason)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_broken_sidecar_is_refused_in_one_line(dataset: Dataset, content: bytes) -> None:
    (dataset.folder / "dataset.json").write_bytes(content)
    _fails(plain(dataset.folder), "dataset.json")


def test_a_file_that_vanishes_before_it_is_opened(dataset: Dataset) -> None:
    dataset.file("train").unlink()
    with pytest.raises(DataError, match=r"train\.beton: cannot be opened"):
        Loader(dataset, "train", plain(), Batching(batch_size=1))


# Where the data is


def test_nothing_there_names_the_command(tmp_path: Path, cache: Path) -> None:
    mnist = plain().model_copy(update={"source": "mnist"})
    _fails(mnist, f"`python -m randwire.data.convert mnist INPUT {cache / 'mnist'}`")
    _fails(plain(tmp_path / "none"), f"`python -m randwire.data.convert digits {tmp_path / 'none'}`")
    assert not (tmp_path / "none").exists()


def test_digits_are_converted_into_the_cache(cache: Path) -> None:
    dataset = prepare(plain(), threads=2)
    assert dataset.folder == cache / "digits"
    assert dataset.sizes == {"train": 1437, "val": 360}
    assert {path.name for path in cache.iterdir()} == {"digits", ".digits.lock"}
    stamps = [path.stat().st_mtime_ns for path in sorted(dataset.folder.iterdir())]
    assert prepare(plain()) == dataset
    assert [path.stat().st_mtime_ns for path in sorted(dataset.folder.iterdir())] == stamps


def test_leftovers_in_the_cache_are_replaced(cache: Path) -> None:
    (cache / "digits").mkdir(parents=True)
    (cache / "digits" / "train.beton").write_bytes(b"half")
    assert prepare(plain()).sizes["val"] == 360


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RANDWIRE_CACHE", str(tmp_path / "file"))
    _fails(plain(), "cannot be written", "RANDWIRE_CACHE")


PREPARE = """
from randwire.config import DataConfig
from randwire.data import prepare
print("ready", flush=True)
stat = prepare(DataConfig(source="digits")).file("train").stat()
print(stat.st_ino, stat.st_mtime_ns)
"""


def test_concurrent_processes_convert_once(cache: Path) -> None:
    cache.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with open(cache / ".digits.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes = [
            subprocess.Popen([sys.executable, "-c", PREPARE], stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        assert not (cache / "digits").exists()
    outputs = {process.communicate(timeout=100)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    stat = (cache / "digits" / "train.beton").stat()
    assert outputs == {f"{stat.st_ino} {stat.st_mtime_ns}\n"}
    assert {path.name for path in cache.iterdir()} == {"digits", ".digits.lock"}


def test_a_file_exchanged_after_the_check_is_not_trusted(tmp_path: Path, dataset: Dataset) -> None:
    other = build(tmp_path / "other", noise(COUNT - 1), noise(5))
    other.file("train").rename(dataset.file("train"))
    with pytest.raises(DataError, match=f"{COUNT - 1} images, not {COUNT}"):
        Loader(dataset, "train", plain(), Batching(batch_size=1))


def test_class_count_needs_no_data() -> None:
    for source, count in (("digits", 10), ("mnist", 10), ("imagenet", 1000)):
        assert class_count(augmented(Path("nowhere")).model_copy(update={"source": source})) == count
