"""`studies/NAME.py`: the verbs of a study."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from randwire import config as configuration
from randwire.arguments import guarded, split
from randwire.cli.plan_verb import show_plan
from randwire.cli.status_verb import show_status
from randwire.cli.study_parser import DESIGNING, FINDING_KEYS, study_parser
from randwire.cli.train_command import train_one
from randwire.errors import ConfigError
from randwire.stdio import delivered

if TYPE_CHECKING:
    from randwire.config import RunConfig
    from randwire.study.defaults import Defaults
    from randwire.study.design import Design


Variants = Callable[["RunConfig"], Mapping[str, Mapping[str, object]]]
"""The variants that a study compares: dotted keys by name, from the configuration of all trials."""


def study(
    name: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
    variants: Variants | None = None,
    defaults: Defaults | None = None,
) -> int:
    """`studies/NAME.py`: plan, sweep, status, trial, report.

    With `variants` it is a fixed grid of them, with `defaults` a list that begins with these.
    """
    parser = study_parser(name, description, "variants" if variants else "list" if defaults else "search")
    cached = cache(variants) if variants else None  # a study that is watched asks again and again

    def main() -> int:
        plain, texts = split(sys.argv[1:] if arguments is None else arguments)
        options = parser.options_of(plain)
        keys = configuration.parse_all(texts)
        if options.verb not in DESIGNING:
            _check_stored(options, keys)
        return _VERBS[options.verb](lambda: _design(options, keys, cached, defaults), options)

    return guarded(main)


def _check_stored(options: argparse.Namespace, keys: Mapping[str, object]) -> None:
    """Raise ConfigError where a verb that reads the study as it is stored is given another key, or has none to read."""
    from randwire.study.folder import StudyFolder

    place = {key: value for key, value in keys.items() if key in FINDING_KEYS}
    runtime = configuration.build({}, {**place, "runtime.study": options.name}).runtime
    folder = StudyFolder(runtime.output / runtime.study)
    study = folder.read()
    # Early studies do not say where their images are.
    allowed = FINDING_KEYS if study is None or "data_path" in study else (*FINDING_KEYS, "data.path")
    if wrong := [key for key in keys if key not in allowed]:
        raise ConfigError(
            f"{wrong[0]}: is not for {options.verb}, which takes the study as it is stored; it is found by --name and "
            f"{' and '.join(allowed)}"
        )
    if study is None and options.verb == "status":
        raise ConfigError(
            f"{folder.folder}: holds no study; `sweep` begins one, --name and --runtime.output name another"
        )


def _design(
    options: argparse.Namespace, keys: Mapping[str, object], variants: Variants | None, defaults: Defaults | None
) -> Design:
    """The design of the options and keys that are given, laid over the one that the study's folder holds."""
    from randwire.study.defaults import Options
    from randwire.study.design import Design
    from randwire.study.given import check

    given: dict[str, Any] = {option: vars(options).get(option) for option in Options.__annotations__}
    for option in ("generators", "objective"):
        given[option] = _names(given[option])

    def load(compared: Any) -> Design:
        base = vars(options).get("base")
        return Design.load(base, keys, name=options.name, variants=compared, defaults=defaults, **given)

    design = load(variants or {})
    check(design, keys, given["seed"], variants)
    if not variants or options.verb not in DESIGNING:
        return design
    every = variants(design.base)
    if options.variants is not None:
        names = _names(options.variants) or ()
        if not names or not set(names) <= set(every):
            raise ConfigError(f"--variants: must name some of {','.join(every)}, is {options.variants!r}")
        return load({name: every[name] for name in names})
    if later := [name for name in every if name not in design.variants]:
        both = ",".join((*design.variants, *later))
        print(
            f"not in this study: {', '.join(later)}; --variants {both} adds, --name NAME begins one with all",
            file=sys.stderr,
        )
    return design


def _warn_of_parent(design: Design, options: argparse.Namespace) -> None:
    """Say that the study whose choice is about to be confirmed, or trained for longer, has not ended."""
    from randwire.study.confirmation import folder_of
    from randwire.study.design import Design
    from randwire.study.progress import status

    given = vars(options).get("confirm") or vars(options).get("longer")
    if given is None:
        return
    parent = folder_of(given, design.folder)
    values = {"runtime.output": str(parent.parent), "data.path": design.base.data.path}
    earlier = Design.load(None, {key: value for key, value in values.items() if value}, name=parent.name)
    if not status(earlier).ended:
        print(f"{parent.name} has not ended; what is chosen from it now stays chosen", file=sys.stderr)


def _names(text: str | None) -> tuple[str, ...] | None:
    """The names of a list with commas."""
    return None if text is None else tuple(filter(None, text.split(",")))


