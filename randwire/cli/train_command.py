"""`train.py`: one network."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from randwire import config as configuration
from randwire.arguments import Parser, file, folder, guarded, positive_float, positive_int, split
from randwire.cli.text import key_help
from randwire.config import RunConfig
from randwire.contention import Waiting, sleep_when_waiting
from randwire.metrics import METRICS, TEST
from randwire.stdio import delivered, is_screen


def train_parser() -> Parser:
    """The parser of `train.py`."""
    parser = Parser(
        prog="train.py",
        description="Train one randomly wired network.",
        epilog=key_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", help="a preset (digits, small, ...), a config.yaml or the folder of a record")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--show", action="store_true", help="print configuration and complexity, train nothing")
    instead.add_argument(
        "--graphs",
        type=folder,
        metavar="FOLDER",
        help="write the graphs there, with a picture, for --graph.path; train nothing",
    )
    instead.add_argument("--evaluate", action="store_true", help="score the trained network of a record; data.* keys")
    instead.add_argument(
        "--predict", nargs="+", metavar="IMAGE", help="class probabilities of image files, by a record"
    )
    instead.add_argument(
        "--export", type=file, metavar="FILE", help="write the network of a record as FILE.safetensors, .onnx or .pt2"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="with --show or --predict: JSON on stdout; an image that cannot be used has `error` there",
    )
    parser.add_argument("--top", type=positive_int, help="with --predict: classes to print [5]")
    parser.add_argument(
        "--match-mult-adds",
        type=positive_float,
        metavar="N",
        help="choose network.channels for N multiply-adds, such as 579e6",
    )
    return parser


def train(arguments: Sequence[str] | None = None) -> int:
    """`train.py`: one training run, in this process or under torchrun, without Ray; returns the exit status."""
    parser = train_parser()

    def main() -> int:
        plain, texts = split(sys.argv[1:] if arguments is None else arguments)
        options = parser.options_of(plain)
        keys = configuration.parse_all(texts)
        _check_together(parser, options, keys)
        for option in ("evaluate", "predict", "export"):
            if getattr(options, option):
                from randwire.cli import trained

                use: Callable[[argparse.Namespace, Mapping[str, object]], int] = getattr(trained, option)
                return use(options, keys)
        config = configuration.load(options.config, keys)
        configuration.check_given(config, keys)
        if options.match_mult_adds:
            from randwire.wiring import match_mult_adds

            config = match_mult_adds(config, options.match_mult_adds)
        if options.graphs is not None:
            from randwire.graph_files import write_graphs

            write_graphs(config, options.graphs)
            print(options.graphs)
            return 0
        if options.show:
            _show(config, as_json=options.json)
            delivered()
            return 0
        return train_one(config)

    return guarded(main)


def _check_together(parser: Parser, options: argparse.Namespace, keys: Mapping[str, object]) -> None:
    """Refuse options that would change nothing beside the others."""
    if options.match_mult_adds:
        if "network.channels" in keys:
            parser.error("--match-mult-adds chooses network.channels: give one of them")
        for option in ("graphs", "evaluate", "predict", "export"):
            if getattr(options, option) not in (None, False):
                parser.error(f"--match-mult-adds is for a network to be trained, not for --{option}")
    if options.json and not (options.show or options.predict):
        written = "; --graphs writes dag.json" if options.graphs is not None else ""
        parser.error(f"--json is for --show or --predict{written}")
    if options.top is not None and (options.json or not options.predict):
        parser.error("--top is for --predict without --json, which has all classes")


def _show(config: RunConfig, as_json: bool) -> None:
    from randwire import wiring

    samples = wiring.sample_graphs(config)
    complexity = wiring.count(config, samples)
    if as_json:
        shown = {"digest": config.digest, "config": config.model_dump(mode="json"), **complexity.to_dict()}
        shown["graphs"] = wiring.dag_json(samples)["stages"]
        print(json.dumps(shown))
        return
    print(config.to_yaml())
    print(f"digest {config.digest}, {config.title}\n")
    print(f"{'stage':<12}{'output':>16}{'params':>14}{'multiply-adds':>18}  graph")
    for stage in complexity.stages:
        graph = ""
        if stage.name in samples:
            measures = samples[stage.name].dag.measures()
            graph = (
                f"{measures.nodes} nodes, {measures.edges} edges, {measures.sources} sources, "
                f"{measures.sinks} sinks, depth {measures.depth}"
            )
        output = "x".join(map(str, stage.output))
        print(f"{stage.name:<12}{output:>16}{stage.params:>14,}{stage.mult_adds:>18,}  {graph}".rstrip())
    print(f"{'total':<12}{'':>16}{complexity.params:>14,}{complexity.mult_adds:>18,}")


class _Progress:
    """A bar over the steps of the run where stderr is a terminal, a line an epoch where it is not."""

    def __init__(self, epochs: int) -> None:
        from tqdm import tqdm

        self.epochs = epochs
        self.waiting: Waiting | None = Waiting()
        self.bar: tqdm[NoReturn] | None = None
        if is_screen(sys.stderr):
            self.bar = tqdm(unit="step", leave=False, dynamic_ncols=True)

    def step(self, epoch: int, step: int, steps: int) -> None:
        if self.bar is not None:
            self.bar.total = self.epochs * steps
            self.bar.n = (epoch - 1) * steps + step
            self.bar.set_description(f"epoch {epoch}/{self.epochs}", refresh=False)
            self.bar.update(0)
            self.bar.refresh()

    def row(self, row: Mapping[str, Any]) -> None:
        shown = (metric.text(row[metric.key]) for metric in METRICS if metric.brief)
        self._line("  ".join([f"epoch {row['epoch']}/{self.epochs}", *shown]))
        if self.waiting is not None and (told := self.waiting.told(_threads())):
            self._line(told)
            self.waiting = None  # once is enough

    def _line(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _threads() -> int:
    """Threads of this process that compute."""
    import torch

    return torch.get_num_threads()


AGAIN = "--runtime.study NAME runs it again in another folder"


def train_one(config: RunConfig, again: str = AGAIN, retry: bool = False) -> int:
    """Train one network, or go on with it, with progress on stderr and the summary on stdout; the exit status.

    `again` says how one that has ended is run again, where that is possible. With `retry` one that has failed is begun
    again; ConfigError is raised for any other.
    """
    sleep_when_waiting()  # before PyTorch is imported
    from torch import distributed

    from randwire import attempts, run
    from randwire.ending import ending_of
    from randwire.training.worker import ProcessWorker, process_group

    record = run.record_of(config)
    with process_group(config.runtime.device) as (device, rank, world_size):
        if retry:
            if rank == 0:
                attempts.begin_again(record)
            if world_size > 1:
                distributed.barrier()  # the others look at the record when it is ready
        ended = ending_of(record)
        if ended is not None:
            if rank == 0:
                print(f"{record}: already {ended['status']}{again and f'; {again}'}", file=sys.stderr)
                print(json.dumps(ended))
            return 1 if ended["status"] == "failed" else 0
        progress = _Progress(config.train.epochs) if rank == 0 else None
        try:
            worker = ProcessWorker(
                device, rank, world_size, progress.step if progress else None, progress.row if progress else None
            )
            summary = run.run_tracked(config, worker)
        finally:
            if progress:
                progress.close()
        if rank == 0:
            if summary["status"] == "failed":
                print(f"failed: {summary['cause']}", file=sys.stderr)
            if told := [metric.text(summary[metric.key]) for metric in TEST if metric.key in summary]:
                print(f"on the validation split, which chose nothing: {', '.join(told)}", file=sys.stderr)
            print(f"record: {record}", file=sys.stderr)
            print(json.dumps(summary))
    return 1 if summary["status"] == "failed" else 0
