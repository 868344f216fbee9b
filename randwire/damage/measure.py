"""The damages of trained networks, one after the other: one line of damage.jsonl for each evaluation."""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from randwire import data
from randwire.config import RunConfig
from randwire.damage.removal import Damage, Kind, damaged, damages, recalibrated, sample, stage_dags
from randwire.errors import ConfigError, RecordError
from randwire.inference import Trained, evaluation_config, evaluation_data, open_trained
from randwire.model.network import RandWire
from randwire.records import Record, Row
from randwire.training.augment import Augment
from randwire.training.evaluate import Scores, evaluate
from randwire.training.worker import ProcessWorker, pick_device

FILE = "damage.jsonl"
COLUMNS = {"network", "record", "generator", "setting", "about", "kind", "stage", "part", "degree", "recalibrate",
           "images", "val_top1", "val_loss"}  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """What is removed and how it is judged. None means all of them.

    `recalibrate` is the number of training batches for BN statistics; with 0, only the trained ones are used. `seed`
    draws samples of nodes, edges and images.
    """

    nodes: int | None = None
    edges: int | None = None
    images: int | None = None
    recalibrate: int = 8
    seed: int = 0


Task = tuple[Damage | None, int]
"""A damage, or None for the whole network, and the batches of its recalibration."""


def run(sources: Sequence[str], protocol: Protocol, folder: Path, values: Mapping[str, object] | None = None) -> None:
    """Measure what is not in the folder's damage.jsonl yet; each result is on disk before the next begins.

    `sources` are records or checkpoint files, `values` dotted keys as for an evaluation. Raises ConfigError, DataError,
    CheckpointError or RecordError for what the user must mend, before anything is measured where that can be known.
    """
    opened: dict[str, tuple[Trained, RunConfig, Row]] = {}
    for source in sources:
        trained = open_trained(source)
        config = evaluation_config(trained, values or {})
        about = describe(trained, config, protocol)
        opened.setdefault(about["network"], (trained, config, about))
    record = Record(folder)
    with record.lock("this study", "--output"):
        rows = read(folder)
        left: dict[str, list[Task]] = {}
        for name, (trained, _, about) in opened.items():
            done = [row for row in rows if row["network"] == name]
            _same_protocol(done, about, protocol, folder)
            left[name] = _left(trained.network, name, protocol, done)
        if rows:
            record.write_text(FILE, "".join(f"{json.dumps(row)}\n" for row in rows))  # without a torn last line
        total = sum(map(len, left.values()))
        with tqdm(total=total, unit="evaluation", leave=False, disable=None, dynamic_ncols=True) as bar:
            for name, tasks in left.items():
                trained, config, about = opened.pop(name)  # a network that is done is freed
                if tasks:
                    bar.set_description(about["setting"])
                    for row in _measure(trained, config, protocol, tasks):
                        record.append(FILE, about | row)
                        bar.update(1)


