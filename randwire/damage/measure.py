"""The damages of trained networks, one after the other: one line of damage.jsonl for each evaluation."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from randwire import data, streams
from randwire.config import RunConfig
from randwire.damage.judging import fits, judging_batches, kept
from randwire.damage.removal import Damage, Kind, damaged, damages, recalibrated, sample, stage_dags
from randwire.damage.results import FILE, Protocol, Result, Subject, read, to_lines
from randwire.errors import ConfigError
from randwire.inference import Trained, evaluation_config, evaluation_data, open_trained
from randwire.metrics import VAL_LOSS, VAL_TOP1
from randwire.model.network import RandWire
from randwire.records import Record
from randwire.training.augment import Augment
from randwire.training.evaluate import Scores, evaluate
from randwire.training.memory import evaluation_told
from randwire.training.transfer import Batches, sent
from randwire.training.worker import ProcessWorker, pick_device


@dataclass(frozen=True)
class Options:
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


def run(
    sources: Sequence[Path | str], options: Options, folder: Path | str, values: Mapping[str, object] | None = None
) -> None:
    """Measure what is not in the folder's damage.jsonl yet; each result is on disk before the next begins.

    `sources` are records or checkpoint files, `values` dotted keys as for an evaluation. Raises ConfigError, DataError,
    CheckpointError or RecordError for what the user must mend, before anything is measured where that can be known.
    """
    folder = Path(folder)
    networks: dict[str, tuple[Trained, RunConfig, Subject]] = {}
    for source in sources:
        trained = open_trained(source)
        if not isinstance(trained.network, RandWire):
            raise ConfigError(f"{source}: is {trained.config.title}, a published network: it has no graphs to damage")
        config = evaluation_config(trained, values or {}, trains=bool(options.recalibrate))
        subject = describe(trained, config, options)
        networks.setdefault(subject.network, (trained, config, subject))
    record = Record(folder)
    with record.lock("this study", "--output"):
        results = read(folder)
        pending: dict[str, list[Task]] = {}
        for name, (trained, _, subject) in networks.items():
            done = [result for result in results if result.subject.network == name]
            _check_protocol(done, subject, options, folder)
            pending[name] = pending_tasks(trained.network, name, options, done)
        if results:
            record.write_text(FILE, to_lines(results))  # without a torn last line
        total = sum(map(len, pending.values()))
        with tqdm(total=total, unit="evaluation", leave=False, disable=None, dynamic_ncols=True) as bar:
            for name, tasks in pending.items():
                trained, config, subject = networks.pop(name)  # a network that is done is freed
                if tasks:
                    bar.set_description(subject.setting)
                    with evaluation_told(config.train.batch_size, config.data.evaluation.resolution):
                        for result in measure(trained, config, subject, options, tasks):
                            record.append(FILE, result.to_row())
                            bar.update(1)


def describe(trained: Trained, config: RunConfig, options: Options) -> Subject:
    """Which network it is, and what it is judged by.

    Raises ConfigError if an epoch has too few batches to recalibrate with, DataError if the data are not there.
    """
    sizes = data.inspect(config.data).sizes
    if options.recalibrate > (steps := (sizes["train"] - config.data.holdout) // config.train.batch_size):
        raise ConfigError(f"--recalibrate: {options.recalibrate} batches; an epoch of {trained.path} has {steps}")
    images = min(options.images or sizes["val"], sizes["val"])
    protocol = Protocol(
        regime=config.network.regime,
        channels=config.network.channels,
        nodes=tuple(dict.fromkeys(dag.nodes for dag in stage_dags(trained.network).values())),
        op=config.network.op,
        epoch=trained.epoch,
        source=config.data.source,
        resolution=config.data.evaluation.resolution,
        precision="fp32",
        images=images,
        val_images=sizes["val"],
        image_seed=None if images == sizes["val"] else options.seed,
    )
    return Subject(fingerprint(trained.network), str(trained.path), config.family, config.title, protocol)


def fingerprint(network: nn.Module) -> str:
    """12 hexadecimal digits of the SHA-256 over graphs, parameters and buffers: the same wherever the record lies."""
    digest = hashlib.sha256(repr(stage_dags(network)).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def pending_tasks(network: nn.Module, name: str, options: Options, results: Sequence[Result]) -> list[Task]:
    """What is still to be measured, the whole network first."""
    dags = stage_dags(network)
    wanted: list[Damage | None] = [None]
    counts: dict[Kind, int | None] = {"node": options.nodes, "edge": options.edges}
    for kind, count in counts.items():
        wanted += sample(damages(dags, kind), count, streams.damages(options.seed, name, kind))
    done = {(result.damage, result.recalibrate) for result in results}
    recalibrations = dict.fromkeys((0, options.recalibrate))
    return [task for damage in wanted for batches in recalibrations if (task := (damage, batches)) not in done]


def _check_protocol(results: Sequence[Result], subject: Subject, options: Options, folder: Path) -> None:
    """Raise ConfigError unless results of one network, which are compared, are of the same images and batches."""
    for result in results:
        differences = result.subject.protocol.differences(subject.protocol)
        batches = result.recalibrate
        if batches and options.recalibrate and batches != options.recalibrate:
            differences.append(("--recalibrate", batches, options.recalibrate))
        if differences:
            text = ", ".join(f"{name.replace('_', ' ')} {old}, not {new}" for name, old, new in differences)
            raise ConfigError(f"{folder}: has results of {subject.record} with {text}; choose another --output")


def measure(
    trained: Trained, config: RunConfig, subject: Subject, options: Options, tasks: Sequence[Task]
) -> Iterator[Result]:
    """The results of the tasks, as they come. The network is moved to the device, and stays as it is otherwise."""
    worker = ProcessWorker(pick_device(config.runtime.device))
    dataset = evaluation_data(trained, config, worker.cpus)
    judging, batch_size = config.data.evaluation, config.train.batch_size
    recalibrating = options.recalibrate if any(batches for _, batches in tasks) else 0
    pixels = subject.protocol.images * judging.resolution**2 + recalibrating * batch_size * config.data.resolution**2
    there = fits(3 * pixels, worker.device)
    threads = config.runtime.loader_workers or worker.cpus
    batching = data.Batching(batch_size=batch_size, threads=threads, page_locked=there)
    with closing(data.Loader(dataset, "val", judging, batching)) as val:
        judged = judging_batches(val, dataset.sizes["val"], batch_size, options.images, options.seed)
        val_batches = kept(judged, worker.device, there)
    calibration: Batches = []
    if recalibrating:
        with closing(data.Loader(dataset, "train", config.data, batching)) as train:
            calibration = kept(islice(train.epoch(0), recalibrating), worker.device, there)
    network = trained.network.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    dags = stage_dags(network)
    normalise, augment = trained.normalise.to(worker.device), Augment(config.data, config.train.seed)

    def scores(damage: Damage | None, batches: int) -> Scores:
        steps = enumerate(sent(calibration, worker.device))
        seen = (normalise(augment(images, 1, step)) for step, (images, _) in steps)
        with (
            damaged(network, damage) if damage else nullcontext(),
            recalibrated(network, seen) if batches else nullcontext(),
        ):
            return evaluate(network, val_batches, normalise)

    for damage, batches in tasks:
        row = scores(damage, batches).to_row()
        loss = row[VAL_LOSS.key]
        yield Result(
            subject,
            damage,
            damage.degree(dags[damage.stage]) if damage else None,
            batches,
            row[VAL_TOP1.key],
            loss if math.isfinite(loss) else None,
        )
