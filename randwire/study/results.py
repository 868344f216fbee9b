"""What the records of a study say of its trials."""

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from randwire import config as configs
from randwire import records
from randwire.attempts import earlier
from randwire.config import RunConfig
from randwire.config.variant import as_text, short, variant_of
from randwire.correct import Correct
from randwire.dag import DAG, graph_key
from randwire.errors import RecordError, one_line
from randwire.metrics import TEST_LOSS, TEST_TOP1, VAL_LOSS, VAL_TOP1
from randwire.parts import parts_of
from randwire.records import Record, Row
from randwire.study.folder import base_of
from randwire.study.matched import KEY as CHANNELS
from randwire.study.matched import is_matched
from randwire.study.measures import check_graphs, measures_of
from randwire.study.objectives import TOP1
from randwire.study.search_space import GRAPH_SEED
from randwire.study.statuses import RECORD_STATUSES
from randwire.study.stored import flaw_of
from randwire.study.variants import possible, resolved, values_of, varied_keys

NUMBER_TYPES = (int, float)
OF_NETWORKS = ("graph.", "network.")
"""The sections that describe a network: all other keys say how it is trained."""


@dataclass(frozen=True)
class UnreadableRecord:
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
    """Top-1 after the last epoch, in percent, of the images that choose; None if the trial does not count."""
    rows: Sequence[Row]
    dags: dict[str, DAG]
    measures: dict[str, float]
    """Means over the random stages."""
    complexity: Row
    parts: Sequence[Row]
    """By which processes it was trained, see `parts`."""
    summary: Row = field(default_factory=dict)
    earlier: Sequence[Row] = ()
    """The summaries of failed attempts, after which it was begun again; see `attempts`."""
    variant: str = ""
    """The name of the variant, in a study that compares some; empty if the trial is none of them."""
    varied: tuple[str, ...] = ()
    """The dotted keys in which variants differ, or networks of equal cost."""
    test_top1: float | None = None
    """With a holdout, top-1 of the images that only tell."""
    record: Record | None = None
    """Where it was read from."""

    @property
    def correct(self) -> Correct | None:
        """Which of the images that tell it got right; None where that was not recorded, or is damaged.

        Read again each time: the images of thousands of trials do not fit in memory.
        """
        try:
            found = None if self.record is None or self.top1 is None else Correct.load(self.record)
        except RecordError:
            return None
        return found if found is not None and found.split == "val" else None

    @property
    def loss(self) -> float | None:
        """Cross entropy of the images that tell, after the last epoch; None where that was not recorded."""
        if self.top1 is None or not self.rows:
            return None
        return number(self.summary, TEST_LOSS.key) if self.config.data.holdout else number(self.rows[-1], VAL_LOSS.key)

    @property
    def run(self) -> str:
        """The id of its W&B run."""
        return self.config.digest if not self.earlier else f"{self.config.digest}-{1 + len(self.earlier)}"

    @property
    def started(self) -> str:
        """When its first part began (ISO 8601); empty where that was not recorded."""
        return next((str(part["started"]) for part in self.parts if part.get("started")), "")

    @property
    def generator(self) -> str:
        return self.config.family

    @property
    def setting(self) -> str:
        return f"{self.config.label} {self.variant}".strip()

    @property
    def reference(self) -> bool:
        """Whether it is a published network, which has no graphs."""
        return self.config.network.reference is not None

    @property
    def spec(self) -> str:
        """What its setting is: the generator's spec, or the name of a published network with its provider."""
        return self.config.network.reference or self.config.graph.generator

    @property
    def graph_seed(self) -> int | None:
        """The seed that random graphs come from; None for saved graphs and published networks."""
        return None if self.reference or self.config.graph.path is not None else self.config.graph.seed

    @property
    def name(self) -> str:
        """The setting with the seeds: that of the graphs, which a published network does not have, and of training."""
        graph = "" if self.reference else f" g{self.config.graph.seed}"
        return f"{self.setting}{graph} t{self.config.train.seed}"

    @property
    def one_graph(self) -> bool:
        """Whether the setting is one network, so that only training tells its trials apart."""
        return GRAPH_SEED in self.varied or self.graph_seed is None or self.config.generator.deterministic

    @property
    def graph(self) -> str:
        """What names its graphs beside those of other trials, whatever the variant."""
        return self.config.label if self.one_graph else f"{self.config.label} g{self.config.graph.seed}"

    @cached_property
    def graph_key(self) -> str:
        """What its graphs are: the same of all trials on the same graphs, whatever their seeds, settings and variants.

        It is what numbers of graphs count. Of a trial that has not recorded its graphs, the name by the seed.
        """
        return graph_key(self.dags) if self.dags else self.graph

    @property
    def score(self) -> float:
        """The top-1 that a report tells of a trial that counts: by images that chose nothing, where there are such."""
        return self.chosen_by if self.test_top1 is None else self.test_top1

    @property
    def chosen_by(self) -> float:
        """The top-1 that says whether a trial that counts is better than another."""
        assert self.top1 is not None, "only finished trials have a score"
        return self.top1

    @cached_property
    def budget(self) -> dict[str, Any]:
        """Every dotted key that decides a result, but for the generator, the seeds and what variants differ in.

        Of a published network those of data and training alone: what `graph` and `network` say of a randomly wired
        network is not said of it, and so does not set it apart from one (see `groups.groups`).
        """
        sections = self.config.identity().items()
        flat = {f"{section}.{key}": value for section, values in sections for key, value in values.items()}
        varied = ("graph.generator", "graph.seed", "graph.path_sha256", "train.seed", *self.varied)
        left_out = OF_NETWORKS if self.reference else ()
        return {key: flat[key] for key in flat if key not in varied and not key.startswith(left_out)}


