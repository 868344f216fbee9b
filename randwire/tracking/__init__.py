"""Trackers of the trials of a study; W&B is the only one so far.

W&B gets a copy of what the record of a trial (`records.py`) holds. So a tracker never prompts, never waits without a
timeout, and none of its errors reaches a trial; the API key stays in the user's environment and netrc file. wandb is
imported inside functions only, so importing this package is cheap and `disabled` never loads it.
"""

import os
from pathlib import Path
from typing import Literal

from randwire.errors import TrackingError
from randwire.tracking.base import Notice, NullTracker, SafeTracker, Tracker, to_stderr
from randwire.tracking.connection import preflight, sync_hint
from randwire.tracking.secrets import without_secrets
from randwire.tracking.wandb_tracker import Mode, WandbTracker

__all__ = [
    "Choice",
    "NullTracker",
    "SafeTracker",
    "Tracker",
    "TrackingError",
    "WandbTracker",
    "open_tracker",
    "without_secrets",
]

Choice = Literal["auto", "online", "offline", "disabled"]


def open_tracker(choice: Choice, project: str, study: str, folder: Path, notice: Notice = to_stderr) -> Tracker:
    """The tracker for a study. Call it before Ray starts; it never prompts and takes about ten seconds at most.

    `auto` is online if a key is found and the server takes it, else offline, with one notice that says why.
    Raises TrackingError, in one line, if the choice is `online` and that is not possible.
    """
    if choice == "disabled":
        return NullTracker()
    mode: Mode = "offline"
    if choice != "offline":
        try:
            preflight(folder)
            mode = "online"
        except TrackingError as error:
            if choice == "online":
                raise
            if os.environ.get("WANDB_MODE") == "disabled":
                notice("W&B: off, as WANDB_MODE is disabled")
                return NullTracker()
            notice(f"W&B: offline, as {error}; {sync_hint(folder)}")
    return SafeTracker(WandbTracker(mode, project, study, folder), notice)
