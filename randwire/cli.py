"""The command lines of `train.py` and of `studies/*.py`.

stdout carries results, stderr carries progress; exit 0 done, 1 a trial failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from randwire import config as configuration
from randwire.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from randwire.study.design import Design


class _Parser(argparse.ArgumentParser):
    """Errors in one line, exit 2."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def split(arguments: Sequence[str]) -> tuple[list[str], dict[str, object]]:
    """The plain words of a command line, and its dotted keys: `--section.field VALUE` or `--section.field=VALUE`.

    Values are JSON or plain text. Raises ConfigError for a key without a value.
    """
    plain: list[str] = []
    found: dict[str, object] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        key, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in key:
            plain.append(word)
            continue
        if not equals:
            if not words or words[0].startswith("--"):
                raise ConfigError(f"{key}: missing value")
            text = words.pop(0)
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return plain, found


def guarded(main: Callable[[], int]) -> int:
    """Run `main`; a mistake of the user becomes one line and exit 2, an interrupt exit 130."""
    from randwire.records import RecordError

    # SIGTERM must unwind as Ctrl-C does, or nothing gets closed. Shells start background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        return main()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except (ConfigError, RecordError) as error:
        return _fail(error)
    except ValueError as error:
        # Errors of the upper layers that are the user's to mend; their modules are slow to import, so look by name.
        if type(error).__name__ in ("DataError", "CheckpointError", "TrackingError"):
            return _fail(error)
        raise


def _fail(error: Exception) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _key_help() -> str:
    return "keys, with their defaults:\n" + "\n".join(
        f"  --{key:24} {text}" for key, text in configuration.keys().items()
    )


