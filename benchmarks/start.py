"""What does the start of a trial cost? Sweeps of short trainings, as randwire runs them and as one would write them.

python -m benchmarks.start [--settings 8] [--rounds 2] [--epochs 2] [--workers 2] [--json FILE] [--figure FILE]

The plain form is Ray's own: a function that Tune calls for each trial launches a TorchTrainer, all else is Ray's
default. Both forms train the same settings on the digits, one at a time, on a Ray cluster that each starts on this
machine, and take turns. Times are wall times; CPU seconds are those of all processes, looked at twice a second.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import torch

from benchmarks.table import print_table
from randwire.config import load
from randwire.environment import environment
from randwire.records import Row
from randwire.study.design import Design
from randwire.study.search import Search
from randwire.study.setting import Setting
from randwire.sweep import launch
from randwire.sweep.cluster import Cluster
from randwire.sweep.driver import HEAD, Group, SettingDriver
from randwire.sweep.job import Job
from randwire.tracking import open_tracker
from randwire.training.worker import ProcessWorker

MARKS = "marks.jsonl"
STAGES = {
    "cluster": "Ray cluster",
    "driver": "driver",
    "workers": "workers",
    "data": "data",
    "network": "network",
    "step": "first step",
    "trained": "training",
}
"""What ends with each mark of a setting. The end of one setting is the beginning of the next."""
FORMS = ("plain", "randwire")


class Marks:
    """When a stage of a setting ended, in a file; told by rank 0 and the driver."""

    def __init__(self, folder: Path) -> None:
        self.path, self.setting = folder / MARKS, ""

    def add(self, stage: str, setting: str | None = None) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps([self.setting if setting is None else setting, stage, time.time()]) + "\n")

    def after(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The function, with a mark when it returns."""

        def marked(*arguments: Any, **keywords: Any) -> Any:
            result = function(*arguments, **keywords)
            self.add(stage)
            return result

        return marked


@contextmanager
def in_worker(job: Job) -> Iterator[None]:
    """Marks of what a train worker does with each setting; the first of a stage counts."""
    import ray.train

    from randwire import data, run
    from randwire.sweep import worker

    marks, train = Marks(job.design.folder), worker.train_setting

    def marked(setting: Setting, *arguments: Any) -> None:
        marks.setting = str(setting)
        marks.add("workers")
        train(setting, *arguments)
        marks.add("trained")

    with ExitStack() as patches:
        if ray.train.get_context().get_world_rank() == 0:
            for place, name, stage in (
                (data, "prepare", "data"), (run, "RandWire", "network"), (worker.RayWorker, "step", "step")
            ):  # fmt: skip
                patches.enter_context(mock.patch.object(place, name, marks.after(getattr(place, name), stage)))
            patches.enter_context(mock.patch.object(worker, "train_setting", marked))
        yield


def train_plain(config: Mapping[str, Any]) -> None:
    """One setting in a worker group of its own."""
    from randwire.sweep import worker

    with in_worker(config["job"]):
        worker.train_setting(Setting.parse(config["setting"]), config["job"], desk=None)


