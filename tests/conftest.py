"""Tests never touch the user's cache, W&B account or Ray cluster."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Kept between runs: compiled pipelines and the converted digits are the same every time.
os.environ["RANDWIRE_CACHE"] = str(Path(tempfile.gettempdir()) / f"randwire-tests-{os.getuid()}")
for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "RAY_ADDRESS"):
    os.environ.pop(name, None)
# One thread for each process: threads that wait for each other on busy cores make small networks many times slower.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of data sets and compiled code that is empty, for the tests of a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANDWIRE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest first: at the end, one process alone would run it."""
    items.sort(key=lambda item: item.path.name != "test_pressure.py")
