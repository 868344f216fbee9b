"""One training run: configuration -> graphs -> network -> loaders -> training -> record."""

import sys
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.optim import Optimizer

from randwire import config as configuration
from randwire import data
from randwire.config import RunConfig
from randwire.config.variant import short
from randwire.correct import Correct
from randwire.ending import Ending, ending_of, summarise
from randwire.environment import environment
from randwire.errors import ConfigError, DataError, NonFiniteLossError, RecordError
from randwire.graph_files import graph_files
from randwire.metrics import TEST_IMAGES
from randwire.model import references
from randwire.model.building import build
from randwire.parts import add_part
from randwire.records import MID_EPOCH_CHECKPOINT, Record, Row
from randwire.stdio import surviving
from randwire.storage import check_lasting
from randwire.tracking import Tracker, open_tracker
from randwire.training import checkpoint, mid_epoch
from randwire.training.augment import Augment
from randwire.training.evaluate import Normalise, Scores, evaluate
from randwire.training.finite import check_scores
from randwire.training.kernels import prepare_kernels
from randwire.training.loop import Training, train_epoch
from randwire.training.memory import training_told
from randwire.training.optim import load_state, make_optimizer, state_of
from randwire.training.precision import check_precision, computing
from randwire.training.pretrained import Loaded, load_pretrained
from randwire.training.saving import Saver
from randwire.training.step import check_step, make_step
from randwire.training.worker import ProcessWorker, Worker, pick_device
from randwire.wiring import check_reference, count, dags_of, sample_graphs


def record_of(config: RunConfig) -> Record:
    """The record of a run: output / study / digest."""
    return Record(config.runtime.output / config.runtime.study / config.digest)


def train(name: str, values: Mapping[str, object] | None = None) -> Path:
    """Train one network in this process, as `python train.py NAME --key VALUE` does; returns the folder of its record.

    A training that has ended is not run again. Raises the errors of `run`, and RuntimeError, with the cause, if the
    training failed.
    """
    config = configuration.load(name, values)
    with surviving(output=False):
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


def tracker_of(config: RunConfig, several: bool = False) -> Tracker:
    """The tracker that a configuration asks for, of a run or, with `several`, of all trials of its study."""
    runtime = config.runtime
    folder = runtime.output / runtime.study / "wandb"
    return open_tracker(runtime.wandb, runtime.project, runtime.study, folder, several=several)


def run(config: RunConfig, worker: Worker, tracker: Tracker | None = None, command: str = "") -> Row:
    """Train one network, or go on with its training, and return its summary; called by every rank.

    The summary's status is finished, pruned (the worker asked to stop) or failed (with the cause). An ended trial is
    not run again. Raises ConfigError, DataError, RecordError or CheckpointError for what the user must mend.
    """
    check_lasting("runtime.output", config.runtime.output)
    record = record_of(config)
    if config.train.batch_size % worker.world_size:
        raise ConfigError(f"train.batch_size: {config.train.batch_size} is not divisible by {worker.world_size} ranks")
    check_step(config.runtime.step, worker.device)
    with record.lock() if worker.rank == 0 else nullcontext():
        ended = ending_of(record)
        if worker.world_size > 1:
            distributed.barrier()  # no rank may look for the summary after rank 0 has written it
        if ended is not None:
            return ended
        check_precision(config.train.precision, worker)
        with (
            training_told(config, worker),
            computing(config.train.precision, worker.device),
        ):
            return _train(config, worker, record, tracker, command)


def _train(config: RunConfig, worker: Worker, record: Record, tracker: Tracker | None, command: str) -> Row:
    started = time.monotonic()
    rank = _Rank(config, worker, record)
    if worker.rank == 0:
        rank.describe(command)
    if tracker is not None:
        tracker.start(record, f"{config.label} {short(config.runtime.variant)}".rstrip())
    try:
        ending = rank.train(tracker)
    except BaseException:
        if tracker is not None:
            tracker.finish(config.digest, "interrupted", {})
        raise
    summaries: list[Row] = [{}]
    if worker.rank == 0:
        summaries[0] = summarise(record, ending, time.monotonic() - started)
        record.write_json("summary.json", summaries[0])
        (record.checkpoint / MID_EPOCH_CHECKPOINT).unlink(missing_ok=True)  # of a training that has failed
    if tracker is not None:
        tracker.finish(config.digest, ending.status, summaries[0])
    if worker.world_size > 1:
        distributed.broadcast_object_list(summaries)
    return summaries[0]