def train(arguments: Sequence[str] | None = None) -> int:
    """`train.py`: one training run, in this process or under torchrun, without Ray."""
    parser = _Parser(
        prog="train.py",
        description="Train one randomly wired network.",
        epilog=_key_help(),
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
        return _show(config, as_json=options.json) if options.show else _train(config)

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


def _train(config: RunConfig) -> int:
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


def study(name: str, description: str | None, arguments: Sequence[str] | None = None) -> int:
    """`studies/NAME.py`: plan, sweep, status, trial, report."""
    common = _Parser(add_help=False, allow_abbrev=False)
    common.add_argument("--base", default="digits", metavar="CONFIG", help="preset or YAML of all trials [digits]")
    common.add_argument("--name", default=name, help=f"name of the study, and of its folder below runs [{name}]")
    common.add_argument("--search", choices=("tpe", "random", "grid"), default="tpe", help="grid: the paper's Figure 4")
    common.add_argument("--settings", type=_positive, default=6, help="settings to try, in tpe and random [6]")
    common.add_argument("--seeds", type=_positive, default=2, help="graph seeds of each setting [2]")
    common.add_argument("--train-seeds", type=_positive, default=1, help="training seeds of each graph [1]")
    common.add_argument("--generators", default="er,ba,ws", help="generators to compare [er,ba,ws]")
    common.add_argument("--seed", type=int, default=0, help="seed of the search [0]")
    common.add_argument("--early-stopping", action="store_true", help="successive halving over the trials' top-1")

    parser = _Parser(
        prog=f"studies/{name}.py",
        description=description,
        epilog=_key_help(),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="plan|sweep|status|trial|report")
    add = {verb: verbs.add_parser(verb, parents=[common], help=text, allow_abbrev=False) for verb, text in (
        ("plan", "list the trials with their graphs and sizes; nothing runs"),
        ("sweep", "run what is left of the study"),
        ("status", "count trials by state"),
        ("trial", "run one trial of the plan in this process"),
        ("report", "write report.html from the records"),
    )}  # fmt: skip
    for verb in ("plan", "status"):
        add[verb].add_argument("--json", action="store_true", help="JSON on stdout")
    add["sweep"].add_argument("--address", help="Ray cluster to use, such as auto; without: one on this machine")
    add["sweep"].add_argument("--workers", type=_positive, default=2, help="DDP ranks of a trial, one GPU each [2]")
    add["sweep"].add_argument("--cpus-per-worker", type=_positive, default=1, help="CPUs of a rank [1]")
    add["sweep"].add_argument("--concurrent", type=_positive, help="settings at a time [as many as fit]")
    add["sweep"].add_argument("--no-open", action="store_true", help="do not open the report in a browser")
    add["trial"].add_argument("trial", help="number or digest of a trial, as `plan` lists it")

    def main() -> int:
        plain, keys = split(sys.argv[1:] if arguments is None else arguments)
        options = parser.parse_args(plain)
        return _VERBS[options.verb](_design(options, keys), options)

    return guarded(main)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_positive.__name__ = "whole number above 0"  # argparse names the type in its message


def _design(options: argparse.Namespace, keys: Mapping[str, object]) -> Design:
    from randwire import registry
    from randwire.study.design import Design

    if "graph.generator" in keys:
        raise ConfigError("graph.generator: is what the study varies; choose with --generators")
    generators = tuple(filter(None, options.generators.split(",")))
    known = registry.names("randwire.graphs")
    if not generators or any(generator not in known for generator in generators):
        raise ConfigError(f"--generators: must name some of {','.join(known)}, is {options.generators!r}")
    base = configuration.load(options.base, {**keys, "runtime.study": options.name})
    return Design(
        base=base,
        search=options.search,
        settings=options.settings,
        seeds=options.seeds,
        train_seeds=options.train_seeds,
        generators=generators,
        seed=options.seed,
        early_stopping=options.early_stopping,
    )


def _plan(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.plan import plan

    trials, later = plan(design)
    if options.json:
        print(json.dumps({"trials": [trial.to_row() for trial in trials], "later_settings": later}))
        return 0
    print(f"{'#':>4}  {'digest':<12}  {'setting':<14}{'graph':>6}{'train':>6}{'params':>12}{'mult-adds':>15}"
          f"{'sources':>8}{'depth':>6}  state")  # fmt: skip
    for trial in trials:
        config = trial.config
        print(
            f"{trial.number:>4}  {config.digest:<12}  {config.generator.label:<14}{config.graph.seed:>6}"
            f"{config.train.seed:>6}{trial.params:>12,}{trial.mult_adds:>15,}{trial.sources:>8}{trial.depth:>6}"
            f"  {trial.state}"
        )
    each = design.seeds * design.train_seeds
    print(f"\n{len(trials)} trials of {design.base.train.epochs} epochs in {design.folder}, {each} a setting")
    if later > 0:
        print(f"{later} further settings ({later * each} trials) will depend on the results of these")
    return 0


def _sweep(design: Design, options: argparse.Namespace) -> int:
    from randwire.records import find
    from randwire.study.launch import Cluster, check, sweep
    from randwire.study.report import write_report
    from randwire.tracking import open_tracker

    cluster = Cluster(options.address, options.workers, options.cpus_per_worker, options.concurrent)
    check(design, cluster)
    runtime = design.base.runtime
    tracker = open_tracker(runtime.wandb, runtime.project, runtime.study, design.folder / "wandb")
    try:
        failures = sweep(design, cluster, tracker)
    finally:
        tracker.close()
        if find(design.folder):
            page = write_report(design.folder)
            print(f"report: {page}", file=sys.stderr)
    _open(page, wanted=not options.no_open)
    print(page)
    return 1 if failures else 0


def _open(page: Path, wanted: bool) -> None:
    """Show a page where a person is likely to see it: on a terminal of a desktop."""
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if wanted and desktop and sys.stderr.isatty():
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def _status(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.plan import status, stored

    counts, rows = status(stored(design))
    if options.json:
        print(json.dumps({"counts": dict(counts), "trials": rows}))
        return 0
    for row in rows:
        top1 = "-" if row["val_top1"] is None else f"{row['val_top1']:.2f}%"
        print(
            f"{row['digest']}  {row['setting']:<16} g{row['graph_seed']} t{row['train_seed']}  {row['state']:<10} "
            f"{row['epochs']:>3}/{row['of']} epochs  top-1 {top1:>7}  {row['cause'] or ''}".rstrip()
        )
    print(", ".join(f"{number} {name}" for name, number in counts.items()) or f"{design.folder}: nothing started yet")
    return 0


def _trial(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.plan import plan, stored

    design = stored(design)
    trials, _ = plan(design)
    for trial in trials:
        if options.trial in (str(trial.number), trial.config.digest):
            return _train(trial.config)
    raise ConfigError(f"trial {options.trial}: not among the {len(trials)} trials that `plan` lists")


def _report(design: Design, options: argparse.Namespace) -> int:
    from randwire.study.report import write_report

    print(write_report(design.folder))
    return 0


_VERBS: Mapping[str, Callable[[Design, argparse.Namespace], int]] = {
    "plan": _plan,
    "sweep": _sweep,
    "status": _status,
    "trial": _trial,
    "report": _report,
}
