"""Images of the training split that choose: which they are, and that training never sees them."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from data_helpers import augmented, build, epoch, identity, noise, plain

from randwire import data
from randwire.config import DataConfig
from randwire.data import Batching, Dataset, Loader, beton
from randwire.data import loader as module
from randwire.data.holdout import held_out
from randwire.errors import DataError

TRAIN, VAL = 103, 61

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("sets") / "noise", noise(TRAIN), noise(VAL, seed=1))


def _holding(config: DataConfig, holdout: int, seed: int = 0, **changes: object) -> DataConfig:
    return config.model_copy(update={"holdout": holdout, "holdout_seed": seed, **changes})


def _batches(dataset: Dataset, split: Any, config: DataConfig, number: int = 0, **options: Any) -> Any:
    with closing(Loader(dataset, split, config, Batching(**{"batch_size": 8, **options}))) as loader:
        batches = epoch(loader, number)
        assert len(batches) == len(loader)
    return batches


def _numbers(batches: Any) -> list[int]:
    return [number for images, _ in batches for number in identity(images)]


# Which images are held out.


@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_every_class_gives_its_share(seed: int) -> None:
    """Exactly the method of the largest remainder, over classes of any sizes and any number of images."""
    for stream in map(np.random.default_rng, range(20)):
        labels = np.repeat(np.arange(9), stream.integers(2, 60, 9))
        stream.shuffle(labels)
        sizes = np.bincount(labels)
        for count in (1, 7, 8, len(labels) // 3, len(labels) // 2):
            chosen = held_out(labels, count, seed)
            assert len(set(chosen.tolist())) == len(chosen) == count
            assert chosen.tolist() == sorted(chosen.tolist())
            quotas = [Fraction(int(size) * count, len(labels)) for size in sizes]
            whole = [int(quota) for quota in quotas]
            up = sorted(range(9), key=lambda label: (whole[label] - quotas[label], label))[: count - sum(whole)]
            expected = [number + (label in up) for label, number in enumerate(whole)]
            assert np.bincount(labels[chosen], minlength=9).tolist() == expected


def test_a_class_keeps_an_image_as_long_as_another_has_more() -> None:
    labels = np.array([0] + [1] * 100 + [2] * 100)
    for count in range(1, 199):
        assert 0 not in held_out(labels, count, 0)
    assert [len(held_out(labels, count, 0)) for count in (199, 200)] == [199, 200]
    assert len(held_out(np.array([0, 2, 5, 9]), 3, 0)) == 3, "labels without images, and one image for each other"


def test_they_are_the_same_for_ever() -> None:
    """Records name them by number and seed alone: another order of the same images would be another experiment."""
    labels = np.arange(60) % 4
    assert held_out(labels, 9, 0).tolist() == FROZEN[0]
    assert held_out(labels, 9, 7).tolist() == FROZEN[7]


FROZEN = {0: [2, 3, 11, 13, 20, 32, 46, 48, 53], 7: [6, 21, 23, 24, 32, 37, 46, 52, 55]}


def test_seeds_choose_without_preference() -> None:
    """Over seeds, each image is held out as often as its share says (Pearson's test, 59 degrees of freedom)."""
    labels, seeds = np.arange(60) % 4, 2000
    times = np.bincount(np.concatenate([held_out(labels, 20, seed) for seed in range(seeds)]), minlength=60)
    expected = seeds * 20 / 60
    statistic = ((times - expected) ** 2 / expected).sum() / (1 - 20 / 60)
    assert 28 < statistic < 104, "outside of it, less than one in a thousand"


# What is read of them.


@pytest.mark.parametrize("order", ["random", "quasi-random"])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize(("holdout", "seed"), [(1, 0), (10, 0), (10, 5), (52, 1)])
def test_no_image_is_in_both_parts_of_a_split(
    dataset: Dataset, order: str, world: int, holdout: int, seed: int
) -> None:
    config = _holding(plain(dataset.folder, resolution=16), holdout, seed, order=order)
    chosen: list[int] = []
    epochs: list[list[int]] = [[], []]
    for rank in range(world):
        options = {"batch_size": 1, "rank": rank, "world_size": world}
        chosen += _numbers(_batches(dataset, "holdout", config, **options))
        for number, seen in enumerate(epochs):
            seen += _numbers(_batches(dataset, "train", config, number, seed=number, **options))
    assert sorted(chosen) == held_out(np.arange(TRAIN) % 10, holdout, seed).tolist(), "each once over all ranks"
    for seen in epochs:
        assert len(seen) == len(set(seen)) == (TRAIN - holdout) // world * world
        assert not set(seen) & set(chosen)
        assert set(seen) | set(chosen) <= set(range(TRAIN))


def test_quasi_random_order_reads_the_pages_of_what_it_trains_on(tmp_path: Path) -> None:
    """48 images of 600,000 bytes: three a page, 16 pages, and parts of four."""
    images = [np.full((400, 500, 3), index, np.uint8) for index in range(48)]
    dataset = build(tmp_path / "set", images, images[:1])
    config = _holding(plain(dataset.folder, resolution=8), 12, order="quasi-random")
    with mock.patch.object(module, "PART_BYTES", 4 * beton.PAGE_BYTES):
        batches = _batches(dataset, "train", config, batch_size=6, seed=3)
    seen = [int(pixel) for images, _ in batches for pixel in images[:, 0, 0, 0]]
    assert sorted(seen) == sorted(set(range(48)) - set(held_out(np.arange(48) % 10, 12, 0).tolist()))
    assert seen != sorted(seen)
    assert max(len({number // 3 for number in seen[start : start + 6]}) for start in range(0, 36, 6)) <= 5


def test_they_are_cropped_as_in_evaluation(tmp_path: Path) -> None:
    images = noise(40, 24, 40)
    dataset = build(tmp_path / "set", images, images)
    config = _holding(augmented(dataset.folder), 11)
    held = _batches(dataset, "holdout", config)
    chosen = held_out(np.arange(40) % 10, 11, 0)
    val = np.concatenate([pixels for pixels, _ in _batches(dataset, "val", config)])
    assert np.array_equal(np.concatenate([pixels for pixels, _ in held]), val[chosen])
    assert [label for _, labels in held for label in labels] == (chosen % 10).tolist()
    assert len(val) == 40


def test_batches_depend_on_seeds_and_not_on_ranks_or_threads(dataset: Dataset) -> None:
    config = _holding(augmented(dataset.folder), 21, 4)
    alone = _batches(dataset, "train", config, batch_size=12, seed=3)
    for options in ({"threads": 2}, {}):
        again = _batches(dataset, "train", config, batch_size=12, seed=3, **options)
        assert all(np.array_equal(one, other) for (one, _), (other, _) in zip(alone, again, strict=True))
    parts = [_batches(dataset, "train", config, batch_size=6, seed=3, rank=rank, world_size=2) for rank in range(2)]
    for step, (images, labels) in enumerate(alone):
        assert np.array_equal(images, np.concatenate([part[step][0] for part in parts]))
        assert labels == [label for part in parts for label in part[step][1]]
    plainly = plain(dataset.folder)
    one, two = (_numbers(_batches(dataset, "holdout", _holding(plainly, 21, seed))) for seed in (4, 5))
    assert one != two


def test_damage_of_either_part_is_found(tmp_path: Path) -> None:
    dataset = build(tmp_path / "set", noise(40), noise(10))
    config = _holding(plain(dataset.folder), 10)
    chosen = held_out(np.arange(40) % 10, 10, 0)
    path = dataset.file("train")
    whole = path.read_bytes()
    table = np.fromfile(path, beton.ALLOCATION, 40, offset=len(whole) - 40 * beton.ALLOCATION.itemsize)
    for split, number in (("holdout", int(chosen[3])), ("train", next(n for n in range(40) if n not in chosen))):
        content = bytearray(whole)
        content[int(table[number]["offset"])] ^= 4
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"train\.beton: image {number} is damaged"):
            _batches(dataset, split, config, batch_size=1)
        _batches(dataset, "train" if split == "holdout" else "holdout", config, batch_size=1)


# Impossible numbers.


def test_what_leaves_less_than_a_batch_is_refused_everywhere(dataset: Dataset) -> None:
    message = r"data\.holdout: 96 of the 103 training images of digits leave fewer than train\.batch_size \(8\).* 95$"
    config = _holding(plain(dataset.folder), 96)
    Loader(dataset, "train", _holding(config, 95), Batching(batch_size=8)).close()
    for batching in (Batching(batch_size=8), Batching(batch_size=4, world_size=2)):
        with pytest.raises(DataError, match=message):
            Loader(dataset, "train", config, batching)
    with pytest.raises(DataError, match=message):
        data.check(config, 8)
    data.check(config, 7)
    with pytest.raises(DataError, match="103 of the 103 training images of digits leave fewer"):
        Loader(dataset, "holdout", _holding(config, 103), Batching(batch_size=8))
    with pytest.raises(ValueError, match="nothing is held out"):
        Loader(dataset, "holdout", plain(dataset.folder), Batching(batch_size=8))
    with pytest.raises(DataError, match="1437 of the 1437 training images"):
        data.train_images(_holding(plain(), 1437))
    assert data.train_images(_holding(plain(), 360)) == 1077
