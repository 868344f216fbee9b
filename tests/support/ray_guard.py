"""Finds tests that have started Ray: a cluster leaves the folder of its session behind, even one that has ended."""

from pathlib import Path

import pytest


class RayGuard:
    """Watches RAY_TMPDIR, which all processes that a test starts inherit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._allowed: set[Path] = set()

    def check(self, allowed: bool) -> None:
        """Fail the test if it has started Ray and may not."""
        sessions = set(self.folder.glob("ray/session_2*"))
        started = sessions - self._allowed
        self._allowed |= sessions
        if started and not allowed:
            pytest.fail("it started Ray: mark it with pytest.mark.cluster, and it runs in `make test-cluster`")