def _plan(load: Callable[[], Design], options: argparse.Namespace) -> int:
    from randwire.study.folder import StudyFolder

    design = load()
    from randwire.study.planning import holdout_advice

    status = show_plan(design, options)
    if advice := holdout_advice(design):
        print(advice, file=sys.stderr)
    if StudyFolder(design.folder).read() is None:
        _warn_of_parent(design, options)
    delivered()
    return status


def _sweep(load: Callable[[], Design], options: argparse.Namespace) -> int:
    from randwire.attempts import has_failed
    from randwire.records import find_records
    from randwire.report.page.study_page import write_report
    from randwire.study.folder import StudyFolder
    from randwire.sweep import Cluster, Timeouts
    from randwire.sweep.launch import check, sweep

    cluster = Cluster(
        options.address,
        options.workers,
        options.cpus_per_worker,
        options.concurrent,
        options.losses,
        Timeouts(stall_s=60 * options.stall_minutes),
        options.gpus_per_worker,
    )
    design = load()
    begins = StudyFolder(design.folder).read() is None
    check(design, cluster)
    if begins:
        _warn_of_parent(design, options)
    try:
        failures = sweep(design, cluster, retry=options.retry)
    finally:
        page = write_report(design.folder) if find_records(design.folder) else None
        if page:
            print(f"report: {page}", file=sys.stderr)
    if any(map(has_failed, find_records(design.folder))):
        print("sweep --retry begins failed trials again", file=sys.stderr)
    if page:
        _open(page, wanted=not options.no_open)
        print(page)
    return 1 if failures else 0


def _open(page: Path, wanted: bool) -> None:
    """Show a page where a person is likely to see it: on a terminal of a desktop."""
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if wanted and desktop and sys.stderr.isatty():
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def _trial(load: Callable[[], Design], options: argparse.Namespace) -> int:
    """Train one trial. The first one begins the study, so that all verbs know it from then on."""
    from randwire import data
    from randwire.attempts import check_failed, has_failed
    from randwire.study.folder import StudyFolder
    from randwire.study.growth import added_to
    from randwire.study.planning import listing

    design = load()
    trials = listing(design).trials
    for number, trial in enumerate(trials, 1):
        if options.trial in (str(number), trial.digest):
            record = design.record(trial)
            if options.retry:
                check_failed(record)
            stored, has_ended = StudyFolder(design.folder).read(), record.summary() is not None
            if not has_ended:
                data.check(design.base.data, design.base.train.batch_size)
                if stored is None:
                    _warn_of_parent(design, options)
            if not has_ended or (stored and added_to(stored, design.to_json())):
                design.open()
            again = "--retry begins it again" if has_failed(record) else ""
            return train_one(trial, again=again, retry=options.retry)
    fix = ""
    if StudyFolder(design.folder).read() is None:
        fix = f"; {design.folder} holds no study yet, so give the options and keys of that plan"
    raise ConfigError(f"trial {options.trial}: not among the {len(trials)} trials that `plan` lists{fix}")


def _report(load: Callable[[], Design], options: argparse.Namespace) -> int:
    from randwire.pages.text import many
    from randwire.report.page.study_page import write_report

    design = load()
    others = _others(design, options)
    left_out = 0
    if options.optuna:
        from randwire.study.export import export

        left_out = export(design.folder, options.optuna)  # first: it refuses a file that is there
    print(write_report(design.folder, options.output, others), flush=True)
    if options.table:
        from randwire.report.table import write_table

        broken = write_table(design.folder, options.table)
        if broken:
            print(
                f"{len(broken)} records cannot be read and are not in the table; the report lists them", file=sys.stderr
            )
        print(options.table)
    if options.optuna:
        if left_out:
            print(f"{options.optuna} is without {many(left_out, 'trial')} of other budgets", file=sys.stderr)
        print(options.optuna)
    if options.publish:
        from randwire.report.publishing.publisher import publish

        print(publish(design.folder))
    delivered()
    return 0


def _others(design: Design, options: argparse.Namespace) -> list[Path]:
    """The folders of further studies that the page of a report is to hold."""
    from randwire.study.confirmation import folder_of

    for option in ("table", "optuna", "publish"):
        if options.others and getattr(options, option):
            raise ConfigError(f"--with: is for the page, and --{option} is of one study; leave one of them out")
    folders = [folder_of(name, design.folder) for name in options.others]
    for number, folder in enumerate(folders):
        if folder in (design.folder.resolve(), *folders[:number]):
            raise ConfigError(f"--with: names {options.others[number]} more than once")
    return folders


_VERBS: Mapping[str, Callable[[Callable[[], Design], argparse.Namespace], int]] = {
    "plan": _plan,
    "sweep": _sweep,
    "status": show_status,
    "trial": _trial,
    "report": _report,
}
