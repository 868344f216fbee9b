"""What the records of a study say: its trials, and the groups of trials that may be compared."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from randwire import config as configs
from randwire.config import RunConfig
from randwire.dag import DAG
from randwire.records import Record, RecordError, Row
from randwire.study.statistics import group
from randwire.training.optim import learning_rate

STATUSES = ("finished", "pruned", "failed", "unfinished", "unreadable")


@dataclass(frozen=True)
class Broken:
    """A record that cannot be read, and why."""

    folder: str
    cause: str


@dataclass(frozen=True)
class Trial:
    """One trial, from the files of its record alone."""

    folder: str
    config: RunConfig
    status: str
    cause: str
    top1: float | None
    """Top-1 after the last epoch, in percent; None if the trial does not count."""
    rows: Sequence[Row]
    dags: dict[str, DAG]
    measures: dict[str, float]
    """Means over the random stages."""
    complexity: Row
    environment: Row
    summary: Row = field(default_factory=dict)

    @property
    def generator(self) -> str:
        return self.config.family

    @property
    def setting(self) -> str:
        return self.config.label

    @property
    def name(self) -> str:
        """The setting with the graph seed and the training seed."""
        return f"{self.setting} g{self.config.graph.seed} t{self.config.train.seed}"

    @property
    def score(self) -> float:
        """The top-1 of a trial that counts."""
        assert self.top1 is not None, "only finished trials have a score"
        return self.top1

    @cached_property
    def budget(self) -> dict[str, Any]:
        """Every dotted key that decides a result, but for the generator and the seeds."""
        sections = self.config.identity().items()
        flat = {f"{section}.{key}": value for section, values in sections for key, value in values.items()}
        varied = ("graph.generator", "graph.seed", "graph.path_sha256", "train.seed")
        return {key: flat[key] for key in flat if key not in varied}

    def lr_deviations(self) -> list[float]:
        """How far each logged learning rate is from the schedule's closed form, at the first step of the epoch."""
        return [
            abs(row["lr"] - learning_rate((row["epoch"] - 1) * row["steps"], row["steps"], self.config.train))
            for row in self.rows
            if number(row, "lr") is not None and row.get("steps")
        ]


@dataclass(frozen=True)
class Group:
    """Trials of one budget. Only these may be compared with each other."""

    trials: list[Trial]

    @property
    def budget(self) -> dict[str, Any]:
        return self.trials[0].budget

    @cached_property
    def counted(self) -> list[Trial]:
        """The trials that enter statistics, best first."""
        found = [trial for trial in self.trials if trial.top1 is not None]
        return sorted(found, key=lambda trial: (-trial.score, trial.name))

    @cached_property
    def by_setting(self) -> dict[str, list[Trial]]:
        """The trials that enter statistics by setting, in the order of the study's trials."""
        return group(self._ordered, lambda trial: trial.setting)

    @cached_property
    def by_generator(self) -> dict[str, list[Trial]]:
        """The trials that enter statistics by generator."""
        return group(self._ordered, lambda trial: trial.generator)

    @property
    def _ordered(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.top1 is not None]


def read(record: Record) -> Trial | Broken:
    """The trial of a record, whatever state it is in."""
    try:
        return _read(record)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        cause = f"lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        return Broken(record.folder.name, " ".join(cause.replace(f"{record.folder}/", "").split()))


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """Trials by generator, parameters and seeds."""
    return sorted(trials, key=_order)


def groups(trials: Sequence[Trial]) -> list[Group]:
    """Trials by budget, the largest group first; in a group they keep their order."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(json.dumps(trial.budget, sort_keys=True), []).append(trial)
    return [Group(found[key]) for key in sorted(found, key=lambda key: (-len(found[key]), key))]


def number(row: Row, key: str) -> float | None:
    """A finite number of a row, or None."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _order(trial: Trial) -> tuple[str, tuple[float, ...], int, int]:
    parameters = tuple(trial.config.generator.params().values())
    return trial.generator, parameters, trial.config.graph.seed, trial.config.train.seed


def _read(record: Record) -> Trial:
    config = configs.load(str(record.folder))
    rows = record.metrics()
    summary = _object(record, "summary.json")
    status, cause = summary.get("status", "unfinished"), summary.get("cause") or ""
    top1 = number(summary, "val_top1") if status == "finished" else None
    if status not in STATUSES:
        status, cause = "unfinished", f"unknown status {status!r}"
    elif status == "unfinished":
        cause = f"{len(rows)} of {config.train.epochs} epochs so far" if rows else "no epoch has ended yet"
    elif status == "finished" and (top1 is None or summary.get("epochs") != config.train.epochs):
        status, top1 = "unfinished", None
        cause = f"summary.json says finished after {summary.get('epochs')} of {config.train.epochs} epochs, not counted"
    stages = _object(record, "dag.json").get("stages", {})
    return Trial(
        folder=record.folder.name,
        config=config,
        status=status,
        cause=" ".join(str(cause).split()),
        top1=top1,
        rows=rows,
        dags={stage: DAG.from_text(text) for stage, text in record.graphs().items()},
        measures=_means([stage["measures"] for stage in stages.values()]),
        complexity=_object(record, "complexity.json"),
        environment=_object(record, "environment.json"),
        summary=summary,
    )


def _object(record: Record, name: str) -> Row:
    """The content of a JSON file that holds an object; empty if there is no such file."""
    value = record.read_json(name)
    if value is not None and not isinstance(value, dict):
        raise RecordError(f"{record.folder / name}: damaged: must hold an object")
    return value or {}


def _means(measures: Sequence[Row]) -> dict[str, float]:
    found = {}
    for key in measures[0] if measures else ():
        values = [number(row, key) for row in measures]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            found[key] = math.fsum(known) / len(known)
    return found