def load(folder: Path) -> tuple[list[Trial], list[UnreadableRecord]]:
    """The trials of a study, in order, and the records that cannot be read. Raises RecordError if there is none."""
    enabled = gc.isenabled()
    gc.disable()  # it would look at millions of rows again and again, and none of them is garbage
    try:
        read_records = [read(record) for record in records.find_records(folder)]
    finally:
        if enabled:
            gc.enable()
    if not read_records:
        raise RecordError(f"{folder}: holds no record of a trial to report on")
    trials = [trial for trial in read_records if isinstance(trial, Trial)]
    study = design_of(folder) or {}
    if study.get("variants"):
        trials = _with_variants(trials, study)
    elif study.get("space"):
        trials = _with_suggested_keys(trials, study["space"])
    elif (study.get("confirm") or study.get("longer")) and isinstance(only := study.get("only"), list):
        trials = _with_suggested_keys(trials, [word for text in only for word in str(text).split()[1:]])
    if study.get("match_mult_adds"):
        trials = [_matched(trial, study["match_mult_adds"]) for trial in trials]
    return in_order(trials), [trial for trial in read_records if isinstance(trial, UnreadableRecord)]


def _with_variants(trials: Sequence[Trial], study: Row) -> list[Trial]:
    """Trials with their variants, as far as they have the values of all keys that variants of the study set.

    A record holds the name of its variant. One that was written before records did is of the variant with its values.
    Of a design that cannot be read trials keep what is recorded: their budgets differ in what their variants do.
    """
    try:
        base = base_of(study, data_path="unknown")
        variants = possible(base, study["variants"])  # of the others, such as an operation that is gone, none is read
        keys, values = varied_keys(variants), resolved(base, variants)
    except (ValueError, KeyError, TypeError, AttributeError):
        return list(trials)

    def variant_of(config: RunConfig) -> str:
        recorded = config.runtime.variant
        own = values_of(config, keys)
        return next((name for name in values if values[name] == own and recorded in ("", name)), "")

    return [replace(trial, variant=variant_of(trial.config), varied=keys) for trial in trials]


