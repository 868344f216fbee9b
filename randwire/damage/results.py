"""The results of graph damage as values: the lines of damage.jsonl, what makes them comparable, and the drops."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from randwire.damage.removal import Damage, Kind
from randwire.errors import RecordError
from randwire.json_files import read_lines
from randwire.metrics import VAL_LOSS, VAL_TOP1
from randwire.records import Row
from randwire.statistics.describe import group

FILE = "damage.jsonl"
KINDS: tuple[Kind, ...] = ("node", "edge")


@dataclass(frozen=True)
class Protocol:
    """What results must have in common to be compared: the networks' size and training, and the images that judge."""

    regime: str
    channels: int
    nodes: tuple[int, ...]
    """Of the random stages, each number once."""
    op: str
    epoch: int
    source: str
    """Of the validation images."""
    resolution: int
    """Pixels of a side."""
    precision: str
    """In which it was evaluated: fp32. Earlier results say that of the training, in which they were evaluated."""
    images: int
    """Validation images that judge."""
    val_images: int
    """Validation images that there are."""
    image_seed: int | None = None
    """Seed of the sample of images; None where all of them judge."""

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Of a line of damage.jsonl, also of one that holds a sentence instead. Raises KeyError, TypeError, ValueError.

        Results of version 0.1 said their protocol in a sentence only.
        """
        if "protocol" not in row:
            return cls._from_sentence(row["about"])
        values = row["protocol"]
        return cls(**values | {"nodes": tuple(values["nodes"])})

    @classmethod
    def _from_sentence(cls, sentence: str) -> Self:
        match = _SENTENCE.fullmatch(sentence)
        if not match:
            raise ValueError(f"unknown protocol: {sentence}")
        values: dict[str, Any] = match.groupdict()
        for name in ("channels", "epoch", "resolution", "images"):
            values[name] = int(values[name])
        values["val_images"] = int(values["val_images"] or values["images"])
        values["image_seed"] = None if values["image_seed"] is None else int(values["image_seed"])
        values["nodes"] = tuple(map(int, values["nodes"].split("/")))
        return cls(**values)

    def __str__(self) -> str:
        """The sentence of the report."""
        nodes = "/".join(map(str, self.nodes))
        sampled = "" if self.image_seed is None else f" (seed {self.image_seed}) of {self.val_images}"
        return (
            f"{self.regime} regime, C = {self.channels}, {nodes} nodes a stage, {self.op}, after epoch {self.epoch}; "
            f"{self.images}{sampled} validation images of {self.source} at {self.resolution} pixels, {self.precision}"
        )

    def differences(self, other: Self) -> list[tuple[str, object, object]]:
        """The names of the fields that differ, and both values."""
        mine, others = asdict(self), asdict(other)
        return [(name, value, others[name]) for name, value in mine.items() if value != others[name]]


_SENTENCE = re.compile(
    r"(?P<regime>.+) regime, C = (?P<channels>\d+), (?P<nodes>\d+(?:/\d+)*) nodes a stage, (?P<op>\w+), "
    r"after epoch (?P<epoch>\d+); (?P<images>\d+)(?: \(seed (?P<image_seed>\d+)\) of (?P<val_images>\d+))? "
    r"validation images of (?P<source>.+) at (?P<resolution>\d+) pixels, (?P<precision>\w+)"
)


@dataclass(frozen=True)
class Subject:
    """The trained network that results are of, and the protocol of all of them."""

    network: str
    """Its fingerprint."""
    record: str
    """The path of its record or checkpoint file."""
    generator: str
    setting: str
    protocol: Protocol


@dataclass(frozen=True)
class Result:
    """One evaluation: a line of damage.jsonl."""

    subject: Subject
    damage: Damage | None
    """None for the whole network."""
    degree: int | None
    """What the drop is shown against, see Damage.degree; None for the whole network."""
    recalibrate: int
    """Training batches that gave the BN statistics; 0 for those of the training."""
    top1: float
    """Percent."""
    loss: float | None
    """Mean cross-entropy; None if it is not finite, as JSON knows neither infinity nor NaN."""

    @property
    def kind(self) -> Kind | None:
        return self.damage.kind if self.damage else None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Raises KeyError, TypeError or ValueError for what is no line of damage.jsonl."""
        names = (row["network"], row["record"], row["generator"], row["setting"])
        subject = Subject(*names, Protocol.from_row(row))
        if row["kind"] not in ("none", *KINDS):
            raise ValueError(f"unknown kind: {row['kind']}")
        damage = None if row["kind"] == "none" else Damage(row["stage"], tuple(row["part"]))
        return cls(subject, damage, row["degree"], row["recalibrate"], row[VAL_TOP1.key], row[VAL_LOSS.key])

    def to_row(self) -> Row:
        return {
            **asdict(self.subject),
            "kind": self.kind or "none",
            "stage": self.damage.stage if self.damage else "",
            "part": list(self.damage.part) if self.damage else [],
            "degree": self.degree,
            "recalibrate": self.recalibrate,
            VAL_TOP1.key: self.top1,
            VAL_LOSS.key: self.loss,
        }


