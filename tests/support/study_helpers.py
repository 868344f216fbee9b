"""Designs, and records as a sweep leaves them, without training anything."""

import signal
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from randwire import config as configuration
from randwire.cli import study
from randwire.records import Record
from randwire.study import space
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting

NAMES = ("er", "ba", "ws")


def design(folder: Path, **changes: object) -> Design:
    keys = {"runtime.output": str(folder), "runtime.study": "study", "graph.nodes": 12, "train.epochs": 4}
    return Design(configuration.load("digits", keys), **changes)  # type: ignore[arg-type]


def end(design: Design, setting: Setting | str, status: str = "finished", top1: float = 50.0) -> None:
    """Write the summaries that a sweep would leave for a setting."""
    for trial in design.trials(setting if isinstance(setting, Setting) else Setting.parse(setting)):
        record = Record(design.folder / trial.digest)
        record.write_text("config.yaml", trial.to_yaml())
        record.write_json("summary.json", {"status": status, "val_top1": top1, "cause": None})


def every_spec(generators: Sequence[str]) -> list[str]:
    """All specs of a search without ranges, by the domains of the generators alone: 109 for ER, BA and WS."""
    specs = []
    for name in generators:
        domains = space.kind(name).domains
        chosen = product(*(domain.values() for domain in domains.values()))
        specs += [space.spec(name, dict(zip(domains, values, strict=True))) for values in chosen]
    return specs


def score(setting: Setting) -> float:
    return 40.0 + sum(ord(letter) for letter in str(setting)) % 50


def drain(search: SettingSearch, count: int) -> list[Setting]:
    """Settings of a sweep of one setting at a time, each of which ends well."""
    suggested = []
    for _ in range(count):
        setting = search.next()
        if setting is None:
            break
        StudyFolder(search.design.folder).add_suggestion(setting, search.rejected)
        end(search.design, setting, top1=score(setting))
        search.tell(setting, "finished", score(setting))
        suggested.append(setting)
    return suggested


def command(*arguments: str) -> int:
    """The exit code of `studies/generators.py` in this process: importing torch takes seconds."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        return study("generators", None, arguments)
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
