"""The folder of a study: the files that it keeps beside its records."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from randwire import config as configuration
from randwire import graphs, json_files
from randwire.config import RunConfig
from randwire.errors import ConfigError, RecordError, RecordLockedError
from randwire.records import PARTIAL_SUFFIX, REMEDIES, Record, Row, atomic, hold
from randwire.study import space
from randwire.study.setting import Setting
from randwire.study.stored import flaw_of


def base_of(study: Row, data_path: str | None = None) -> RunConfig:
    """The configuration that all trials of a recorded design (study.json) share; `runtime` is at its defaults.

    `data_path` is where the data is, for a design that does not record it. Raises ValueError, KeyError or TypeError for
    a damaged design.
    """
    base = study["base"]
    generator = study.get("generator") or _generator(study.get("generators") or space.default(), base["graph"]["nodes"])
    graph = {**base["graph"], "generator": generator}
    data = {**base["data"], "path": study.get("data_path") or data_path}
    return RunConfig.model_validate({**base, "graph": graph, "data": data})


def _generator(names: Sequence[str], nodes: int) -> str:
    """The generator of a configuration whose design does not record it: one that is possible for its nodes."""
    for spec in (default := RunConfig().graph.generator, *space.best(names)):
        with suppress(ValueError):
            graphs.parse(spec).check(nodes)
            return spec
    return default


SWEPT = "another sweep of this study is running; wait or end it, or name another study with --name"
"""Why a study cannot be swept."""
LATEST = 32503680000.0
"""The year 3000, in Unix seconds: what a file says of a time is not after it."""


class StudyFolder:
    """The files that a study keeps beside its records.

    study.json           the design
    suggestions.jsonl    the settings in the order in which they were suggested, and those that a search rejected
    failures.jsonl       the settings that could not be run, each with time and cause; a later sweep tries them again
    looks.jsonl          when its tests were looked at, and at how many replicates (see `looks`)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Row | None:
        """The design that the folder holds, as study.json has it; None if it holds none yet.

        Raises ConfigError, in one line, if it is damaged.
        """
        try:
            study = Record(self.folder).read_json("study.json")
        except RecordError as error:
            raise ConfigError(str(error)) from None
        if study is None:
            return None
        if flaw := flaw_of(study) or ("" if "base" in study else "must hold the design of a study"):
            raise self.damaged(flaw)
        return {"require": [], "variants": {}, **study}  # earlier studies have none

    def damaged(self, cause: str) -> ConfigError:
        """The error that says why study.json holds no design."""
        return ConfigError(f"{self.folder / 'study.json'}: damaged: {cause}; {REMEDIES['study.json']}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study for this process, which sweeps it; the lock ends with the process, however it ends.

        Its trials have locks of their own, so that one can be run beside a sweep. Raises RecordError if the folder
        cannot be written, RecordLockedError if another process sweeps the study.
        """
        with hold(self.folder, SWEPT, "--runtime.output"):
            for partial in self.folder.glob(f".*{PARTIAL_SUFFIX}"):
                partial.unlink(missing_ok=True)
            yield

    def check_free(self) -> None:
        """Raises RecordLockedError if another process sweeps the study. Changes nothing."""
        if Record(self.folder).locked():
            raise RecordLockedError(f"{self.folder}: {SWEPT}")

    def check(self, identity: Mapping[str, Any], defaults: Mapping[str, Any]) -> Row | None:
        """The design that the folder holds, if any.

        Raises ConfigError if it has another identity; names the difference. An option that is missing in the study came
        later, and is at its default there.
        """
        study = self.read()
        if study is None:
            return None
        for key, value in identity.items():
            change = _difference(key, study.get(key, defaults.get(key)), value)
            if change is not None:
                raise ConfigError(f"{self.folder}: holds a study with another {change}; name this one with --name NAME")
        return study

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the design for this process, which reads it and writes it anew: another one waits for that moment.

        Raises ConfigError if the folder is not writable.
        """
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            file = open(self.folder / ".design.lock", "a", encoding="utf-8")  # noqa: SIM115
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write(self, study: Row) -> None:
        """Write a design. Raises ConfigError if the folder is not writable."""
        with self._writing():
            Record(self.folder).write_json("study.json", study)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"{self.folder}: cannot be written ({error.strerror}); choose a folder with --runtime.output"
            ) from None

    def entries(self) -> dict[Setting, list[str]]:
        """The settings seen so far, in order, with the requirements for which a search rejected them (else empty).

        A torn last line is left out. Raises RecordError, in one line, if their file is damaged otherwise.
        """
        path = self.folder / "suggestions.jsonl"
        lines = json_files.read_lines(path)
        entries: dict[Setting, list[str]] = {}
        damaged = list(lines.damaged)
        for number, row in zip(lines.numbers, lines.values, strict=True):
            setting, rejected = (row.get("setting"), row.get("rejected", [])) if isinstance(row, dict) else (None, [])
            if (
                isinstance(setting, str)
                and isinstance(rejected, list)
                and all(isinstance(one, str) for one in rejected)
            ):
                entries[Setting.parse(setting)] = rejected
            else:
                damaged.append(number)
        if damaged:
            raise RecordError(
                f"{path}: damaged: line {min(damaged)} holds no setting; put back a copy, or remove that line"
            )
        return entries

    def add_failure(self, setting: Setting, cause: str | None) -> None:
        """Note why a setting could not be run, or, with None, that it has been run after all."""
        if cause is not None or setting in failures_of(self.folder):
            row = {"setting": str(setting), "time": time.time(), "cause": cause}
            Record(self.folder).append("failures.jsonl", row)

    def suggestions(self) -> list[Setting]:
        """The settings suggested so far, in order."""
        return [setting for setting, violated in self.entries().items() if not violated]

    def add_suggestion(self, setting: Setting | None, rejected: Mapping[Setting, Sequence[str]] | None = None) -> None:
        """Add a setting, and before it what was rejected on the way to it; the file is whole at every moment."""
        entries = self.entries()
        extended = {**entries}
        for other, violated in [*(rejected or {}).items(), *([(setting, ())] if setting else [])]:
            extended.setdefault(other, list(violated))
        if extended == entries:
            return
        rows = [
            {"setting": str(other), "rejected": violated} if violated else {"setting": str(other)}
            for other, violated in extended.items()
        ]
        with atomic(self.folder / "suggestions.jsonl") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def failures_of(folder: Path) -> dict[Setting, tuple[float, str]]:
    """When (Unix seconds) and why settings of the study in a folder could not be run, as it stands now.

    Lines that are no failure are left out, and those of a generator that is gone: what is not known of a setting is
    found out when it is tried again. Raises RecordError, in one line, if their file cannot be read.
    """
    last: dict[str, tuple[float, str | None]] = {}
    for row in Record(folder).rows("failures.jsonl"):
        setting, at, cause = map(row.get, ("setting", "time", "cause")) if isinstance(row, dict) else (None, None, None)
        if isinstance(setting, str) and isinstance(at, int | float) and isinstance(cause, str | None):
            last[setting] = min(max(0.0, float(at)), LATEST), cause
    failures = {Setting.parse(text): (at, cause) for text, (at, cause) in last.items() if cause is not None}
    return {setting: failures[setting] for setting in failures if setting.known}


def _difference(key: str, stored: Any, current: Any) -> object:
    """What differs between two values of a key of a design, as text; None if nothing does."""
    if key == "base":
        return configuration.difference(stored, current)
    if key == "variants" and stored and current:  # there may be more of them, see `growth`
        common = {*stored} & {*current}
        stored, current = ({name: one[name] for name in one if name in common} for one in (stored, current))
    return None if stored == current else _first(key, stored, current)


def _first(key: str, stored: Any, current: Any) -> str:
    if isinstance(stored, Mapping) and isinstance(current, Mapping):
        for name in (*current, *stored):
            if stored.get(name) != current.get(name):
                return _first(f"{key}.{name}", stored.get(name), current.get(name))
    return f"{key} ({stored!r}, not {current!r})"
