"""Trackers of the trials of a study; W&B is the only one so far.

W&B gets a copy of what the record of a trial (`records.py`) holds. So a tracker never prompts, never waits without a
timeout, and none of its errors reaches a trial; the API key stays in the user's environment and netrc file. wandb is
imported inside functions only, so importing this package is cheap and `disabled` never loads it.
"""

from pathlib import Path
from typing import Literal

from randwire.errors import TrackingError
from randwire.tracking.base import Notice, NullTracker, SafeTracker, Tracker, to_stderr
from randwire.tracking.connection import environment, preflight, sync_hint
from randwire.tracking.secrets import without_secrets
from randwire.tracking.variables import Variables, asked, check
from randwire.tracking.wandb_tracker import Mode, WandbTracker

__all__ = [
    "Choice",
    "NullTracker",
    "SafeTracker",
    "Tracker",
    "TrackingError",
    "WandbTracker",
    "check_variables",
    "open_tracker",
    "without_secrets",
]

Choice = Literal["auto", "online", "offline", "disabled"]


def check_variables(choice: Choice) -> None:
    """Raise ConfigError, in one line, for a variable of W&B's mode that `open_tracker` would refuse."""
    if choice != "disabled":
        asked()


def open_tracker(
    choice: Choice, project: str, study: str, folder: Path, notice: Notice = to_stderr, several: bool = False
) -> Tracker:
    """The tracker for a study. Call it before Ray starts; it never prompts and takes about ten seconds at most.

    `auto` is what W&B's own variables ask for, and by itself online if a key is found and the server takes it, else
    offline, with one notice that says why; any other choice wins over the variables. `several`: it may track more than
    one trial, whose names must differ. Raises TrackingError, in one line, if the choice is `online` and that is not
    possible, and ConfigError for a variable that W&B would refuse.
    """
    if choice == "disabled":
        return NullTracker()
    wanted, why = asked()
    if choice == "auto" and wanted == "disabled":
        notice(f"W&B: off, as {why}")
        return NullTracker()
    variables = Variables.read()
    runs_folder = variables.folder or folder
    with environment(runs_folder):
        check(project)
    mode: Mode = "offline"
    if choice == "auto" and wanted == "offline":
        notice(f"W&B: offline, as {why}; {sync_hint(runs_folder)}")
    elif choice != "offline":
        try:
            preflight(runs_folder)
            mode = "online"
        except TrackingError as error:
            if choice == "online":
                raise
            notice(f"W&B: offline, as {error}; {sync_hint(runs_folder)}")
    return SafeTracker(WandbTracker(mode, project, study, folder, variables, several), notice)
