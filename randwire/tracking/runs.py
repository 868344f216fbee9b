"""The location of the W&B run of each trial: a file beside the runs of a study, for links to them."""

import json
from contextlib import suppress
from pathlib import Path

from randwire.records import Record

FOLDER, INDEX = "wandb", "runs.jsonl"


def add(folder: Path, trial: str, location: str) -> None:
    """Add where a trial's run is, a URL or a path from the study's folder, to the index in the tracker's folder."""
    Record(folder).append(INDEX, {"trial": trial, "run": location})


def of_study(folder: Path) -> dict[str, str]:
    """The location of each trial's run by the trial's id, the latest of several; damaged lines are left out."""
    locations: dict[str, str] = {}
    with suppress(OSError):
        for line in (folder / FOLDER / INDEX).read_text(errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                locations[str(row["trial"])] = str(row["run"])
    return locations
