"""The loader: who sees which image, which pixels, and what happens when reading fails."""

import gc
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import numba.core.config
import numpy as np
import pytest
import torch
from data_helpers import augmented, build, epoch, identity, noise, plain

from randwire import compiling
from randwire.config import DataConfig
from randwire.data import Batching, Dataset, Loader, beton, decoder
from randwire.data import loader as module
from randwire.errors import DataError

TRAIN, VAL = 103, 61


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("sets") / "noise", noise(TRAIN), noise(VAL, seed=1))


def _read(dataset: Dataset, split: Any, config: DataConfig, number: int = 0, **options: Any) -> Any:
    with closing(Loader(dataset, split, config, Batching(**{"batch_size": 8, **options}))) as loader:
        batches = epoch(loader, number)
        assert len(batches) == len(loader)
    return batches


def _pixels(batches: Any) -> np.ndarray:
    return np.concatenate([images for images, _ in batches])


def test_a_batch_has_the_promised_form(dataset: Dataset) -> None:
    with closing(Loader(dataset, "train", plain(resolution=24), Batching(batch_size=5))) as loader:
        images, labels = next(iter(loader.epoch(0)))
    assert images.shape == (5, 3, 24, 24)
    assert images.dtype == torch.uint8
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.shape == (5,)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("page_locked", [False, True])
def test_memory_is_page_locked_only_where_that_is_asked_for(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, page_locked: bool
) -> None:
    """Also where the process uses CUDA otherwise."""
    asked, ordinary = set[bool](), torch.empty

    def empty(*size: int, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
        asked.add(pin_memory)
        return ordinary(*size, dtype=dtype)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch, "empty", empty)
    _read(dataset, "val", plain(), page_locked=page_locked)
    assert asked == {page_locked}


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_val_covers_every_image_once(dataset: Dataset, world: int, batch_size: int) -> None:
    seen: list[int] = []
    for rank in range(world):
        batches = _read(dataset, "val", plain(), batch_size=batch_size, rank=rank, world_size=world)
        ids = [identity(images) for images, _ in batches]
        assert [label for _, labels in batches for label in labels] == [i % 10 for part in ids for i in part]
        assert all(len(part) == batch_size for part in ids[:-1])
        seen += [i for part in ids for i in part]
    assert sorted(seen) == list(range(VAL))


def test_val_may_leave_a_rank_without_a_batch(tmp_path: Path) -> None:
    dataset = build(tmp_path / "set", noise(4), noise(2))
    lengths = [len(_read(dataset, "val", plain(), rank=rank, world_size=3)) for rank in range(3)]
    assert lengths == [1, 1, 0]