def _with_suggested_keys(trials: Sequence[Trial], texts: object) -> list[Trial]:
    """Trials of a search over further keys: the values of these are the variant, and no part of the budget."""
    known = configs.keys()
    named = [str(text).partition("=")[0] for text in texts] if isinstance(texts, list) else []
    keys = tuple(sorted(key for key in named if key in known))

    def suggested(trial: Trial) -> Trial:
        values = dict(zip(keys, values_of(trial.config, keys), strict=True))
        return replace(trial, variant=short(variant_of(values)), varied=keys)

    def rank(trial: Trial) -> list[tuple[float, str]]:
        values = values_of(trial.config, keys)
        return [(value, "") if isinstance(value, NUMBER_TYPES) else (math.inf, as_text(value)) for value in values]

    return [suggested(trial) for trial in sorted(trials, key=rank)]


def _matched(trial: Trial, mult_adds: float) -> Trial:
    """A trial of networks of equal cost: their channels are no difference between budgets."""
    if not is_matched(trial.config.network.channels, number(trial.complexity, "mult_adds"), mult_adds):
        return trial  # of channels that something else has chosen
    return replace(trial, varied=tuple(sorted({*trial.varied, CHANNELS})))


def design_of(folder: Path) -> Row | None:
    """The design of a study, or None if it was not recorded or is damaged."""
    try:
        study = Record(folder).read_json("study.json")
    except RecordError:
        return None
    return None if flaw_of(study) else study


def read(record: Record) -> Trial | UnreadableRecord:
    """The trial of a record, whatever state it is in."""
    try:
        return _read(record)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        cause = f"lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        return UnreadableRecord(record.folder.name, one_line(cause.replace(f"{record.folder}/", "")))


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """Trials by generator, parameters and seeds."""
    return sorted(trials, key=_order)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def number(row: Row, key: str) -> float | None:
    """A finite number of a row, or None."""
    value = row.get(key)
    return float(value) if isinstance(value, NUMBER_TYPES) and math.isfinite(value) else None


def quantity(trial: Trial, name: str) -> float | None:
    """What a search may be after, by its name: top-1 (%) of the images that choose, a graph measure, or a size."""
    if name == TOP1:
        return trial.top1
    return trial.measures.get(name, number(trial.complexity, name))


def _order(trial: Trial) -> tuple[str, tuple[float, ...], int, int]:
    parameters = () if trial.reference else tuple(trial.config.generator.params().values())
    return trial.generator, parameters, trial.config.graph.seed, trial.config.train.seed


def _read(record: Record) -> Trial:
    config = configs.load(str(record.folder))
    rows = record.metrics()
    summary = record.summary() or {}
    status, cause = summary.get("status", "unfinished"), summary.get("cause") or ""
    top1 = number(summary, VAL_TOP1.key) if status == "finished" else None
    if status not in RECORD_STATUSES:
        status, cause = "unfinished", f"unknown status {status!r}"
    elif status == "unfinished":
        cause = f"{len(rows)} of {config.train.epochs} epochs so far" if rows else "no epoch has ended yet"
    elif status == "finished" and (top1 is None or summary.get("epochs") != config.train.epochs):
        status, top1 = "unfinished", None
        cause = f"summary.json says finished after {summary.get('epochs')} of {config.train.epochs} epochs, not counted"
    test_top1 = number(summary, TEST_TOP1.key) if top1 is not None and config.data.holdout else None
    if top1 is not None and config.data.holdout and test_top1 is None:
        status, top1 = "unfinished", None
        cause = f"summary.json lacks {TEST_TOP1.key}, which a trial with data.holdout ends with, not counted"
    stages = _object(record, "dag.json").get("stages", {})
    dags = {stage: DAG.from_text(text) for stage, text in record.graphs().items()}
    check_graphs(record, stages, dags)
    return Trial(
        folder=record.folder.name,
        config=config,
        status=status,
        cause=one_line(cause),
        top1=top1,
        rows=rows,
        dags=dags,
        measures=measures_of(stages, dags),
        complexity=_object(record, "complexity.json"),
        parts=parts_of(record),
        summary=summary,
        earlier=earlier(record),
        variant=config.runtime.variant,
        test_top1=test_top1,
        record=record,
    )


def _object(record: Record, name: str) -> Row:
    """The content of a JSON file that holds an object; empty if there is no such file."""
    value = record.read_json(name)
    if value is not None and not isinstance(value, dict):
        raise RecordError(f"{record.folder / name}: damaged: must hold an object")
    return value or {}