def drive_plain(params: Mapping[str, Any], job: Job) -> None:
    """The function that Tune calls for each setting, as Ray's guide has it."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    Marks(job.design.folder).add("driver", params["setting"])
    trainer = TorchTrainer(
        train_plain,
        train_loop_config={"job": job, **params},
        scaling_config=ray.train.ScalingConfig(num_workers=job.workers),
        run_config=ray.train.RunConfig(
            name=f"train-{tune.get_context().get_trial_id()}",
            storage_path=job.scratch,
            callbacks=[TuneReportCallback()],  # type: ignore[list-item, no-untyped-call] # typed as of the old Train
        ),
    )
    trainer.fit()


def sweep_plain(design: Design, workers: int) -> None:
    import ray
    from ray import tune

    marks = Marks(design.folder)
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(design, workers, scratch)
        ray.init(address="local", num_cpus=max(workers, os.cpu_count() or 1), log_to_driver=False)
        marks.add("cluster")
        try:
            tune.Tuner(
                tune.with_resources(tune.with_parameters(drive_plain, job=job), HEAD),
                param_space={"setting": tune.grid_search(list(map(str, iter(Search(design).next, None))))},
                tune_config=tune.TuneConfig(max_concurrent_trials=1),
                run_config=tune.RunConfig(storage_path=scratch, verbose=0),
            ).fit()
        finally:
            ray.shutdown()


def train_ours(config: Mapping[str, Any]) -> None:
    """`train_settings`, with marks."""
    from randwire.sweep import worker

    with in_worker(config["job"]):
        worker.train_settings(config)


class MarkedDriver(SettingDriver):
    """The driver of a sweep, with marks."""

    def trained(self, setting: str) -> Iterator[Row]:
        Marks(self.job.design.folder).add("driver", setting)
        yield from super().trained(setting)

    def start(self) -> Group:
        return Group(train_ours, self.job)


def sweep_ours(design: Design, workers: int) -> None:
    import ray

    marks = Marks(design.folder)
    with (
        mock.patch.object(launch, "SettingDriver", MarkedDriver),
        mock.patch.object(ray, "init", marks.after(ray.init, "cluster")),
    ):
        tracker = open_tracker("disabled", "p", "s", design.folder)
        launch.sweep(design, Cluster(workers=workers, concurrent=1), tracker)


@dataclass(frozen=True)
class Measured:
    """One sweep, in seconds. `spans`: for each setting in order, its stages; the first has the start of the cluster."""

    form: str
    wall: float
    cpu: float
    spans: list[dict[str, float]]

    @property
    def share(self) -> float:
        """Of the wall time, that of training: what follows the first step."""
        return sum(span["trained"] for span in self.spans) / self.wall


class CpuTime(threading.Thread):
    """CPU seconds of this process and of all that come from it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[tuple[int, float], float] = {}
        self.ended = threading.Event()
        self._look()
        self.before = self.seconds

    @property
    def seconds(self) -> float:
        return sum(self.seen.values())

    def _look(self) -> None:
        process = psutil.Process()
        for one in (process, *process.children(recursive=True)):
            try:
                times = one.cpu_times()
                self.seen[one.pid, one.create_time()] = times.user + times.system
            except psutil.Error:
                pass  # it has ended

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self._look()

    def stop(self) -> float:
        self._look()
        self.ended.set()
        self.join()
        return self.seconds - self.before


def measure(form: str, settings: int, epochs: int, workers: int) -> Measured:
    """A sweep of settings of one trial each, in one form."""
    with tempfile.TemporaryDirectory(prefix="randwire-benchmark-") as place:
        keys = {"runtime.output": place, "runtime.study": form, "runtime.wandb": "disabled", "train.epochs": epochs}
        design = Design(load("digits", keys), search="random", settings=settings, seeds=1)
        design.open()
        cpu, began = CpuTime(), time.time()
        cpu.start()
        (sweep_plain if form == "plain" else sweep_ours)(design, workers)
        wall = time.time() - began
        return Measured(form, wall, cpu.stop(), _spans(design.folder / MARKS, began))


def _spans(path: Path, began: float) -> list[dict[str, float]]:
    first: dict[str, dict[str, float]] = {}
    for setting, stage, at in sorted(map(json.loads, path.read_text().splitlines()), key=lambda mark: mark[2]):
        marks = first.setdefault(setting, {})
        marks[stage] = at if stage == "trained" else marks.get(stage, at)
    spans: list[dict[str, float]] = []
    last = began
    cluster = first.pop("")["cluster"]
    for marks in first.values():
        span = {"cluster": 0.0 if spans else cluster - began}
        last = last if spans else cluster
        for stage in list(STAGES)[1:]:
            span[stage] = marks[stage] - last
            last = marks[stage]
        spans.append(span)
    return spans


