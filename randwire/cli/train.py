"""`train.py`: one network."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from randwire import config as configuration
from randwire.cli._words import Parser, guarded, key_help, split
from randwire.config import RunConfig


def train(arguments: Sequence[str] | None = None) -> int:
    """`train.py`: one training run, in this process or under torchrun, without Ray."""
    parser = Parser(
        prog="train.py",
        description="Train one randomly wired network.",
        epilog=key_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "config", help="a preset (digits, small, regular, ...), a config.yaml or the folder of a record"
    )
    parser.add_argument("--show", action="store_true", help="print configuration and complexity, train nothing")
    parser.add_argument("--json", action="store_true", help="with --show: one JSON object on stdout")

    def main() -> int:
        plain, keys = split(sys.argv[1:] if arguments is None else arguments)
        options = parser.parse_args(plain)
        config = configuration.load(options.config, keys)
        return _show(config, as_json=options.json) if options.show else train_one(config)

    return guarded(main)


def _show(config: RunConfig, as_json: bool) -> int:
    from randwire import run

    samples = run.sample_graphs(config)
    counted = run.count(config, samples)
    if as_json:
        shown = {"digest": config.digest, "config": config.model_dump(mode="json"), **counted.to_dict()}
        shown["graphs"] = run.dag_json(samples)["stages"]
        print(json.dumps(shown))
        return 0
    print(config.to_yaml())
    print(f"digest {config.digest}, {config.generator.label}\n")
    print(f"{'stage':<12}{'output':>16}{'params':>14}{'multiply-adds':>18}  graph")
    for stage in counted.stages:
        graph = ""
        if stage.name in samples:
            measures = samples[stage.name].dag.measures()
            graph = (
                f"{measures.nodes} nodes, {measures.edges} edges, {measures.sources} sources, "
                f"{measures.sinks} sinks, depth {measures.depth}"
            )
        output = "x".join(map(str, stage.output))
        print(f"{stage.name:<12}{output:>16}{stage.params:>14,}{stage.mult_adds:>18,}  {graph}".rstrip())
    print(f"{'total':<12}{'':>16}{counted.params:>14,}{counted.mult_adds:>18,}")
    return 0


class _Progress:
    """A bar over the steps of the run where stderr is a terminal, a line an epoch where it is not."""

    def __init__(self, epochs: int) -> None:
        from tqdm import tqdm

        self.epochs = epochs
        self.bar: tqdm[NoReturn] | None = tqdm(unit="step", leave=False) if sys.stderr.isatty() else None

    def step(self, epoch: int, step: int, steps: int) -> None:
        if self.bar is not None:
            self.bar.total = self.epochs * steps
            self.bar.n = (epoch - 1) * steps + step
            self.bar.set_description(f"epoch {epoch}/{self.epochs}", refresh=False)
            self.bar.update(0)
            self.bar.refresh()

    def row(self, row: Mapping[str, Any]) -> None:
        line = (
            f"epoch {row['epoch']}/{self.epochs}  lr {row['lr']:.4f}  train loss {row['train_loss']:.4f}  "
            f"val loss {row['val_loss']:.4f}  top-1 {row['val_top1']:.2f}%  {row['images_per_s']:.0f} images/s"
        )
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def train_one(config: RunConfig) -> int:
    from randwire import run
    from randwire.tracking import NullTracker, open_tracker
    from randwire.training.worker import ProcessWorker, process_group

    record = run.record_of(config)
    with process_group(config.runtime.device) as (device, rank, world_size):
        ended = record.summary()
        if ended is not None:
            if rank == 0:
                print(
                    f"{record}: already {ended['status']}; --runtime.study NAME runs it again in another folder",
                    file=sys.stderr,
                )
                print(json.dumps(ended))
            return 1 if ended["status"] == "failed" else 0
        tracker = (
            NullTracker()
            if rank
            else open_tracker(
                config.runtime.wandb, config.runtime.project, config.runtime.study, record.folder.parent / "wandb"
            )
        )
        progress = _Progress(config.train.epochs) if rank == 0 else None
        try:
            worker = ProcessWorker(
                device, rank, world_size, progress.step if progress else None, progress.row if progress else None
            )
            summary = run.run(config, worker, tracker)
        finally:
            if progress:
                progress.close()
            tracker.close()
        if rank == 0:
            if summary["status"] == "failed":
                print(f"failed: {summary['cause']}", file=sys.stderr)
            print(f"record: {record}", file=sys.stderr)
            print(json.dumps(summary))
    return 1 if summary["status"] == "failed" else 0
