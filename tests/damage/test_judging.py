"""Where the images that damaged networks see are kept, and how much memory that takes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from data_helpers import build, noise, plain
from lazy_gpu import DEVICE, LazyGpu, lazy_gpu

from randwire import data
from randwire.damage.judging import SHARE, fits, judging_batches, kept


@pytest.fixture
def gpu() -> Iterator[LazyGpu]:
    with lazy_gpu() as one:
        yield one


def test_images_are_kept_on_a_gpu_that_has_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free is also what PyTorch holds from the network before, and no longer uses."""
    bytes_of = {"memory_reserved": 750, "memory_allocated": 50}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {DEVICE: (300, 10**9)}[device])
    for name, value in bytes_of.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: {DEVICE: value}[device])
    assert fits(int(1000 * SHARE), DEVICE)
    assert not fits(int(1000 * SHARE) + 1, DEVICE), "all of its memory does not count, but what is free"
    assert not fits(1, torch.device("cpu"))


def test_there_they_pass_through_little_page_locked_memory(gpu: LazyGpu) -> None:
    most = 0

    def source() -> Iterator[Any]:
        nonlocal most
        for number in range(20):
            yield gpu.batch(number)
            most = max(most, len(gpu.page_locked))

    assert [images.name for images, _ in kept(source(), DEVICE, there=True)] == [*range(20)]  # type: ignore[attr-defined]
    assert most <= 10


def test_elsewhere_they_stay_as_they_are(gpu: LazyGpu) -> None:
    batches = [gpu.batch(number, page_locked=False) for number in range(20)]
    assert kept(iter(batches), DEVICE, there=False) == batches
    assert not gpu.page_locked


@pytest.mark.parametrize("images", [None, 20])
def test_no_more_memory_is_held_than_the_images_have(tmp_path: Path, images: int | None) -> None:
    dataset = data.prepare(plain(build(tmp_path, noise(30), noise(30, seed=1)).folder))
    with closing(data.Loader(dataset, "val", plain(resolution=16), data.Batching(batch_size=8))) as loader:
        batches = [*judging_batches(loader, 30, 8, images, seed=0)]
    assert [len(labels) for _, labels in batches] == ([8, 8, 8, 6] if images is None else [8, 8, 4])
    held = sum(pixels.untyped_storage().nbytes() for pixels, _ in batches)
    assert held == 3 * 16 * 16 * (images or 30)