def read(folder: Path) -> list[Result]:
    """The results of a folder's damage.jsonl; a torn last line is left out. Raises RecordError for other damage."""
    path = folder / FILE
    lines = read_lines(path)
    damaged = list(lines.damaged)
    results = []
    for number, row in zip(lines.numbers, lines.values, strict=True):
        try:
            results.append(Result.from_row(row))
        except (ValueError, KeyError, TypeError):
            damaged.append(number)
    if damaged:
        text = f"{path}: damaged: line {min(damaged)} is no result; remove it, and it is measured again"
        raise RecordError(text)
    return results


def to_lines(results: Sequence[Result]) -> str:
    """The content of a damage.jsonl."""
    return "".join(f"{json.dumps(result.to_row())}\n" for result in results)


@dataclass(frozen=True)
class Drop:
    """A damaged network: how far its top-1 is below that of the whole one, in points, with BN statistics made alike."""

    result: Result
    damage: Damage
    degree: int
    points: float

    @property
    def recalibrated(self) -> bool:
        return bool(self.result.recalibrate)


def drops_of(results: Sequence[Result]) -> list[Drop]:
    """The drop of every damaged network whose whole one was evaluated in the same way."""
    whole: Mapping[tuple[str, int], float] = {
        (result.subject.network, result.recalibrate): result.top1 for result in results if not result.damage
    }
    drops = []
    for result in results:
        top1 = whole.get((result.subject.network, result.recalibrate))
        if result.damage and result.degree is not None and top1 is not None:
            drops.append(Drop(result, result.damage, result.degree, top1 - result.top1))
    return drops


def sections_of(results: Sequence[Result]) -> list[tuple[Protocol, list[Result], list[Drop]]]:
    """The results that can be compared with each other, with their drops; those without any drop are left out."""
    by_protocol = group(results, lambda result: result.subject.protocol).items()
    sections = [(protocol, comparable, drops_of(comparable)) for protocol, comparable in by_protocol]
    return [section for section in sections if section[2]]


def select(
    drops: Sequence[Drop],
    *,
    kind: Kind | None = None,
    generator: str | None = None,
    network: str | None = None,
    degree: int | None = None,
    recalibrated: bool | None = None,
) -> list[Drop]:
    """The drops that have all the properties that are given."""
    wanted = (kind, generator, network, degree, recalibrated)

    def properties(drop: Drop) -> tuple[object, ...]:
        subject = drop.result.subject
        return drop.damage.kind, subject.generator, subject.network, drop.degree, drop.recalibrated

    return [
        drop
        for drop in drops
        if all(value in (None, mine) for value, mine in zip(wanted, properties(drop), strict=True))
    ]


def count_parts(drops: Sequence[Drop]) -> int:
    """How many nodes or edges were removed: each counts once, with and without recalibration."""
    return len({(drop.result.subject.network, drop.damage) for drop in drops})
