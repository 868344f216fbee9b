"""What a study will do, and what it has done, from the design and the records alone: no Ray, no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from randwire import data
from randwire.config import RunConfig
from randwire.records import Row
from randwire.run import count, sample_graphs
from randwire.study.design import Design, StudyFolder
from randwire.study.search import Search


@dataclass(frozen=True)
class Planned:
    """One trial: its number in the plan, configuration, size, graph measures, and the summary if it has ended."""

    number: int
    config: RunConfig
    params: int
    mult_adds: int
    sources: int
    depth: int
    state: str

    def to_row(self) -> Row:
        return {
            "number": self.number,
            "digest": self.config.digest,
            "setting": self.config.graph.generator,
            "graph_seed": self.config.graph.seed,
            "train_seed": self.config.train.seed,
            "params": self.params,
            "mult_adds": self.mult_adds,
            "sources": self.sources,
            "depth": self.depth,
            "state": self.state,
        }


def settings(design: Design) -> list[str]:
    """The settings suggested so far and those that will come whatever the results, in order."""
    known = StudyFolder(design).suggestions()
    return known + [spec for spec in Search(design).foreseeable() if spec not in known]


def plan(design: Design) -> tuple[list[Planned], int]:
    """The trials that are foreseeable, and the number of further settings that will depend on results.

    Raises ConfigError for a setting that is impossible.
    """
    specs = settings(design)
    trials = [trial for spec in specs for trial in design.trials(spec)]
    return [_planned(design, number, trial) for number, trial in enumerate(trials, 1)], Search(design).total - len(
        specs
    )


def training_images(trials: Sequence[Planned]) -> int:
    """The images that the trainings of all trials see, whatever has ended: epochs times training images, summed."""
    return sum(trial.config.train.epochs * data.train_images(trial.config.data) for trial in trials)


def gpu_hours(images: int, images_per_s: float) -> float:
    """The GPU-hours of training on `images` at a rate of one GPU; evaluation and start-up come on top."""
    return images / images_per_s / 3600


def _planned(design: Design, number: int, trial: RunConfig) -> Planned:
    samples = sample_graphs(trial)
    counted = count(trial, samples)
    largest = max(samples.values(), key=lambda sample: sample.dag.nodes).dag
    return Planned(
        number, trial, counted.params, counted.mult_adds, len(largest.sources), largest.depth, state(design, trial)
    )


def state(design: Design, trial: RunConfig) -> str:
    """finished, pruned, failed, unfinished (it has a record but no summary) or pending."""
    record = design.record(trial)
    summary = record.summary()
    if summary:
        return str(summary["status"])
    return "unfinished" if (record.folder / "config.yaml").exists() else "pending"


def status(design: Design) -> tuple[Counter[str], list[Row]]:
    """Trials by state, and a row for each trial of the settings suggested so far."""
    rows = []
    for spec in StudyFolder(design).suggestions():
        for trial in design.trials(spec):
            record = design.record(trial)
            summary, metrics = record.summary() or {}, record.metrics()
            rows.append(
                {
                    "digest": trial.digest,
                    "setting": trial.graph.generator,
                    "graph_seed": trial.graph.seed,
                    "train_seed": trial.train.seed,
                    "state": state(design, trial),
                    "epochs": len(metrics),
                    "of": trial.train.epochs,
                    "val_top1": metrics[-1]["val_top1"] if metrics else None,
                    "cause": summary.get("cause"),
                }
            )
    return Counter(str(row["state"]) for row in rows), rows


def stored(folder_of: Design) -> Design:
    """The design that the study's folder holds, or the given one if it holds none yet."""
    from randwire.records import Record

    known = Record(folder_of.folder).read_json("study.json")
    if known is None:
        return folder_of
    base = RunConfig.model_validate(
        {
            **known["base"],
            "graph": {**known["base"]["graph"], "seed": known["seeds"][0], "generator": folder_of.base.graph.generator},
            "runtime": folder_of.base.runtime.model_dump(),
            "data": {**known["base"]["data"], "path": folder_of.base.data.path},
        }
    )
    return Design(
        base=base,
        search=known["search"],
        settings=known["settings"],
        seeds=len(known["seeds"]),
        train_seeds=len(known["train_seeds"]),
        generators=tuple(known["generators"]),
        seed=known["seed"],
        early_stopping=known["early_stopping"],
    )