class _Rank:
    """The part of one rank in the training of one network, from the newest checkpoint of the record if it has one.

    Made of a configuration: graphs, data set, and network. Raises as `run` does.
    """

    def __init__(self, config: RunConfig, worker: Worker, record: Record) -> None:
        self.config, self.worker, self.record = config, worker, record
        self.graphs = sample_graphs(config)
        self.dags = dags_of(self.graphs)
        self.adjacency = {stage: dag.to_text() for stage, dag in self.dags.items()}
        self.threads = config.runtime.loader_workers or worker.cpus
        self.captured = config.runtime.step == "captured"
        check_reference(config)
        if config.runtime.compile and self.dags:
            prepare_kernels(self.dags, worker.device, config.train.precision, report=worker.rank == 0)
        self.dataset = data.prepare(config.data, threads=self.threads)
        self.normalise = Normalise(self.dataset.mean, self.dataset.std).to(worker.device)
        self.checkpoint, self.going_on = self._newest_checkpoint()
        self.begun: dict[str, Any] | None = None if self.checkpoint is None else self.checkpoint.get("part")
        """Of an epoch in whose middle the training goes on: what `mid_epoch.state_of` has made."""
        self.epochs_done = 0 if self.checkpoint is None else int(self.checkpoint["epoch"]) - (self.begun is not None)
        steps_done = self.begun["steps_done"] if self.begun else 0
        mid_epoch.check_same_place((config.digest, self.epochs_done, steps_done), worker)
        self.network, self.pretrained = self._initial_network()

    def describe(self, command: str) -> None:
        """Write all of the record that is known before the first epoch, and drop the rows of epochs to be repeated."""
        config, record = self.config, self.record
        record.write_text("config.yaml", config.to_yaml())
        step = 1 + (self.begun["steps_done"] if self.begun else 0)
        add_part(record, environment(self.worker, command), self.epochs_done + 1, step)
        for name, text in graph_files(self.graphs, config.title, matrices="graphs/").items():
            record.write_text(name, text)
        record.write_json("complexity.json", count(config, self.graphs).to_dict())
        record.truncate_metrics(self.epochs_done)
        if self.pretrained is not None:
            record.write_json("pretrained.json", self.pretrained.to_dict())
        for told in filter(None, (self.going_on, self.pretrained and f"train.pretrained: {self.pretrained}")):
            print(told, file=sys.stderr)

    def train(self, tracker: Tracker | None) -> Ending:
        """Train the epochs that are left. What is evaluated after each of them are the images that choose."""
        optimizer = self._optimizer()
        training = self._training(optimizer)
        state, minutes = partial(self._state, optimizer), self.config.runtime.checkpoint_minutes
        saver = Saver(self.record.checkpoint, self.network, self.worker, minutes, state)
        choosing: data.Reading = "holdout" if self.config.data.holdout else "val"
        try:
            with (
                closing(training.step),
                closing(self._loader("train")) as train,
                closing(self._loader(choosing)) as val,
                saver.deferred_interrupts(),
            ):
                for epoch in range(self.epochs_done + 1, self.config.train.epochs + 1):
                    row = self._epoch(training, optimizer, saver, train, val, epoch)
                    if tracker is not None:
                        tracker.log(self.config.digest, row)
                    if self.worker.report(row) and epoch < self.config.train.epochs:
                        return Ending("pruned", f"stopped early after epoch {epoch}")
            return Ending("finished", test=self._test() if self.config.data.holdout else {})
        except NonFiniteLossError as error:
            return Ending("failed", str(error))

    def _test(self) -> Mapping[str, float]:
        """What the validation split tells of the trained network, where images held out have chosen."""
        with closing(self._loader("val")) as val:
            scores = evaluate(self.network, val.epoch(0), self.normalise, self.captured)
        test = scores.to_row(test=True)
        check_scores(test, self.config.train, self.config.train.epochs)
        self._write_correct(scores, val)
        return {**test, TEST_IMAGES: scores.images}

    def _newest_checkpoint(self) -> tuple[dict[str, Any] | None, str]:
        state, told = checkpoint.to_go_on_from(self.record.checkpoint)
        if state is not None and state["data"].get("sha256", self.dataset.sha256) != self.dataset.sha256:
            raise DataError(
                f"{self.record}: was trained on another conversion of {self.dataset.source}; name that one with "
                "--data.path, or start anew with --runtime.study NAME"
            )
        if state is not None and state.get("graphs", self.adjacency) != self.adjacency:
            raise RecordError(
                f"{self.record}: was trained on other graphs than this code samples for it; go on at the commit that "
                "its environment.json names, or start anew in another study"
            )
        return state, told

    def _initial_network(self) -> tuple[nn.Module, Loaded | None]:
        """The network with its initial weights, and what of them is pretrained; those of a checkpoint come later."""
        config, classes = self.config, self.dataset.classes
        train, runtime = config.train, config.runtime
        torch.manual_seed(train.seed)
        network = build(
            config.network,
            self.dags,
            len(classes),
            config.data.resolution,
            runtime.recompute,
            runtime.compile,
            runtime.channel_multiple,
        )
        if self.checkpoint is not None or train.pretrained is None or train.pretrained_sha256 is None:
            return network, None
        loaded = load_pretrained(
            network,
            train.pretrained,
            train.pretrained_sha256,
            config.network.reference,
            self.adjacency,
            classes,
            config.data,
        )
        return network, loaded

    def _optimizer(self) -> Optimizer:
        """The optimizer of the network, both on the device and as the checkpoint left them."""
        self.network.to(self.worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = make_optimizer(self.network, self.config.train, self.captured)
        if self.checkpoint is not None:
            self.network.load_state_dict(self.checkpoint["network"])
            load_state(optimizer, self.checkpoint["optimizer"])
            self.checkpoint = None  # its memory is not needed any more
        return optimizer

    def _training(self, optimizer: Optimizer) -> Training:
        config, worker, classes = self.config, self.worker, len(self.dataset.classes)
        reference = config.network.reference
        whole = reference is None or references.is_trained_whole(reference, classes, config.data.resolution)
        augment = Augment(config.data, config.train.seed, worker.rank, worker.world_size)
        step = make_step(self.network, optimizer, self.normalise, config.train, self.captured, worker.world_size, whole)
        return Training(self.network, step, augment, config.train, worker)

    def _loader(self, split: data.Reading) -> data.Loader:
        config, worker = self.config, self.worker
        return data.Loader(
            self.dataset,
            split,
            config.data if split == "train" else config.data.evaluation,
            data.Batching(
                batch_size=config.train.batch_size // worker.world_size,
                rank=worker.rank,
                world_size=worker.world_size,
                seed=config.train.seed,
                threads=self.threads,
                page_locked=worker.device.type == "cuda",
            ),
        )

    def _epoch(
        self, training: Training, optimizer: Optimizer, saver: Saver, train: data.Loader, val: data.Loader, epoch: int
    ) -> Row:
        """Train, evaluate and save in one epoch (1-based). Returns its row, the same on all ranks but for times."""
        config, steps = self.config, len(train)
        resolution = config.data.resolution_in(epoch, config.train.epochs)
        begun, self.begun = self.begun, None
        part = mid_epoch.resume(begun, self.network, self.worker, config.train.seed, epoch) if begun else None
        batches = train.epoch(epoch - 1, resolution, part.steps if part else 0)
        saver.begin_epoch(epoch, steps, part)
        metrics = train_epoch(training, batches, steps, epoch, part, saver.after_step)
        with saver.evaluating():
            scores = evaluate(self.network, val.epoch(0), self.normalise, self.captured)
        row = scores.to_row()
        check_scores(row, config.train, epoch)
        self._write_correct(scores, val)
        row = {"epoch": epoch, "resolution": resolution, **metrics, **row}
        if self.worker.rank == 0:
            self.record.append_metrics(row)
            checkpoint.save(self.record.checkpoint, self._state(optimizer, epoch))
        saver.end_epoch()
        return row

    def _write_correct(self, scores: Scores, loader: data.Loader) -> None:
        """Write on the first rank which images were right: before the checkpoint, so that no resumed run lacks them."""
        if self.worker.rank == 0:
            Correct(scores.correct, loader.split, self.dataset.sha256[loader.path.name]).save(self.record)

    def _state(self, optimizer: Optimizer, epoch: int) -> dict[str, Any]:
        """What every checkpoint holds."""
        return {
            "network": self.network.state_dict(),
            "optimizer": state_of(optimizer),
            "epoch": epoch,
            "config": self.config.model_dump(mode="json"),
            "graphs": self.adjacency,
            "data": self.dataset.in_checkpoints(),
        }
