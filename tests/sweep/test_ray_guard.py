"""A test that starts Ray and is not of the cluster tier fails."""

import os
import tempfile
from pathlib import Path

import pytest
from ray._common.utils import get_default_ray_temp_dir
from ray_guard import RayGuard

from randwire.sweep.private_folder import private_folder


def test_a_start_of_ray_fails_the_test_that_may_not_and_that_alone(tmp_path: Path) -> None:
    guard = RayGuard(tmp_path)
    guard.check(allowed=False)
    (tmp_path / "ray" / "session_2026-01-01_00-00-00_1_1").mkdir(parents=True)
    guard.check(allowed=True)
    guard.check(allowed=False)
    (tmp_path / "ray" / "session_2026-01-01_00-00-00_1_2").mkdir()
    with pytest.raises(pytest.fail.Exception, match=r"pytest\.mark\.cluster"):
        guard.check(allowed=False)
    guard.check(allowed=False)


def test_a_sweep_of_this_machine_is_found_though_nothing_is_left_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(Path(tempfile.mkdtemp(dir="/tmp"))))
    guard = RayGuard(Path(os.environ["RAY_TMPDIR"]))
    with private_folder():
        pass
    assert list(guard.folder.iterdir()) == []
    with pytest.raises(pytest.fail.Exception, match=r"pytest\.mark\.cluster"):
        guard.check(allowed=False)
    guard.check(allowed=False)
    guard.folder.rmdir()


def test_ray_keeps_its_sessions_where_the_guard_looks() -> None:
    folder: str = get_default_ray_temp_dir()  # type: ignore[no-untyped-call]
    assert Path(folder) == Path(os.environ["RAY_TMPDIR"], "ray")
