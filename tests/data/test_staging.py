"""Sets that are elsewhere: copied once to a disk of this machine, checked, within a budget; S3 on the loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
import pytest
from data_helpers import Image, build, epoch, noise, plain

from randwire import config as configuration
from randwire.cli.train_command import train
from randwire.config import DataConfig
from randwire.data import Batching, Loader, check, prepare, staging
from randwire.data.convert import main as convert
from randwire.errors import DataError, UserError

SIZE = 6 * (1 << 20)
"""About the bytes of a set here: two pages and tables for each of two files."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RANDWIRE_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    _release()


def _release() -> None:
    """What the end of a process does."""
    for descriptor in staging._in_use.values():
        os.close(descriptor)
    staging._in_use.clear()


def _set(folder: Path, seed: int = 0) -> tuple[DataConfig, list[Image]]:
    images = noise(7, seed=seed)
    build(folder, images, images[:3])
    return plain(folder).model_copy(update={"stage": "always"}), images


def _copies(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "staged").iterdir() if path.is_dir())


def _reads(config: DataConfig, images: list[Image]) -> Path:
    dataset = prepare(config)
    with closing(Loader(dataset, "val", config, Batching(batch_size=3))) as loader:
        [(pixels, labels)] = epoch(loader)
    assert np.array_equal(pixels.transpose(0, 2, 3, 1), np.stack(images[:3]))
    assert labels == [0, 1, 2]
    return dataset.folder


def test_a_set_is_copied_once(tmp_path: Path, cache: Path) -> None:
    config, images = _set(tmp_path / "far")
    folder = _reads(config, images)
    assert folder.parent == cache / "staged"
    assert {path.name for path in folder.iterdir()} == {"train.beton", "val.beton", "dataset.json"}
    inode = (folder / "train.beton").stat().st_ino
    (tmp_path / "far" / "train.beton").unlink()  # it is not needed again
    assert _reads(config, images) == folder
    assert (folder / "train.beton").stat().st_ino == inode


def test_the_same_content_from_elsewhere_is_the_same_copy(tmp_path: Path, cache: Path) -> None:
    first, images = _set(tmp_path / "a")
    second, _ = _set(tmp_path / "b")
    assert _reads(first, images) == _reads(second, images)
    assert len(_copies(cache)) == 1


@pytest.mark.parametrize(
    ("stage", "kind", "copied"),
    [
        ("auto", "ext4", False),
        ("auto", "nfs4", True),
        ("auto", "fuse.s3fs", True),
        ("auto", "lustre", True),
        ("never", "nfs4", False),
        ("always", "ext4", True),
    ],
)
def test_what_is_on_a_network_is_copied(tmp_path: Path, cache: Path, stage: str, kind: str, copied: bool) -> None:
    config, images = _set(tmp_path / "far")
    mounts = [mock.Mock(mountpoint="/", fstype="ext4"), mock.Mock(mountpoint=str(tmp_path), fstype=kind)]
    with mock.patch.object(psutil, "disk_partitions", return_value=mounts):
        folder = _reads(config.model_copy(update={"stage": stage}), images)
    assert folder == (cache / "staged" / folder.name if copied else tmp_path / "far")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "bit": (
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
        "is not the file that dataset.json describes",
    ),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes where"),
    "missing": (lambda path: path.unlink(), "missing"),
    "folder": (lambda path: path.rename(path.with_suffix(".old")).with_suffix(".beton").mkdir(), "val.beton"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_bad_copy_is_refused_and_removed(tmp_path: Path, cache: Path, damage: str) -> None:
    config, images = _set(tmp_path / "far")
    path = tmp_path / "far" / "val.beton"
    content = path.read_bytes()
    change, reason = DAMAGE[damage]
    change(path)
    with pytest.raises(UserError) as caught:
        prepare(config)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.suffix for path in (cache / "staged").iterdir()} == {".lock", ".use"}
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(content)
    _reads(config, images)


def test_the_longest_unused_copies_go_first(tmp_path: Path, cache: Path) -> None:
    folders = []
    for seed in range(3):
        config, images = _set(tmp_path / str(seed), seed)
        folders.append(_reads(config, images))
        os.utime(folders[-1] / "dataset.json", (seed + 1e9, seed + 1e9))
    _release()
    os.utime(folders[0] / "dataset.json")  # the first is used once more
    size = sum(path.stat().st_size for path in folders[0].iterdir())
    config, images = _set(tmp_path / "new", 3)
    new = _reads(config.model_copy(update={"stage_budget_gb": 3.5 * size / 1e9}), images)
    assert _copies(cache) == sorted(folder.name for folder in (folders[0], folders[2], new))
    config, images = _set(tmp_path / "newer", 4)
    newer = _reads(config.model_copy(update={"stage_budget_gb": 1.5 * size / 1e9}), images)
    assert _copies(cache) == sorted(folder.name for folder in (new, newer))  # `new` is in use


def test_a_set_above_the_budget_or_the_disk_is_refused(tmp_path: Path, cache: Path) -> None:
    config, images = _set(tmp_path / "far")
    with pytest.raises(DataError, match=r"exceed data\.stage_budget_gb \(1e-06\)"):
        prepare(config.model_copy(update={"stage_budget_gb": 1e-6}))
    with mock.patch("shutil.disk_usage", return_value=mock.Mock(free=1000)), pytest.raises(DataError, match="are free"):
        prepare(config)
    check(config)  # copies nothing
    assert not _copies(cache)
    _reads(config, images)


