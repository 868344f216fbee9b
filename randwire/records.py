"""The record of a trial: a folder of plain files, from which its network and every table can be rebuilt.

config.yaml         resolved and complete; `train.py` replays it
environment.json    the parts of the training: commit, versions, hardware, command line of each (see `parts`)
graphs/conv3.txt    0/1 adjacency matrix of a stage, one row a line
dag.svg  dag.json   picture, and nodes, edges and measures of every stage; a published network has no stages, and only
                    the latter
complexity.json     parameters, multiply-adds and activations by stage
metrics.jsonl       one line an epoch
correct.npz         which images the last evaluation of the training got right, one bit an image
pretrained.json     what was loaded of train.pretrained, and what not
evaluations.jsonl   one line for each later evaluation
checkpoint/         states of the training: newest.pt after the last epoch that has ended, previous.pt after the one
                    before, mid-epoch.pt in the middle of the next one
summary.json        written last: its existence means that the trial has ended
earlier/1           of a failed training that was begun again: what it has left (`attempts.py`)
"""

import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from randwire import json_files
from randwire.errors import RecordError, RecordLockedError

Row = dict[str, Any]
NEWEST_CHECKPOINT = "newest.pt"
"""The newest checkpoint in a record's folder `checkpoint`."""
MID_EPOCH_CHECKPOINT = "mid-epoch.pt"
"""Beside it, the state of a training in the middle of the next epoch."""
CLOCK_SKEW_S = 5.0
"""Seconds by which the clocks of two machines that write records may differ."""
PARTIAL_SUFFIX = ".partial"
"""Ends the names of files that are being written."""
REMEDIES = {
    "summary.json": "remove it, and the trial goes on from its checkpoint",
    "metrics.jsonl": "put back a copy, or remove the folder, and the trial is trained again",
    "study.json": "put back a copy, or remove it and give the options of the study again",
    "wandb-report.json": "remove it, and --publish makes a new report",
}
"""What mends a damaged file."""
REMEDY = "remove it and summary.json, and the trial writes both again from its checkpoint"
"""What mends any other file of a record: a trial that goes on writes them all."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What storage answers that has no locks."""


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` when the block ends well, and leaves no trace when it does not.

    What a kill or a lost disk leaves all the same is cleared by the next that locks the record (`Record.lock`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


class Record:
    """The files of one trial, by name. Reading never creates anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @contextmanager
    def lock(self, what: str = "this trial", option: str = "--runtime.output") -> Iterator[None]:
        """Hold the record for this process; the lock ends with the process, however it ends.

        The file holds the name of the machine. What an earlier holder left half-written is removed.
        Raises RecordError if the folder cannot be written, RecordLockedError if another process holds the lock.
        """
        with hold(self.folder, f"another process is working on {what}; wait or end it", option):
            for partial in self.folder.rglob(f".*{PARTIAL_SUFFIX}"):
                partial.unlink(missing_ok=True)
            yield

    def locked(self) -> bool | None:
        """Whether a process holds the record. None where that is unknown: locks of other machines may not show.

        Needs no permission to write, and changes nothing.
        """
        try:
            with open(self.folder / ".lock", encoding="utf-8", errors="replace") as file:
                machine = file.read()
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        except OSError:
            return None
        return False if machine == platform.node() else None

    def write_text(self, name: str, text: str) -> None:
        with atomic(self.folder / name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: object) -> None:
        self.write_text(name, json_text(value))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file, or None if there is no such file.

        Raises RecordError, in one line with the remedy, if it is damaged.
        """
        return json_files.read_json(self.folder / name, REMEDIES.get(name, REMEDY))

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one line to metrics.jsonl; it is on disk when this returns."""
        self.append("metrics.jsonl", row)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Add one line of JSON to a file; it is on disk when this returns. A torn line before it is ended."""
        with open(self.folder / name, "ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
            torn = file.read(1) not in (b"", b"\n")
            file.write(b"\n" * torn + json.dumps(row, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self, name: str) -> Sequence[Any]:
        """The values of the whole lines of a file of JSON lines; none if there is no such file.

        Lines that are no JSON are left out: a kill tears them. Raises RecordError if the file cannot be read.
        """
        return json_files.read_lines(self.folder / name).values

    def metrics(self) -> list[Row]:
        """The rows of metrics.jsonl, one an epoch, ascending; a torn last line is left out, a repeat replaces.

        Raises RecordError for a whole line that is no row.
        """
        rows: dict[int, Row] = {}
        for row in self.rows("metrics.jsonl"):
            if not isinstance(row, dict) or type(row.get("epoch")) is not int:
                path = self.folder / "metrics.jsonl"
                raise RecordError(f"{path}: damaged: a line is not the row of an epoch; {REMEDIES[path.name]}")
            rows[row["epoch"]] = row
        return [rows[epoch] for epoch in sorted(rows)]

    def truncate_metrics(self, epochs: int) -> None:
        """Drop the rows after `epochs`: what a resumed run will write again. Raises RecordError if others are lost."""
        rows = [row for row in self.metrics() if row["epoch"] <= epochs]
        if lost := {*range(1, epochs + 1)} - {row["epoch"] for row in rows}:
            path = self.folder / "metrics.jsonl"
            raise RecordError(f"{path}: damaged: lacks epoch {min(lost)} of the checkpoint; {REMEDIES[path.name]}")
        self.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def summary(self) -> Row | None:
        """The summary of an ended trial (`status` is finished, pruned or failed), None of one that has not ended.

        Raises RecordError, in one line with the remedy, if it is damaged.
        """
        summary: Row | None = self.read_json("summary.json")
        if summary is not None and not (isinstance(summary, dict) and isinstance(summary.get("status"), str)):
            path = self.folder / "summary.json"
            raise RecordError(f"{path}: damaged: does not say how the trial has ended; {REMEDIES[path.name]}")
        return summary

    def graphs(self) -> dict[str, str]:
        """The adjacency text of each random stage."""
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted((self.folder / "graphs").glob("*.txt"))}


def json_text(value: object) -> str:
    """The text of a JSON file of a record."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


@contextmanager
def hold(folder: Path, refusal: str, option: str) -> Iterator[None]:
    """Hold the lock of a folder for this process; it ends with the process, however that ends.

    The file, `.lock`, holds the name of the machine. Raises RecordError if the folder cannot be written, and
    RecordLockedError, with the `refusal`, if another process holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise RecordError(f"{folder}: cannot be written ({error.strerror}); choose a folder with {option}") from None
    with file:
        for delay_s in (0.05,) * 10 + (0,):  # `locked` holds it too, for a moment
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not delay_s:
                    raise RecordLockedError(f"{folder}: {refusal}") from None
                time.sleep(delay_s)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                break  # as well as it goes: such storage would hold no record at all
        file.truncate(0)
        file.write(platform.node())
        file.flush()
        yield


def checkpoint_file(path: Path) -> Path:
    """The newest checkpoint of a record's folder; a file is taken as a checkpoint itself."""
    return Record(path).checkpoint / NEWEST_CHECKPOINT if path.is_dir() else path


def find_records(folder: Path) -> Sequence[Record]:
    """All records below the folder of a study, by name."""
    if not folder.is_dir():
        return []
    return [Record(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
