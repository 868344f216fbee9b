"""Work on the records of a study, tried again while their storage cannot be reached."""

import time
from collections.abc import Callable
from typing import TypeVar

from randwire.study.design import Design
from randwire.sweep.cluster import Timeouts

T = TypeVar("T")


def retried(design: Design, timeouts: Timeouts, work: Callable[[], T]) -> T:
    """The result of `work` on the records of a study, tried again for `storage_s` while their storage is not there.

    Raises the last OSError after that.
    """
    deadline = time.monotonic() + timeouts.storage_s
    while True:
        try:
            # A folder whose storage is not mounted looks like an empty one.
            (design.folder / "study.json").stat()
            return work()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(timeouts.storage_poll_s)