USE = """
import sys
from randwire.config import DataConfig
from randwire.data import prepare
stat = prepare(DataConfig(source="digits", path=sys.argv[1], stage="always")).file("train").stat()
print(stat.st_ino, flush=True)
sys.stdin.read()
"""


def _process(folder: str, before: str = "") -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", before + USE, folder],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


TOGETHER = """
import fcntl, time
flock = fcntl.flock
def late(descriptor, operation):
    flock(descriptor, operation)
    time.sleep(2 if operation == fcntl.LOCK_SH else 0)
fcntl.flock = late
"""
"""All processes find that there is no copy before one of them makes it."""


@pytest.mark.parametrize("before", ["", TOGETHER], ids=["", "together"])
def test_processes_share_a_copy_and_keep_it(tmp_path: Path, cache: Path, before: str) -> None:
    _set(tmp_path / "far")
    processes = [_process(str(tmp_path / "far"), before) for _ in range(3)]
    inodes = {process.stdout.readline() for process in processes if process.stdout}
    assert len(inodes) == 1
    [used] = _copies(cache)
    other, images = _set(tmp_path / "other", 1)
    other = other.model_copy(update={"stage_budget_gb": 1.5 * SIZE / 1e9})
    _reads(other, images)
    assert used in _copies(cache)  # in use: not removed although the budget is exceeded
    for process in processes:
        process.kill()  # however a process ends, it no longer uses its copy
        process.communicate()
    third, images = _set(tmp_path / "third", 2)
    _release()
    _reads(third.model_copy(update={"stage_budget_gb": 1.5 * SIZE / 1e9}), images)
    assert len(_copies(cache)) == 1
    assert used not in _copies(cache)


SLOW = """
import time
from randwire.data import staging
blocks = staging._blocks
def slow(*arguments):
    for block in blocks(*arguments):
        yield block
        print("block", flush=True)
        time.sleep(60)
staging._blocks = slow
"""


def test_a_killed_copy_is_made_anew(tmp_path: Path, cache: Path) -> None:
    config, images = _set(tmp_path / "far")
    script = SLOW + USE
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "far")], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "block\n"
    process.kill()
    process.communicate()
    assert [path.name.startswith(".") for path in (cache / "staged").iterdir() if path.is_dir()] == [True]
    _reads(config, images)
    assert len(_copies(cache)) == 1


# URLs


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An object store on the loopback, and how to reach it."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "sentinel-id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield "s3://bucket"
        server.stop()


def _upload(folder: Path, url: str) -> None:
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    system.mkdirs(path.partition("/")[0], exist_ok=True)
    for file in folder.iterdir():
        system.put_file(str(file), f"{path}/{file.name}")


def test_a_set_on_s3_is_used(tmp_path: Path, cache: Path, s3: str) -> None:
    _, images = _set(tmp_path / "near")
    _upload(tmp_path / "near", f"{s3}/a/digits")
    config = plain().model_copy(update={"path": f"{s3}/a/digits"})
    with mock.patch.object(staging, "BLOCK_BYTES", 1 << 20):
        folder = _reads(config, images)
    assert folder.parent == cache / "staged"
    for name in ("train.beton", "val.beton", "dataset.json"):
        assert (folder / name).read_bytes() == (tmp_path / "near" / name).read_bytes()


def test_what_is_wrong_on_s3_is_one_line(tmp_path: Path, cache: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(tmp_path / "near")
    _upload(tmp_path / "near", f"{s3}/b/digits")
    config = plain().model_copy(update={"path": f"{s3}/b/digits"})

    def fails(path: str, reason: str) -> None:
        with pytest.raises(UserError) as caught:
            prepare(config.model_copy(update={"path": path}))
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "sentinel" not in str(caught.value)

    fails(f"{s3}/b/none", "no converted digits there")
    fails("s3://nowhere/b", "no converted digits there")
    fails("gs://bucket/b", "install gcsfs")
    fails("what://bucket/b", "Protocol not known")
    (tmp_path / "near" / "val.beton").write_bytes(b"foreign")
    _upload(tmp_path / "near", f"{s3}/c/digits")
    fails(f"{s3}/c/digits", "7 bytes where")
    assert not _copies(cache)


def test_a_training_takes_its_data_from_s3(tmp_path: Path, s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One epoch on digits, as a user would; the credentials are in no file that it leaves."""
    assert convert(["digits", str(tmp_path / "digits")]) == 0
    _upload(tmp_path / "digits", f"{s3}/d/digits")
    command = ["digits", "--data.path", f"{s3}/d/digits", "--train.epochs", "1", "--graph.nodes", "5",
               "--runtime.wandb", "disabled", "--runtime.output", str(tmp_path / "runs")]  # fmt: skip
    capsys.readouterr()
    assert train(command) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "finished"
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if b"sentinel" in path.read_bytes()]
    [config] = (tmp_path / "runs").rglob("config.yaml")
    assert configuration.load(str(config)).data.path == f"{s3}/d/digits"