def show(found: list[Measured]) -> None:
    """Print the tables: stages of the first setting and of the later ones, then whole sweeps."""
    columns = [(form, later) for form in FORMS for later in (False, True)]
    rows = [["seconds, medians", *(f"{form}, {'later' if later else 'first'}" for form, later in columns)]]
    for stage, name in STAGES.items():
        values = [_median(found, form, later, itemgetter(stage)) for form, later in columns]
        rows.append([name, *(f"{value:.1f}" for value in values)])
    before = [_median(found, form, later, _before) for form, later in columns]
    rows.append(["all before training", *(f"{value:.1f}" for value in before)])
    print_table(rows)
    rows = [["a sweep, medians", "wall s", "of it training", "CPU s", "wall, plain / this", "CPU, plain / this"]]
    for form in FORMS:
        sweeps = [one for one in found if one.form == form]
        plain = [one for one in found if one.form == "plain"]
        walls = [base.wall / one.wall for base, one in zip(plain, sweeps, strict=True)]
        cpus = [base.cpu / one.cpu for base, one in zip(plain, sweeps, strict=True)]
        middle = [statistics.median(values) for values in (
            [one.wall for one in sweeps], [100 * one.share for one in sweeps], [one.cpu for one in sweeps], walls, cpus
        )]  # fmt: skip
        rows.append([form, *(text.format(value) for text, value in zip(
            ("{:.0f}", "{:.0f} %", "{:.0f}", "{:.2f}", "{:.2f}"), middle, strict=True
        ))])  # fmt: skip
    print_table(rows)


def _before(span: dict[str, float]) -> float:
    return sum(seconds for stage, seconds in span.items() if stage != "trained")


def _median(found: list[Measured], form: str, later: bool, value: Callable[[dict[str, float]], float]) -> float:
    spans = [span for one in found if one.form == form for span in (one.spans[1:] if later else one.spans[:1])]
    return statistics.median(map(value, spans)) if spans else math.nan


COLOURS = ("#4d4d4d", "#b35806", "#e08214", "#fdb863", "#d8daeb", "#8073ac", "#2d8a57")


def draw(found: list[Measured], path: Path) -> None:
    """The course of the median sweep of each form: a row for each, a piece for each stage of a setting."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(9, 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    for place, form in enumerate(FORMS):
        sweeps = sorted((one for one in found if one.form == form), key=lambda one: one.wall)
        one = sweeps[(len(sweeps) - 1) // 2]
        left = 0.0
        for span in one.spans:
            for stage, colour in zip(STAGES, COLOURS, strict=True):
                ax.barh(place, span[stage], left=left, height=0.6, color=colour)
                left += span[stage]
            ax.plot([left, left], [place - 0.36, place + 0.36], color="black", linewidth=0.8)
        text = f"{one.wall:.0f} s, {one.share:.0%} training"
        ax.text(left, place - 0.4, text, ha="right", va="bottom", fontsize=9)
    ax.set_yticks(range(len(FORMS)), FORMS)
    ax.set_ylim(len(FORMS) - 0.5, -0.75)
    ax.set_xlabel(f"seconds of a sweep of {len(found[0].spans)} settings, which end at the black lines")
    ax.spines[["top", "right"]].set_visible(False)
    handles = [Patch(color=colour, label=name) for name, colour in zip(STAGES.values(), COLOURS, strict=True)]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--settings", type=int, default=8, help="of a sweep, of one trial each [%(default)s]")
    parser.add_argument("--rounds", type=int, default=2, help="sweeps of each form [%(default)s]")
    parser.add_argument("--epochs", type=int, default=2, help="of a trial [%(default)s]")
    parser.add_argument("--workers", type=int, default=2, help="of a trial [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the course of the sweeps, as a PNG")
    chosen = parser.parse_args()
    about = environment(ProcessWorker(torch.device("cpu")), " ".join(sys.argv))
    print(json.dumps(about), file=sys.stderr)
    found = []
    for number in range(chosen.rounds):
        for form in FORMS:
            print(f"round {number + 1} of {chosen.rounds}: {form}", file=sys.stderr)
            found.append(measure(form, chosen.settings, chosen.epochs, chosen.workers))
    show(found)
    if chosen.json:
        chosen.json.write_text(json.dumps({"environment": about, "sweeps": [asdict(one) for one in found]}, indent=1))
    if chosen.figure:
        draw(found, chosen.figure)


if __name__ == "__main__":
    main()
