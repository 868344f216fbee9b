"""Where the W&B run of each trial is: a file beside the runs of a study, for whoever links to them."""

import json
from contextlib import suppress
from pathlib import Path

from randwire.records import Record

FOLDER, INDEX = "wandb", "runs.jsonl"


def note(folder: Path, trial: str, place: str) -> None:
    """Note in the tracker's folder that the run of a trial is at `place`: a URL, or a path from the study's folder."""
    Record(folder).append(INDEX, {"trial": trial, "run": place})


def of_study(folder: Path) -> dict[str, str]:
    """The place of each trial's run, the latest of several; damaged lines are no run."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in (folder / FOLDER / INDEX).read_text(errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                found[str(row["trial"])] = str(row["run"])
    return found