@pytest.mark.parametrize("world", [2, 3])
def test_the_global_batch_does_not_depend_on_the_ranks(dataset: Dataset, world: int) -> None:
    config = augmented(dataset.folder)
    alone = _read(dataset, "train", config, batch_size=6 * world, seed=3)
    parts = [
        _read(dataset, "train", config, batch_size=6, seed=3, rank=rank, world_size=world) for rank in range(world)
    ]
    assert {len(part) for part in parts} == {len(alone)} == {TRAIN // (6 * world)}
    for step, (images, labels) in enumerate(alone):
        assert np.array_equal(images, np.concatenate([part[step][0] for part in parts]))
        assert labels == [label for part in parts for label in part[step][1]]


def test_train_sees_no_image_twice_and_reshuffles(dataset: Dataset) -> None:
    orders = [identity(_pixels(_read(dataset, "train", plain(), number=number, seed=seed))) for number, seed in
              ((0, 0), (1, 0), (0, 1), (0, 0))]  # fmt: skip
    for order in orders:
        assert len(order) == len(set(order)) == TRAIN // 8 * 8
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3
    assert orders[0] != sorted(orders[0])


def test_seed_and_epoch_are_not_interchangeable(dataset: Dataset) -> None:
    assert identity(_pixels(_read(dataset, "train", plain(), 0, seed=8))) != identity(
        _pixels(_read(dataset, "train", plain(), 1, seed=7))
    )


def test_pixels_do_not_depend_on_threads_or_batch_size(dataset: Dataset) -> None:
    config = augmented(dataset.folder)
    expected = _pixels(_read(dataset, "train", config, 2, batch_size=20))
    for options in ({"threads": 2}, {"threads": 0}, {"threads": 1000}, {"batch_size": 10}, {"batch_size": 1}):
        pixels = _pixels(_read(dataset, "train", config, 2, **{"batch_size": 20, **options}))
        assert np.array_equal(pixels[: len(expected)], expected), options


def test_an_epoch_is_the_same_after_resuming(dataset: Dataset) -> None:
    config = augmented(dataset.folder)
    with closing(Loader(dataset, "train", config, Batching(batch_size=8, seed=1))) as loader:
        uninterrupted = [epoch(loader, number) for number in range(3)]
        again = epoch(loader, 1)
    resumed = _read(dataset, "train", config, 2, seed=1)
    assert np.array_equal(_pixels(uninterrupted[2]), _pixels(resumed))
    assert np.array_equal(_pixels(uninterrupted[1]), _pixels(again))
    assert not np.array_equal(_pixels(uninterrupted[1]), _pixels(uninterrupted[2]))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_full_crop_at_native_size_is_exact(tmp_path: Path, flip: float) -> None:
    images = noise(30, 17, 17)
    for image in images:
        image[0, -1] = image[0, 0]  # readable from both sides
    dataset = build(tmp_path / "set", images, images)
    images_read = _pixels(_read(dataset, "train", plain(resolution=17, flip=flip), batch_size=30))
    for number, pixels in zip(identity(images_read), images_read, strict=True):
        expected = images[number][:, ::-1] if flip else images[number]
        assert np.array_equal(pixels.transpose(1, 2, 0), expected)
    shown = _pixels(_read(dataset, "val", plain(resolution=17, flip=flip), batch_size=30))
    assert np.array_equal(shown.transpose(0, 2, 3, 1), np.stack(images))


def test_val_takes_the_center(tmp_path: Path) -> None:
    images = noise(3, 24, 40)
    dataset = build(tmp_path / "set", images, images)
    config = plain(resolution=12).model_copy(update={"eval_crop": 0.5})
    pixels = _pixels(_read(dataset, "val", config))
    assert np.array_equal(pixels.transpose(0, 2, 3, 1), np.stack(images)[:, 6:18, 14:26])


def test_crops_and_flips_follow_their_distributions(tmp_path: Path) -> None:
    # Red rises to the right, green downwards, so that the borders of a crop can be read off its pixels.
    side, out = 240, 60
    ramp = np.arange(side, dtype=np.uint8)
    image = np.zeros((side, side, 3), np.uint8)
    image[:, :, 0], image[:, :, 1] = ramp[None, :], ramp[:, None]
    dataset = build(tmp_path / "set", [image] * 300, [image])
    config = DataConfig(source="digits", resolution=out, crop_area=(0.08, 1.0), flip=0.3)
    with closing(Loader(dataset, "train", config, Batching(batch_size=300))) as loader:
        pixels = np.concatenate([_pixels(epoch(loader, number)) for number in range(5)]).astype(float)
    step = 1 - 1 / out
    width = (pixels[:, 0, 0, -1] - pixels[:, 0, 0, 0]) / step
    height = (pixels[:, 1, -1, 0] - pixels[:, 1, 0, 0]) / step
    flipped = width < 0
    width = np.abs(width)
    assert flipped.mean() == pytest.approx(0.3, abs=0.04)
    area, aspect = width * height / side**2, width / height
    assert 0.07 < area.min() < 0.1
    assert 0.9 < area.max() <= 1.02
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.02)
    assert 0.73 < aspect.min() < 0.77
    assert 1.3 < aspect.max() < 1.37
    reference = _torchvision_areas(side, 4000)
    assert np.quantile(area, [0.1, 0.25, 0.5, 0.75, 0.9]) == pytest.approx(
        np.quantile(reference, [0.1, 0.25, 0.5, 0.75, 0.9]), abs=0.04
    )
    movable = np.maximum(width, height) < side - 60
    left = np.minimum(pixels[:, 0, 0, 0], pixels[:, 0, 0, -1])[movable] / (side - width[movable])
    top = pixels[movable, 1, 0, 0] / (side - height[movable])
    for position in (left, top):
        assert np.quantile(position, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.1


def _torchvision_areas(side: int, count: int) -> np.ndarray:
    """Areas of the formula of RandomResizedCrop, drawn by numpy."""
    stream = np.random.default_rng(0)
    areas: list[float] = []
    while len(areas) < count:
        for _ in range(10):
            target = stream.uniform(0.08, 1.0) * side**2
            ratio = np.exp(stream.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round(np.sqrt(target * ratio)), round(np.sqrt(target / ratio))
            if w <= side and h <= side:
                areas.append(w * h / side**2)
                break
        else:
            areas.append(1.0)
    return np.array(areas)


@pytest.mark.parametrize(("height", "width"), [(200, 10), (10, 200), (1, 1), (1, 50)])
def test_extreme_shapes_are_read(tmp_path: Path, height: int, width: int) -> None:
    images = [np.full((height, width, 3), 77, np.uint8)] * 8
    dataset = build(tmp_path / "set", images, images)
    for split in ("train", "val"):
        assert (_pixels(_read(dataset, split, augmented(dataset.folder))) == 77).all()


def test_batches_stay_as_they_were(dataset: Dataset) -> None:
    with closing(Loader(dataset, "train", plain(), Batching(batch_size=4, threads=2))) as loader:
        batches = list(loader.epoch(0))
        copies = epoch(loader, 0)
    assert all(np.array_equal(images.numpy(), copy) for (images, _), (copy, _) in zip(batches, copies, strict=True))


def test_jpg_round_trip(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :96]
    images = [np.stack([2 * x, 3 * y, x + y + 8 * i], axis=2).astype(np.uint8) for i in range(5)]
    dataset = build(tmp_path / "set", images, images, mode="jpg")
    pixels = _pixels(_read(dataset, "val", plain(resolution=64)))
    center = np.stack(images)[:, :, 16:80].astype(int)
    assert np.abs(pixels.transpose(0, 2, 3, 1) - center).mean() < 3


@pytest.mark.parametrize("threads", [1, 2])
def test_a_damaged_jpg_is_an_error(tmp_path: Path, threads: int) -> None:
    dataset = build(tmp_path / "set", noise(40, 32, 32), noise(40, 32, 32), mode="jpg")
    content = bytearray(dataset.file("val").read_bytes())
    starts = [i for i in range(len(content)) if content[i : i + 3] == b"\xff\xd8\xff"]
    content[starts[25] : starts[25] + 64] = bytes(64)
    dataset.file("val").write_bytes(content)
    with closing(Loader(dataset, "val", plain(), Batching(batch_size=4, threads=threads))) as loader:
        for _ in range(2):
            batches = loader.epoch(0)
            assert [len(next(batches)[1]) for _ in range(6)] == [4] * 6
            with pytest.raises(DataError, match=r"val\.beton: image 25 is damaged"):
                next(batches)


def test_a_break_leaks_no_thread(dataset: Dataset) -> None:
    before = threading.active_count()
    loader = Loader(dataset, "train", plain(), Batching(batch_size=4, threads=2))
    for number in range(10):
        for _ in loader.epoch(number):
            break
        assert threading.active_count() <= before + 2
    loader.close()
    assert threading.active_count() == before


def test_a_forgotten_loader_leaks_no_thread(dataset: Dataset) -> None:
    before = set(threading.enumerate())
    loader = Loader(dataset, "train", plain(), Batching(batch_size=4))
    next(iter(loader.epoch(0)))
    started = set(threading.enumerate()) - before
    assert started
    del loader
    gc.collect()
    for thread in started:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_closing_within_an_epoch_ends_it(dataset: Dataset) -> None:
    loader = Loader(dataset, "train", plain(), Batching(batch_size=4))
    batches = iter(loader.epoch(0))
    next(batches)
    loader.close()
    with pytest.raises(RuntimeError):
        list(batches)
    with pytest.raises(RuntimeError):
        next(iter(loader.epoch(0)))


def test_two_loaders_may_be_in_use_at_once(dataset: Dataset) -> None:
    with (
        closing(Loader(dataset, "train", plain(), Batching(batch_size=8, threads=2))) as train,
        closing(Loader(dataset, "val", plain(), Batching(batch_size=8, threads=2))) as val,
    ):
        for (images, _), (shown, _) in zip(train.epoch(0), val.epoch(0), strict=False):
            assert len(images) == 8
            assert len(shown) >= 5


def test_torchs_threads_are_left_alone(dataset: Dataset) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 2)
    try:
        _read(dataset, "train", plain(), threads=1)
        assert torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)


