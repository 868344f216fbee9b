"""Tests never touch the user's cache, W&B account or Ray cluster."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_guard import RayGuard

# Kept between runs: compiled pipelines and the converted digits are the same every time.
os.environ["RANDWIRE_CACHE"] = str(Path(tempfile.gettempdir()) / f"randwire-tests-{os.getuid()}")
for name in ["RAY_ADDRESS", *(name for name in os.environ if name.startswith("WANDB_"))]:
    os.environ.pop(name, None)
# Sessions of Ray: of this process, and gone with it. The name is short, as sockets are in there.
os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="ray-")
RAY_GUARD = RayGuard(Path(os.environ["RAY_TMPDIR"]))
# One thread for each process: threads that wait for each other on busy cores make small networks many times slower.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of data sets and compiled code that is empty, for the tests of a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANDWIRE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """Commands set handlers of signals for the rest of the process: here they are as before once the test has ended."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a short training on the digits."""
    from trained_helpers import SMALL

    import randwire

    return randwire.train("digits", {**SMALL, "runtime.output": str(tmp_path_factory.mktemp("reuse"))})


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[int]]:
    """The validation images of the digits as files, and their labels."""
    from data_helpers import samples_of
    from PIL import Image

    from randwire.data.sources.digits import Digits

    folder = tmp_path_factory.mktemp("pictures")
    labels: list[int] = []
    for image, label in samples_of(Digits(), "val"):
        Image.fromarray(image).save(folder / f"{len(labels):03}.png")
        labels.append(label)
    return sorted(folder.iterdir()), labels


@pytest.fixture(autouse=True)
def only_the_cluster_tier_starts_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    RAY_GUARD.check(allowed=request.node.get_closest_marker("cluster") is not None)


def pytest_sessionfinish() -> None:
    shutil.rmtree(RAY_GUARD.folder, ignore_errors=True)
