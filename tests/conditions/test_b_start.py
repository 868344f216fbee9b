"""The start of Ray on this machine: its folder, its token, its limits, and one line for whatever keeps it from it."""

import os
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
import ray

from randwire import machine
from randwire.cache import cache_folder
from randwire.errors import ConfigError, DataError
from randwire.sweep import connection, private_folder
from randwire.sweep.cluster import Cluster
from randwire.sweep.local_limits import check_limits
from randwire.sweep.ray_variables import SOCKET
from randwire.sweep.steering import Start, steered

LOCKED = """
import sys, time
from randwire.sweep.private_folder import private_folder
with private_folder() as folder:
    print(folder, flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short temporary folder, in the place of /tmp, that no variable names."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        for name in ("RAY_TMPDIR", "TMPDIR", "TEMP", "TMP", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(private_folder, "SHORT", (Path(folder),))
        yield Path(folder)


def entered() -> Path:
    with private_folder.private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(f"{folder / private_folder.RAY}{SOCKET}") <= 107
        return folder


def test_a_folder_is_private_and_gone_after_the_block(root: Path) -> None:
    assert entered().parent == root
    assert list(root.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), private_folder.private_folder():
        raise KeyboardInterrupt
    assert list(root.iterdir()) == []


@pytest.mark.condition("B", "TMPDIR too long for sockets, or without a right to write", "a short folder is used")
def test_a_long_or_absent_temporary_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (long := tmp_path / ("a" * 43)).mkdir()
    for folder in (long, Path("/proc"), tmp_path / "absent"):
        monkeypatch.setenv("TMPDIR", str(folder))
        assert entered().parent == root
    (short := root / "s").mkdir()
    monkeypatch.setenv("TMPDIR", str(short))
    assert entered().parent == short


@pytest.mark.condition("B", "RAY_TMPDIR that cannot be used", "one line that says why")
def test_what_is_asked_for_is_used_or_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("a" * 43)))
    with pytest.raises(ConfigError, match=r"longer than \d+ bytes, and Ray's sockets need the rest"):
        entered()
    monkeypatch.setenv("RAY_TMPDIR", "/absent")
    with pytest.raises(ConfigError, match=r"no temporary folder for Ray \(/absent: No such file or directory\)"):
        entered()
    (short := root / "s").mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    assert entered().parent == short


@pytest.mark.condition("B", "the disk of the temporary folder is full", "one line")
def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        entered()
    assert list(root.iterdir()) == []


@pytest.mark.condition("B", "a sweep is killed", "the next one removes its folder, and no folder of one that runs")
def test_what_is_left_of_killed_sweeps_is_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(root))
    runs, killed = (commands.popen(["-c", LOCKED, "60"]) for _ in range(2))
    try:
        folders = []
        for process in (runs, killed):
            assert process.stdout is not None
            folders.append(Path(process.stdout.readline().strip()))
        assert sorted(root.iterdir()) == sorted(folders)
        killed.kill()
        killed.wait()
        assert folders[1].exists()
        entered()
        assert list(root.iterdir()) == [folders[0]]
    finally:
        for process in (runs, killed):
            process.kill()
            process.communicate()


@pytest.mark.condition("B", "HOME that cannot be written, or is not set", "token and folder are the sweep's own")
@pytest.mark.parametrize("home", ["/proc", None])
def test_a_home_that_cannot_be_written(root: Path, home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home) if home else monkeypatch.delenv("HOME")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    before = dict(os.environ)
    with steered(Cluster()) as start:
        assert start.folder is not None
        token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert (token.parent, stat.S_IMODE(token.stat().st_mode)) == (start.folder, 0o600)
        assert len(token.read_text()) == 64
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert "RAY_ADDRESS" not in os.environ
        assert "RAY_AUTH_TOKEN" not in os.environ
    assert dict(os.environ) == before
    assert not token.exists()


@pytest.mark.condition("B", "HOME that cannot be written", "digits and compiled code are kept in a private folder")
def test_a_cache_without_a_home(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANDWIRE_CACHE")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "randwire"
    monkeypatch.setattr(os, "access", lambda *_: False)  # a test may run as root, who may write all
    private = cache_folder()
    assert private == tmp_path / f"randwire-cache-{os.getuid()}"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert cache_folder() == private
    private.chmod(0o777)
    with pytest.raises(DataError, match="others can write it; set RANDWIRE_CACHE"):
        cache_folder()


@pytest.mark.condition("B", "ulimit -n, -u, -v or -f too low, or too little memory", "one line")
def test_limits_that_are_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    check_limits()
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    for limit, option, pair, seen in (
        (resource.RLIMIT_NOFILE, "n", (64, 100), 100),
        (resource.RLIMIT_NPROC, "u", (100, 1 << 20), 100),
        (resource.RLIMIT_AS, "v", (1 << 30, 1 << 30), 1 << 20),
        (resource.RLIMIT_FSIZE, "f", (1 << 20, 1 << 20), 1 << 10),
    ):
        limits = {limit: pair}
        with monkeypatch.context() as patch:
            patch.setattr(resource, "getrlimit", lambda kind, limits=limits: limits.get(kind, (-1, -1)))
            with pytest.raises(
                ConfigError, match=rf"`ulimit -{option}` is {seen}, and its processes need \d+; raise it"
            ):
                check_limits()
    monkeypatch.setattr(machine, "memory", lambda: 300 << 20)
    with pytest.raises(ConfigError, match=r"may use 0\.3 GiB of memory"):
        check_limits()


@pytest.mark.condition("B", "any error of Ray's start", "one line, whatever it raises")
@pytest.mark.parametrize(
    "error", [Exception("The current node timed out\nduring startup."), OSError("a"), KeyError("b")]
)
def test_whatever_ray_raises_is_one_line(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fail)
    before = dict(os.environ)
    start = Start(None, tmp_path, {"RAY_TMPDIR": str(tmp_path)})
    with pytest.raises(ConfigError) as raised, connection.connected(start, Cluster(), ()):
        pass
    assert str(raised.value) == f"Ray cannot be started on this machine: {' '.join(str(error).split())}"
    assert dict(os.environ) == before


def test_a_process_that_is_connected_already_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    start = Start(None, tmp_path, {})
    with (
        pytest.raises(ConfigError, match=r"call ray\.shutdown\(\) before a sweep"),
        connection.connected(start, Cluster(), ()),
    ):
        pass


def test_the_environment_is_chosen_before_ray_is_imported(root: Path) -> None:
    program = """
import sys
from randwire.sweep import Cluster, launch
from randwire.sweep.steering import steered
with steered(Cluster()):
    assert "ray" not in sys.modules
    import ray
    from ray._raylet import AuthenticationMode, get_authentication_mode
    assert get_authentication_mode() == AuthenticationMode.TOKEN
assert get_authentication_mode() == AuthenticationMode.DISABLED
"""
    environment = {**os.environ, "RAY_TMPDIR": str(root), "HOME": str(root)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(root.iterdir()) == []