def test_ffcvs_library_is_used_without_its_python_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ffcv", raising=False)
    library = decoder.ffcv_library()
    assert library.imdecode
    assert library.resize
    assert "ffcv" not in sys.modules
    monkeypatch.setattr(decoder, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="install ffcv"):
        decoder.ffcv_library()


def test_compiled_code_is_cached_and_numba_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = numba.core.config
    monkeypatch.setenv("RANDWIRE_CACHE", str(tmp_path))
    monkeypatch.setattr(config, "CACHE_DIR", "")
    dispatcher: Any = compiling.compiled(_one)
    assert tmp_path / "numba" in Path(dispatcher.stats.cache_path).parents
    assert config.CACHE_DIR == ""
    (tmp_path / "file").touch()
    monkeypatch.setenv("RANDWIRE_CACHE", str(tmp_path / "file"))
    assert compiling.compiled(_one)() == 1


def _one() -> int:
    return 1


def test_a_set_smaller_than_the_global_batch_is_refused(dataset: Dataset) -> None:
    Loader(dataset, "train", plain(), Batching(batch_size=TRAIN)).close()
    with pytest.raises(DataError, match=r"train\.batch_size: 104 exceeds the 103 training images.*lower it"):
        Loader(dataset, "train", plain(), Batching(batch_size=52, world_size=2))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"rank": 1}, {"rank": -1}, {"threads": -1}, {"seed": -1}])
