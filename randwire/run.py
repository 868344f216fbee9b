"""One training run: configuration -> graphs -> network -> loaders -> training -> record."""

import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from randwire import data, drawing
from randwire.complexity import Complexity, complexity
from randwire.config import ConfigError, RunConfig
from randwire.graphs import Sample
from randwire.network import RandWire, random_stages
from randwire.records import Record, Row
from randwire.tracking import NullTracker, Tracker, Trial
from randwire.training import checkpoint
from randwire.training.evaluate import Normalise, evaluate
from randwire.training.loop import NonFiniteLossError, train_epoch
from randwire.training.optim import optimizer as make_optimizer
from randwire.training.worker import Worker

PACKAGES = ("torch", "ray", "optuna", "wandb", "networkx", "ffcv", "numba", "numpy", "scikit-learn")


def sample_graphs(config: RunConfig) -> dict[str, Sample]:
    """The sampled DAG of every random stage, by stage; equal on every machine for equal `graph` and `network.regime`.

    With `graph.stages: shared`, stages of equal size get one DAG. Raises ConfigError if a stage admits no graph.
    """
    samples = {}
    for stage, nodes in random_stages(config.network.regime, config.graph.nodes).items():
        key = stage if config.graph.stages == "independent" else nodes
        try:
            samples[stage] = config.generator.sample(nodes, random.Random(f"{config.graph.seed}/{key}"))
        except ValueError as error:
            raise ConfigError(f"graph.generator: {error} (stage {stage} of {nodes} nodes)") from None
    return samples


def count(config: RunConfig, samples: Mapping[str, Sample]) -> Complexity:
    """Parameters and multiply-adds of the run's network."""
    dags = {stage: sample.dag for stage, sample in samples.items()}
    return complexity(config.network, dags, data.class_count(config.data), config.data.resolution)


def dag_json(samples: Mapping[str, Sample]) -> dict[str, Any]:
    """Nodes, edges, redraws and measures of every stage."""
    return {
        "stages": {
            stage: {
                "nodes": sample.dag.nodes,
                "edges": [list(edge) for edge in sample.dag.edges],
                "redraws": sample.redraws,
                "measures": sample.dag.measures().to_dict(),
            }
            for stage, sample in samples.items()
        }
    }


def record_of(config: RunConfig) -> Record:
    """The record of a run: output / study / digest."""
    return Record(config.runtime.output / config.runtime.study / config.digest)


def describe(config: RunConfig, resumed_epochs: int = 0) -> Trial:
    """What a tracker is told of a run."""
    samples = sample_graphs(config)
    dags = {stage: sample.dag for stage, sample in samples.items()}
    label = config.generator.label
    title = f"{label}, graph seed {config.graph.seed}"
    return Trial(
        id=config.digest,
        config=config.model_dump(mode="json", exclude={"runtime"}),
        group=label,
        tags=(config.generator.name(), config.network.regime, config.data.source),
        dag_json=dag_json(samples),
        dag_png=drawing.png(dags, title),
        dag_svg=drawing.svg(dags, title),
        complexity=count(config, samples).to_dict(),
        resumed_epochs=resumed_epochs,
    )


def run(config: RunConfig, worker: Worker, tracker: Tracker | None = None, command: str = "") -> Row:
    """Train one network, or go on with its training, and return its summary; called by every rank.

    The summary's status is finished, pruned (the worker asked to stop) or failed (with the cause). An ended trial is
    not run again. Raises ConfigError, DataError, RecordError or CheckpointError for what the user must mend.
    """
    record = record_of(config)
    if config.train.batch_size % worker.world_size:
        raise ConfigError(f"train.batch_size: {config.train.batch_size} is not divisible by {worker.world_size} ranks")
    with record.lock() if worker.rank == 0 else nullcontext():
        ended = record.summary()
        if worker.world_size > 1:
            distributed.barrier()  # no rank may look for the summary after rank 0 has written it
        if ended is not None:
            return ended
        return _train(config, worker, record, tracker or NullTracker(), command)


