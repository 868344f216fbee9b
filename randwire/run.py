"""One training run: configuration -> graphs -> network -> loaders -> training -> record."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from randwire import config as configuration
from randwire import data, drawing
from randwire.config import RunConfig
from randwire.data.cache import cache_folder
from randwire.environment import environment
from randwire.errors import ConfigError, DataError, NonFiniteLossError, one_line
from randwire.graphs import Sample
from randwire.metrics import BEST_TOP1, VAL_TOP1, VAL_TOP5
from randwire.model import aggregation
from randwire.model.network import RandWire
from randwire.records import Record, Row
from randwire.tracking import Tracker, open_tracker
from randwire.training import checkpoint
from randwire.training.augment import Augment
from randwire.training.evaluate import Normalise, evaluate
from randwire.training.loop import Training, train_epoch
from randwire.training.optim import optimizer as make_optimizer
from randwire.training.pretrained import load_pretrained
from randwire.training.worker import ProcessWorker, Worker, pick_device
from randwire.wiring import count, dag_json, dags_of, sample_graphs

EXCHANGE: dict[str, Any] = {"forward_sync_buffers": False, "gradient_as_bucket_view": True}
"""Of DistributedDataParallel. Running statistics are averaged once an epoch instead of sent with every step."""


def record_of(config: RunConfig) -> Record:
    """The record of a run: output / study / digest."""
    return Record(config.runtime.output / config.runtime.study / config.digest)


def train(name: str, values: Mapping[str, object] | None = None) -> Path:
    """Train one network in this process, as `python train.py NAME --key VALUE` does; returns the folder of its record.

    A training that has ended is not run again. Raises the errors of `run`, and RuntimeError, with the cause, if the
    training failed.
    """
    config = configuration.load(name, values)
    summary = run_tracked(config, ProcessWorker(pick_device(config.runtime.device)))
    if summary["status"] == "failed":
        raise RuntimeError(summary["cause"])
    return record_of(config).folder


def run_tracked(config: RunConfig, worker: Worker, command: str = "") -> Row:
    """`run`, with the tracker that the configuration asks for on the first rank."""
    if worker.rank:
        return run(config, worker, None, command)
    tracker = tracker_of(config)
    try:
        return run(config, worker, tracker, command)
    finally:
        tracker.close()


def tracker_of(config: RunConfig) -> Tracker:
    """The tracker that a configuration asks for, of a run or of the study it belongs to."""
    runtime = config.runtime
    return open_tracker(runtime.wandb, runtime.project, runtime.study, runtime.output / runtime.study / "wandb")


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
        return _train(config, worker, record, tracker, command)


def _train(config: RunConfig, worker: Worker, record: Record, tracker: Tracker | None, command: str) -> Row:
    started = time.monotonic()
    lead = worker.rank == 0
    samples = sample_graphs(config)
    adjacency = {stage: dag.to_text() for stage, dag in dags_of(samples).items()}
    threads = config.runtime.loader_workers or worker.cpus
    if config.runtime.compile:
        _compile(samples, worker.device, config.train.precision, lead)
    dataset = data.prepare(config.data, threads=threads)

    state = checkpoint.newest(record.checkpoint)
    done = 0 if state is None else int(state["epoch"])
    if state is not None and state["data"].get("sha256", dataset.sha256) != dataset.sha256:
        raise DataError(
            f"{record}: was trained on another conversion of {dataset.source}; name that one with --data.path, or "
            "start anew with --runtime.study NAME"
        )
    torch.manual_seed(config.train.seed)
    runtime = config.runtime
    network = RandWire(config.network, dags_of(samples), len(dataset.classes), runtime.recompute, runtime.compile)
    loaded = None
    if state is None and config.train.pretrained is not None and config.train.pretrained_sha256 is not None:
        loaded = load_pretrained(
            network, config.train.pretrained, config.train.pretrained_sha256, adjacency, dataset.classes
        )
    if lead:
        _write_description(config, samples, record, worker, command)
        record.truncate_metrics(done)
        if loaded is not None:
            record.write_json("pretrained.json", loaded.to_dict())
            print(f"train.pretrained: {loaded}", file=sys.stderr)
    if tracker is not None:
        tracker.start(record, config.label)
    network.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, config.train)
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    wrapped: nn.Module = network
    if worker.world_size > 1:
        wrapped = DistributedDataParallel(network, **EXCHANGE)

    augment = Augment(config.data, config.train.seed, worker.rank, worker.world_size)
    normalise = Normalise(dataset.mean, dataset.std).to(worker.device)
    training = Training(wrapped, optimizer, augment, normalise, config.train, worker)
    place = {"rank": worker.rank, "world_size": worker.world_size, "threads": threads, "seed": config.train.seed}
    per_rank = config.train.batch_size // worker.world_size
    train = data.Loader(dataset, "train", config.data, batch_size=per_rank, **place)
    val = data.Loader(dataset, "val", config.data.evaluation, batch_size=per_rank, **place)
    about_data = {
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "sha256": dict(dataset.sha256),
    }
    status, cause = "finished", None
    try:
        for epoch in range(done + 1, config.train.epochs + 1):
            resolution = config.data.resolution_in(epoch, config.train.epochs)
            batches = train.epoch(epoch - 1, resolution)
            result = train_epoch(training, batches, len(train), epoch)
            scores = evaluate(network, val.epoch(0), normalise, config.train.precision)
            row = {"epoch": epoch, "resolution": resolution, **result.to_row(), **scores.to_row()}
            if lead:
                record.append_metrics(row)
                checkpoint.save(
                    record.checkpoint,
                    {
                        "network": network.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "epoch": epoch,
                        "config": config.model_dump(mode="json"),
                        "graphs": adjacency,
                        "data": about_data,
                    },
                )
            if tracker is not None:
                tracker.log(config.digest, row)
            if worker.report(row) and epoch < config.train.epochs:
                status, cause = "pruned", f"stopped early after epoch {epoch}"
                break
    except NonFiniteLossError as error:
        status, cause = "failed", str(error)
    except BaseException:
        if tracker is not None:
            tracker.finish(config.digest, "interrupted", {})
        raise
    finally:
        train.close()
        val.close()
    summary = summarise(record, status, cause, time.monotonic() - started) if lead else {}
    if lead:
        record.write_json("summary.json", summary)
    if tracker is not None:
        tracker.finish(config.digest, status, summary)
    if worker.world_size > 1:
        box = [summary]
        distributed.broadcast_object_list(box)
        summary = box[0]
    return summary


def _compile(samples: Mapping[str, Sample], device: torch.device, precision: str, lead: bool) -> None:
    """Have the kernels of `runtime.compile` ready. Raises ConfigError if they cannot be made here."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
    counts = {len(inputs) for dag in dags_of(samples).values() for inputs in dag.predecessors}
    started = time.monotonic()
    try:
        aggregation.prepare(counts, device, torch.bfloat16 if precision == "bf16" else torch.float32)
    except Exception as error:  # each compiler has its own
        reason = one_line(error)
        raise ConfigError(
            f"runtime.compile: nothing can be compiled here ({reason[:200]}); it needs a C++ compiler for CPUs and "
            "Triton for GPUs; leave it out, or install one"
        ) from None
    if lead:
        print(f"runtime.compile: ready in {time.monotonic() - started:.1f} s", file=sys.stderr)


def summarise(record: Record, status: str, cause: str | None, seconds: float) -> Row:
    """The summary of a trial from its rows. `seconds` is the time of this process; earlier ones are not counted."""
    rows = record.metrics()
    last = rows[-1] if rows else {}
    return {
        "status": status,
        "cause": cause,
        "epochs": len(rows),
        VAL_TOP1.key: last.get(VAL_TOP1.key),
        VAL_TOP5.key: last.get(VAL_TOP5.key),
        BEST_TOP1.key: max((row[VAL_TOP1.key] for row in rows), default=None),
        "seconds": round(seconds, 3),
    }


def _write_description(
    config: RunConfig, samples: Mapping[str, Sample], record: Record, worker: Worker, command: str
) -> None:
    dags = dags_of(samples)
    record.write_text("config.yaml", config.to_yaml())
    record.write_json("environment.json", environment(worker, command))
    for stage, dag in dags.items():
        record.write_text(f"graphs/{stage}.txt", dag.to_text())
    record.write_json("dag.json", dag_json(samples))
    record.write_text("dag.svg", drawing.svg(dags, config.title))
    record.write_json("complexity.json", count(config, samples).to_dict())
