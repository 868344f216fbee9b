"""The design of a study: which settings are compared, over which seeds, from which configuration.

A *setting* is a generator with its parameters. A *trial* is one training run: a setting, a graph seed and a training
seed. All trials of a setting are trained one after the other by one group of workers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from randwire import graphs
from randwire.config import ConfigError, RunConfig
from randwire.records import Record, RecordError, Row, atomic

Search = Literal["tpe", "random", "grid"]
Outcome = Literal["finished", "pruned", "failed", "unfinished"]


@dataclass(frozen=True)
class Design:
    """`base` names the study (`runtime.study`) and holds every key that the study does not vary."""

    base: RunConfig
    search: Search = "tpe"
    settings: int = 6
    seeds: int = 2
    train_seeds: int = 1
    generators: tuple[str, ...] = ("er", "ba", "ws")
    seed: int = 0
    early_stopping: bool = False

    @property
    def folder(self) -> Path:
        return self.base.runtime.output / self.base.runtime.study

    def trials(self, spec: str) -> list[RunConfig]:
        """The trials of a setting. Raises ConfigError if the setting is impossible for the network.

        Where all graph seeds give one graph, such as WS(4,0), each has training seeds of its own: the trials would be
        one trial repeated, and their spread zero.
        """
        step = self.train_seeds if graphs.parse(spec).deterministic else 0
        return [
            self.base.override(
                {
                    "graph.generator": spec,
                    "graph.seed": self.base.graph.seed + graph_seed,
                    "train.seed": self.base.train.seed + graph_seed * step + train_seed,
                }
            )
            for graph_seed in range(self.seeds)
            for train_seed in range(self.train_seeds)
        ]

    def record(self, trial: RunConfig) -> Record:
        return Record(self.folder / trial.digest)

    def outcome(self, spec: str) -> tuple[Outcome, float | None]:
        """How a setting has ended, and the mean final top-1 of its trials, from the records alone.

        A setting with a trial that was stopped early is pruned, one with a failed trial failed: neither has a mean.
        """
        summaries = [self.record(trial).summary() for trial in self.trials(spec)]
        statuses = [summary["status"] for summary in summaries if summary]
        if "pruned" in statuses:
            return "pruned", None
        if len(statuses) < len(summaries):
            return "unfinished", None
        if "failed" in statuses:
            return "failed", None
        return "finished", sum(summary["val_top1"] for summary in summaries if summary) / len(summaries)

    def identity(self) -> dict[str, Any]:
        """What must not change while a study goes on."""
        base = self.base.identity()
        del base["graph"]["generator"]
        return {
            "search": self.search,
            "seed": self.seed,
            "generators": list(self.generators),
            "early_stopping": self.early_stopping,
            "base": base,
        }

    def to_json(self) -> Row:
        return {
            **self.identity(),
            "settings": self.settings,
            "seeds": list(range(self.base.graph.seed, self.base.graph.seed + self.seeds)),
            "train_seeds": list(range(self.base.train.seed, self.base.train.seed + self.train_seeds)),
        }


class StudyFolder:
    """The files that a study keeps beside its records.

    study.json           the design
    suggestions.jsonl    the settings in the order in which they were suggested
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.folder = design.folder

    def open(self) -> None:
        """Write the design. Raises ConfigError if the folder holds a study of another design, or is not writable."""
        try:
            known = Record(self.folder).read_json("study.json")
        except RecordError as error:
            raise ConfigError(str(error)) from None
        if known is not None:
            for key, value in self.design.identity().items():
                if known.get(key) != value:
                    change = _difference(known.get(key), value, key)
                    raise ConfigError(
                        f"{self.folder}: holds a study with another {change}; name this one with --name NAME"
                    )
        try:
            Record(self.folder).write_json("study.json", self.design.to_json())
        except OSError as error:
            raise ConfigError(
                f"{self.folder}: cannot be written ({error.strerror}); choose a folder with --runtime.output"
            ) from None

    def suggestions(self) -> list[str]:
        """The specs suggested so far, in order."""
        try:
            lines = (self.folder / "suggestions.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line)["setting"] for line in lines]

    def add_suggestion(self, spec: str) -> None:
        """Add a spec; the file is whole at every moment."""
        known = self.suggestions()
        if spec not in known:
            with atomic(self.folder / "suggestions.jsonl") as file:
                file.write("".join(json.dumps({"setting": other}) + "\n" for other in [*known, spec]).encode())


def _difference(old: Any, new: Any, key: str) -> str:
    """The first dotted key in which two values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in new:
            if old.get(name) != new[name]:
                return _difference(old.get(name), new[name], f"{key}.{name}" if key != "base" else name)
    return f"{key} ({old!r}, not {new!r})"