def _train(config: RunConfig, worker: Worker, record: Record, tracker: Tracker, command: str) -> Row:
    started = time.monotonic()
    lead = worker.rank == 0
    samples = sample_graphs(config)
    graphs = {stage: sample.dag.to_text() for stage, sample in samples.items()}
    threads = config.runtime.loader_workers or worker.cpus
    dataset = data.prepare(config.data, workers=threads)

    state = checkpoint.newest(record.checkpoint)
    done = 0 if state is None else int(state["epoch"])
    if lead:
        _write_description(config, samples, record, worker, command)
        record.keep_metrics(done)
        tracker.start(describe(config, done))
        for row in record.metrics():
            tracker.log(config.digest, row)  # not logged again, but known: the best top-1 so far is among them

    torch.manual_seed(config.train.seed)
    network = RandWire(config.network, {s: sample.dag for s, sample in samples.items()}, len(dataset.classes))
    network.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, config.train)
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    wrapped: nn.Module = network
    if worker.world_size > 1:
        # Running statistics are averaged once an epoch instead of sent with every step.
        wrapped = DistributedDataParallel(network, broadcast_buffers=False, gradient_as_bucket_view=True)

    normalise = Normalise(dataset.mean, dataset.std, worker.device)
    place = {"rank": worker.rank, "world_size": worker.world_size, "workers": threads, "seed": config.train.seed}
    per_rank = config.train.batch_size // worker.world_size
    train = data.Loader(dataset, "train", config.data, batch_size=per_rank, **place)
    val = data.Loader(dataset, "val", config.data, batch_size=per_rank, **place)
    status, cause = "finished", None
    try:
        for epoch in range(done + 1, config.train.epochs + 1):
            result = train_epoch(
                wrapped, optimizer, train.epoch(epoch - 1), len(train), epoch, normalise, config.train, worker
            )
            scores = evaluate(network, val.epoch(0), normalise, config.train.precision)
            row = {"epoch": epoch, **vars(result), **scores.to_row()}
            if lead:
                record.append_metrics(row)
                checkpoint.save(record.checkpoint, _state(config, graphs, network, optimizer, epoch))
                tracker.log(config.digest, row)
            if worker.report(row) and epoch < config.train.epochs:
                status, cause = "pruned", f"stopped early after epoch {epoch}"
                break
    except NonFiniteLossError as error:
        status, cause = "failed", str(error)
    except BaseException:
        if lead:
            tracker.finish(config.digest, "interrupted", {})
        raise
    finally:
        train.close()
        val.close()
    summary = summarise(record, status, cause, time.monotonic() - started) if lead else {}
    if lead:
        record.write_json("summary.json", summary)
        tracker.finish(config.digest, status, summary)
    if worker.world_size > 1:
        box = [summary]
        distributed.broadcast_object_list(box)
        summary = box[0]
    return summary


def summarise(record: Record, status: str, cause: str | None, seconds: float) -> Row:
    """The summary of a trial from its rows. `seconds` is the time of this process; earlier ones are not counted."""
    rows = record.metrics()
    last = rows[-1] if rows else {}
    return {
        "status": status,
        "cause": cause,
        "epochs": len(rows),
        "val_top1": last.get("val_top1"),
        "val_top5": last.get("val_top5"),
        "best_top1": max((row["val_top1"] for row in rows), default=None),
        "seconds": round(seconds, 3),
    }


def _state(
    config: RunConfig, graphs: dict[str, str], network: nn.Module, optimizer: torch.optim.Optimizer, epoch: int
) -> dict[str, Any]:
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
        "config": config.model_dump(mode="json"),
        "graphs": graphs,
    }


def _write_description(
    config: RunConfig, samples: Mapping[str, Sample], record: Record, worker: Worker, command: str
) -> None:
    dags = {stage: sample.dag for stage, sample in samples.items()}
    record.write_text("config.yaml", config.to_yaml())
    record.write_json("environment.json", environment(worker, command))
    for stage, dag in dags.items():
        record.write_text(f"graphs/{stage}.txt", dag.to_text())
    record.write_json("dag.json", dag_json(samples))
    record.write_text("dag.svg", drawing.svg(dags, f"{config.generator.label}, graph seed {config.graph.seed}"))
    record.write_json("complexity.json", count(config, samples).to_dict())


def environment(worker: Worker, command: str) -> dict[str, Any]:
    """Commit, versions, hardware and command line of this run; never an environment variable."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain")
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name(worker.device) if worker.device.type == "cuda" else None,
        },
        "python": platform.python_version(),
        "world_size": worker.world_size,
        "command": command or " ".join(sys.argv),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
