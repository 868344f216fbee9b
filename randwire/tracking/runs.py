"""The location of the W&B run of each trial: a file beside the runs of a study, for links to them."""

from contextlib import suppress
from pathlib import Path

from randwire.attempts import earlier
from randwire.errors import RecordError
from randwire.records import Record, Row

FOLDER, INDEX = "wandb", "runs.jsonl"
SETTING = "setting"
"""The key of the setting in the configuration of a run whose group is the user's."""


def add(folder: Path, trial: str, location: str, group: str = "") -> None:
    """Add where a trial's run is, a URL or a path, to the index in the study's folder for W&B.

    A path begins at the study's folder, if it is in there. `group` is the one that the user has given the run, if any.
    """
    Record(folder).append(INDEX, {"trial": trial, "run": location, **({"group": group} if group else {})})


def run_id(record: Record) -> str:
    """The id of the W&B run of a record's training: the digest, and from the second attempt on its number."""
    attempts = 1 + len(earlier(record))
    return record.folder.name if attempts == 1 else f"{record.folder.name}-{attempts}"


def of_study(folder: Path) -> dict[str, str]:
    """The location of each trial's run by the trial's id, the latest of several; damaged lines are left out."""
    return {str(row["trial"]): str(row["run"]) for row in _rows(folder)}


def parts_of(study: Path, trial: str) -> list[str]:
    """The locations of all runs of a trial, in the order in which they began."""
    return [str(row["run"]) for row in _rows(study) if str(row["trial"]) == trial]


def offline_folder(study: Path) -> Path:
    """In which folder a study's offline runs are, for `wandb sync`: its own, or where WANDB_DIR was then."""
    paths = [Path(location) for location in of_study(study).values() if "://" not in location]
    return paths[-1].parent.parent if paths and paths[-1].is_absolute() else study / FOLDER


def in_own_groups(folder: Path) -> bool:
    """Whether runs of the study in a folder are in groups of the user's, and not in that of their setting."""
    return any(row.get("group") for row in _rows(folder))


def _rows(folder: Path) -> list[Row]:
    with suppress(OSError, RecordError):
        rows = Record(folder / FOLDER).rows(INDEX)
        return [row for row in rows if isinstance(row, dict) and row.keys() >= {"trial", "run"}]
    return []
