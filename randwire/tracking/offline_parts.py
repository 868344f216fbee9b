"""What the parts of an offline run hold: each process that goes on with a training writes one of its own.

`wandb sync` joins them in the order of their start, since all are resumed under one id: their rows follow each other,
and configuration and summary are those of the last one. A part that was killed lacks the rows of its last second, which
the record has: the next part writes them. So the history that arrives is complete, with each epoch once, whether all
parts are synced at the end or each before the next one. That is shown with a stand-in of the server, which joins rows
as it is told to; that W&B's own server does so was not tried.

Of an online run that was killed, the server may lack the last rows. They are in its folder, and stay there.
"""

import json
import subprocess
from contextlib import suppress
from pathlib import Path

from randwire.tracking import runs

READ_TIMEOUT_S = 10.0


def epochs_held(study: Path, trial: str, run: str) -> set[int] | None:
    """The epochs whose rows are in the parts of a trial's run so far; None where that cannot be told.

    That is so without a part, and where one of them is not there any more, or cannot be read.
    """
    folders = [
        study / location
        for location in runs.parts_of(study, trial)
        if "://" not in location and location.endswith(f"-{run}")
    ]
    held: set[int] = set()
    for folder in folders:
        epochs = _epochs(folder / f"run-{run}.wandb")
        if epochs is None:
            return None
        held |= epochs
    return held if folders else None


def _epochs(file: Path) -> set[int] | None:
    """The epochs in a file of wandb, by its own reader; None if it cannot be read."""
    if not file.is_file():
        return None
    from wandb.util import get_core_path

    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(file)]
    try:
        done = subprocess.run(
            [*command, str(file.parent.parent)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=READ_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    epochs: set[int] = set()
    for line in done.stdout.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["type"] == "history":
                epochs.add(int(row["history"]["item"]["epoch"]))
    return epochs