def read(folder: Path) -> list[Row]:
    """The rows of a folder's damage.jsonl; a torn last line is left out. Raises RecordError for any other damage."""
    path = folder / FILE
    try:
        lines = path.read_text(errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and row.keys() >= COLUMNS:
            rows.append(row)
        elif line.endswith("\n"):
            raise RecordError(f"{path}: damaged: line {number} is no result; remove it, and it is measured again")
    return rows


def describe(trained: Trained, config: RunConfig, protocol: Protocol) -> Row:
    """What all rows of a network say: which it is, and what was evaluated on which images.

    Raises ConfigError if an epoch has too few batches to recalibrate with, DataError if the data are not there.
    """
    sizes = data.inspect(config.data).sizes
    if protocol.recalibrate > (steps := sizes["train"] // config.train.batch_size):
        raise ConfigError(f"--recalibrate: {protocol.recalibrate} batches; an epoch of {trained.path} has {steps}")
    total = sizes["val"]
    images = min(protocol.images or total, total)
    network, judged = config.network, config.data.evaluation
    chosen = f"{images}" if images == total else f"{images} (seed {protocol.seed}) of {total}"
    nodes = "/".join(dict.fromkeys(str(dag.nodes) for dag in stage_dags(trained.network).values()))
    return {
        "network": fingerprint(trained.network),
        "record": str(trained.path),
        "generator": config.family,
        "setting": config.title,
        "about": (
            f"{network.regime} regime, C = {network.channels}, {nodes} nodes a stage, {network.op}, after epoch "
            f"{trained.epoch}; {chosen} validation images of {config.data.source} at {judged.resolution} pixels, "
            f"{config.train.precision}"
        ),
        "images": images,
    }


def fingerprint(network: RandWire) -> str:
    """12 hexadecimal digits of the SHA-256 over graphs, parameters and buffers: the same wherever the record lies."""
    digest = hashlib.sha256(repr(stage_dags(network)).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _left(network: RandWire, name: str, protocol: Protocol, rows: Sequence[Row]) -> list[Task]:
    dags = stage_dags(network)
    wanted: list[Damage | None] = [None]
    counts: dict[Kind, int | None] = {"node": protocol.nodes, "edge": protocol.edges}
    for kind, count in counts.items():
        wanted += sample(damages(dags, kind), count, f"damage/{protocol.seed}/{name}/{kind}")
    done = {(row["stage"], tuple(row["part"]), row["recalibrate"]) for row in rows}
    recalibrations = dict.fromkeys((0, protocol.recalibrate))
    tasks = [(damage, batches) for damage in wanted for batches in recalibrations]
    return [task for task in tasks if (*_place(task[0]), task[1]) not in done]


def _place(damage: Damage | None) -> tuple[str, tuple[int, ...]]:
    return (damage.stage, damage.part) if damage else ("", ())


def _same_protocol(rows: Sequence[Row], about: Row, protocol: Protocol, folder: Path) -> None:
    """Results of one network are compared with each other: all must be of the same images and batches."""
    for row in rows:
        batches = row["recalibrate"]
        if row["about"] != about["about"]:
            found, wanted = row["about"], about["about"]
        elif batches and protocol.recalibrate and batches != protocol.recalibrate:
            found, wanted = f"--recalibrate {batches}", f"--recalibrate {protocol.recalibrate}"
        else:
            continue
        raise ConfigError(
            f"{folder}: has results of {about['record']} with [{found}], not [{wanted}]; choose another --output"
        )


def _measure(trained: Trained, config: RunConfig, protocol: Protocol, tasks: Sequence[Task]) -> Iterator[Row]:
    worker = ProcessWorker(pick_device(config.runtime.device))
    dataset = evaluation_data(trained, config, worker.cpus)
    batch_size, threads = config.train.batch_size, config.runtime.loader_workers or worker.cpus
    val = data.Loader(dataset, "val", config.data.evaluation, batch_size=batch_size, workers=threads)
    try:
        judged = _keep(val, dataset.sizes["val"], batch_size, protocol)
    finally:
        val.close()
    calibration: list[Tensor] = []
    if any(batches for _, batches in tasks):
        train = data.Loader(dataset, "train", config.data, batch_size=batch_size, workers=threads)
        try:
            calibration = [images for images, _ in islice(train.epoch(0), protocol.recalibrate)]
        finally:
            train.close()
    network = trained.network.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    dags, precision = stage_dags(network), config.train.precision
    normalise, augment = trained.normalise.to(worker.device), Augment(config.data, config.train.seed)

    def scores(damage: Damage | None, batches: int) -> Scores:
        seen = (normalise(augment(images.to(worker.device), 1, step)) for step, images in enumerate(calibration))
        with (
            damaged(network, damage) if damage else nullcontext(),
            recalibrated(network, seen, precision) if batches else nullcontext(),
        ):
            return evaluate(network, judged, normalise, precision)

    for damage, batches in tasks:
        stage, part = _place(damage)
        found = scores(damage, batches).to_row()
        loss = found["val_loss"]
        yield {
            "kind": damage.kind if damage else "none",
            "stage": stage,
            "part": list(part),
            "degree": damage.degree(dags[stage]) if damage else None,
            "recalibrate": batches,
            "val_top1": found["val_top1"],
            "val_loss": loss if loss < float("inf") else None,  # JSON knows neither infinity nor NaN
        }


def _keep(loader: data.Loader, total: int, batch_size: int, protocol: Protocol) -> Sequence[tuple[Tensor, Tensor]]:
    """The images that networks are judged by, decoded once: a uniform sample without replacement, or all."""
    count = min(protocol.images or total, total)
    if count == total:
        return list(loader.epoch(0))
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[random.Random(f"damage/{protocol.seed}/images").sample(range(total), count)] = True
    masks = torch.split(chosen, batch_size)
    kept = [(images[mask], labels[mask]) for mask, (images, labels) in zip(masks, loader.epoch(0), strict=True)]
    images, labels = (torch.cat(parts) for parts in zip(*kept, strict=True))
    images = images.contiguous(memory_format=torch.channels_last)
    return list(zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True))