def test_impossible_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="impossible"):
        Batching(**{"batch_size": 1, **wrong})


# Quasi-random order


def _many_pages(tmp_path: Path) -> Dataset:
    """48 images of 600,000 bytes: three a page, 16 pages."""
    images = [np.full((400, 500, 3), index, np.uint8) for index in range(48)]
    return build(tmp_path / "set", images, images[:1])


def test_quasi_random_order_covers_all_and_reads_part_by_part(tmp_path: Path) -> None:
    dataset = _many_pages(tmp_path)
    config = plain(dataset.folder, resolution=8).model_copy(update={"order": "quasi-random"})
    with mock.patch.object(module, "PART_BYTES", 4 * beton.PAGE_BYTES):
        orders = []
        for _ in range(2):  # two loaders: the order is a function of seed and epoch
            with closing(Loader(dataset, "train", config, Batching(batch_size=6, seed=3))) as loader:
                orders.append([[int(v) for images, _ in epoch(loader, number) for v in images[:, 0, 0, 0]]
                               for number in range(3)])  # fmt: skip
        with closing(Loader(dataset, "train", config, Batching(batch_size=6, seed=4))) as loader:
            other = [int(v) for images, _ in epoch(loader, 0) for v in images[:, 0, 0, 0]]
    assert orders[0] == orders[1]
    first, second, third = orders[0]
    assert sorted(first) == sorted(second) == sorted(third) == sorted(other) == list(range(48))
    assert len({tuple(order) for order in (first, second, third, other)}) == 4
    for order in (first, second, third, other):
        for start in range(0, 48, 12):  # a part: the images of four pages, in no order
            part = order[start : start + 12]
            assert len({index // 3 for index in part}) == 4
            assert part != sorted(part)


def test_quasi_random_order_requests_the_next_part_ahead(tmp_path: Path) -> None:
    dataset = _many_pages(tmp_path)
    config = plain(dataset.folder, resolution=8).model_copy(update={"order": "quasi-random"})
    requested: list[int] = []

    class Map:
        def madvise(self, option: int, start: int, length: int) -> None:
            assert length == beton.PAGE_BYTES
            requested.append(start // beton.PAGE_BYTES)

    with (
        mock.patch.object(module, "PART_BYTES", 4 * beton.PAGE_BYTES),
        closing(Loader(dataset, "train", config, Batching(batch_size=6))) as loader,
    ):
        loader._map = Map()  # type: ignore[assignment]
        steps = loader._batches(np.random.default_rng(0))
        counts = []
        for ids in steps:
            counts.append(len(requested))
            assert set(loader._tables.images["offset"][ids] // beton.PAGE_BYTES) <= set(requested)
    assert counts == [8, 8, 12, 12, 16, 16, 16, 16]
    assert len(set(requested)) == 16


@pytest.mark.parametrize("order", ["random", "quasi-random"])
@pytest.mark.parametrize(("split", "world"), [("train", 1), ("train", 2), ("val", 2)])
def test_an_epoch_goes_on_at_any_step(tmp_path: Path, split: Any, world: int, order: str) -> None:
    """With the same pixels in the same order; of the parts that are trained already no page is requested."""
    dataset = _many_pages(tmp_path)
    config = plain(dataset.folder, resolution=8).model_copy(update={"order": order, "crop_area": (0.2, 1.0)})
    batching = Batching(batch_size=6 // world, rank=world - 1, world_size=world)
    with (
        mock.patch.object(module, "PART_BYTES", 4 * beton.PAGE_BYTES),
        closing(Loader(dataset, split, config, batching)) as loader,
    ):
        whole = epoch(loader, 3)
        assert len(whole) == len(loader)
        for first in range(len(loader) + 1):
            with mock.patch.object(loader, "_map") as mapped:
                rest = [(images.numpy(), labels.tolist()) for images, labels in loader.epoch(3, first_step=first)]
            assert len(rest) == len(whole) - first
            for (images, labels), (expected, of) in zip(rest, whole[first:], strict=True):
                assert np.array_equal(images, expected)
                assert labels == of
            if split == "train" and order == "quasi-random":  # two steps a part, four pages each
                assert mapped.madvise.call_count == 4 * (4 - first // 2) * (first < len(loader))


@pytest.mark.parametrize("order", ["random", "quasi-random"])
def test_ranks_share_the_steps_of_either_order(tmp_path: Path, order: str) -> None:
    dataset = _many_pages(tmp_path)
    config = plain(dataset.folder, resolution=8).model_copy(update={"order": order})
    whole, parts = [], {}
    with mock.patch.object(module, "PART_BYTES", 4 * beton.PAGE_BYTES):
        with closing(Loader(dataset, "train", config, Batching(batch_size=10))) as loader:
            whole = [images[:, 0, 0, 0].tolist() for images, _ in epoch(loader)]
        for rank in range(2):
            with closing(Loader(dataset, "train", config, Batching(batch_size=5, rank=rank, world_size=2))) as loader:
                parts[rank] = [images[:, 0, 0, 0].tolist() for images, _ in epoch(loader)]
    assert [a + b for a, b in zip(parts[0], parts[1], strict=True)] == whole
    assert len(whole) == 4


# Progressive resolution


def test_an_epoch_may_have_a_resolution_of_its_own(dataset: Dataset) -> None:
    with closing(Loader(dataset, "train", plain(), Batching(batch_size=8))) as loader:
        small, usual = next(loader.epoch(0, 9))[0], next(loader.epoch(0))[0]
    assert (small.shape, usual.shape) == ((8, 3, 9, 9), (8, 3, 16, 16))


MEMORY = """
import sys
import psutil
from randwire import config as configuration
from randwire.run import run
from randwire.training.worker import ProcessWorker, pick_device
resident = []
config = configuration.load("digits", {
    "data.path": sys.argv[1], "runtime.output": sys.argv[2], "runtime.wandb": "disabled", "train.epochs": 20,
    "graph.nodes": 5, "train.batch_size": 64, "runtime.loader_workers": 2, "data.resolution": 32,
    "network.channels": 4, "network.head": 16})
measure = psutil.Process().memory_info
run(config, ProcessWorker(pick_device("cpu"), on_report=lambda row: resident.append(measure().rss / 1e6)))
print(*resident)
"""


def test_the_memory_of_a_rank_stays_flat(tmp_path: Path) -> None:
    """20 epochs of training; what is not given back shows: the images of 15 epochs are 160 MB, as batches 14 MB."""
    images = noise(300, 100, 120)
    build(tmp_path / "set", images, images[:100], "jpg")
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "set"), str(tmp_path / "runs")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    resident = [float(value) for value in done.stdout.split()]
    assert len(resident) == 20
    assert max(resident[5:]) - resident[4] < 10, resident
