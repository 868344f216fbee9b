"""Finds tests that have started Ray: a cluster leaves traces in the folder of $RAY_TMPDIR, even one that has ended."""

from pathlib import Path

import pytest


class RayGuard:
    """Watches RAY_TMPDIR, which all processes that a test starts inherit.

    A cluster of `ray start` leaves the folder of its session there. That of a sweep is gone after it, but what has
    been in a folder for a moment has changed its time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._allowed = self._traces()

    def check(self, allowed: bool) -> None:
        """Fail the test if it has started Ray and may not."""
        traces = self._traces()
        started = traces - self._allowed
        self._allowed |= traces
        if started and not allowed:
            pytest.fail("it started Ray: mark it with pytest.mark.cluster, and it runs in `make test-cluster`")

    def _traces(self) -> set[object]:
        return {*self.folder.glob("ray/session_2*"), self.folder.stat().st_mtime_ns}
