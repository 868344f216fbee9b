"""All trials of a study as one table for other programs: a row for each trial and epoch."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from randwire.errors import RecordError
from randwire.records import Row, atomic
from randwire.study import space
from randwire.study.groups import TrialGroup, groups
from randwire.study.results import Trial, UnreadableRecord, design_of, load, number

INTEGERS = ("graph_seed", "train_seed", "epochs", "nodes", "params", "mult_adds", "epoch")
"""Columns of whole numbers, which may be missing."""


def write_table(folder: Path | str, path: Path) -> list[UnreadableRecord]:
    """Write the table of the study in `folder`, as Parquet or CSV by the suffix of `path`.

    With a holdout, `final_top1` is by the images that choose, and `test_top1` by those that tell.
    Top-1 and top-5 are in percent, measures are means over the random stages, and what was not recorded is empty.
    `budget` is the same where trials may be compared, `counted` is true where a trial enters statistics, `final` marks
    the last epoch of those. `adjacency` is in the row of a trial's last epoch alone: a JSON object with the successors
    of node 0, 1, ... of every random stage, such as `{"conv3": [[1, 2], [2], []]}`. Parameters are those of the
    generators of the default study and of the trials. A trial without an epoch has one row. Returns the records that
    cannot be read: they have no row. Raises RecordError if there is no record, or the file cannot be written.
    """
    folder = Path(folder)
    trials, broken = load(folder)
    study = design_of(folder) or {}
    drawn_by = {*space.default(), *(trial.generator for trial in trials)}
    names = [name for name in space.names() if name in drawn_by]
    rows = [
        row for budget in groups(trials, study) for trial in budget.trials for row in _rows(trial, budget, study, names)
    ]
    for row in rows:
        row["study"] = folder.resolve().name
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(["study", *(key for row in rows for key in row)])))
    # A column without a value would have no type, and the same column another one in the next study.
    types = dict.fromkeys(frame.columns[frame.isna().all()], "float64") | dict.fromkeys(INTEGERS, "Int64")
    frame = frame.astype({**types, "adjacency": "str"})
    try:
        with atomic(path) as file:
            if path.suffix == ".parquet":
                frame.to_parquet(file, index=False)
            else:
                frame.to_csv(file, index=False)
    except OSError as error:
        raise RecordError(f"{path}: cannot be written ({error.strerror})") from None
    return broken


def _rows(trial: Trial, budget: TrialGroup, study: Row, generators: Sequence[str]) -> Iterator[Row]:
    config = trial.config
    identity = json.dumps(budget.budget, sort_keys=True).encode()
    constant: Row = {
        "design": study["search"] if budget.origin == "search" else budget.origin,
        "digest": trial.folder,
        "setting": trial.setting,
        "generator": trial.generator,
        **_parameters(trial, generators),
        "graph_seed": trial.graph_seed,
        "train_seed": config.train.seed,
        "status": trial.status,
        "counted": trial.top1 is not None,
        "budget": hashlib.sha256(identity).hexdigest()[:12],
        "epochs": config.train.epochs,
        "data": config.data.source,
        "nodes": config.graph.nodes if trial.graph_seed is not None else None,
        "params": number(trial.complexity, "params"),
        "mult_adds": number(trial.complexity, "mult_adds"),
        **trial.measures,
        "final_top1": trial.top1,
        **({"test_top1": trial.test_top1} if budget.holdout else {}),
    }
    rows = trial.rows or [{"epoch": None}]
    for row in rows:
        final = trial.top1 is not None and row["epoch"] == config.train.epochs
        yield {
            **constant,
            "epoch": row["epoch"],
            "final": final,
            "adjacency": _adjacency(trial) if row is rows[-1] else None,
            **{key: number(row, key) for key in row if key != "epoch"},
        }


def _adjacency(trial: Trial) -> str | None:
    """The successors of the nodes of every random stage, as JSON; None of a published network, which has none."""
    stages = {stage: dag.successors for stage, dag in trial.dags.items()}
    return json.dumps(stages, separators=(",", ":")) if stages else None


def _parameters(trial: Trial, generators: Sequence[str]) -> dict[str, float | None]:
    """A column for every parameter of each generator, such as `ws_k`; empty for trials of others."""
    own = {} if trial.graph_seed is None else trial.config.generator.params()
    return {
        f"{name}_{key}": float(own[key]) if name == trial.generator else None
        for name in generators
        for key in space.kind(name).domains
    }
