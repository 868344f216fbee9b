"""Attempts at a training: one that has failed can be begun again, and keeps what the failed one has left.

`earlier/1` in its record holds that: metrics, checkpoints, where it ran and how it ended. The next attempt begins with
nothing of it, since what made it fail may be in its weights, too.
"""

from collections.abc import Iterable
from pathlib import Path

from randwire.errors import ConfigError, RecordError
from randwire.parts import FILE as PARTS
from randwire.records import Record, Row

FOLDER = "earlier"
SUMMARY = "summary.json"
OF_ATTEMPT = (PARTS, "pretrained.json", "metrics.jsonl", "correct.npz", "evaluations.jsonl", "checkpoint", SUMMARY)
"""What a training leaves, beside what its configuration says already. Its summary is moved last: until then it has
failed, and a later process moves the rest."""


def earlier(record: Record) -> list[Row]:
    """The summaries of the attempts before the one in the record, in order; empty for a damaged one."""
    summaries = []
    for folder in _folders(record):
        try:
            summary = Record(folder).summary()
        except RecordError:
            summary = {}
        if summary is not None:
            summaries.append(summary if isinstance(summary, dict) else {})
    return summaries


def has_failed(record: Record) -> bool:
    """Whether a record's training has ended as failed; a damaged summary does not say so."""
    try:
        summary = record.summary()
    except RecordError:
        return False
    return isinstance(summary, dict) and summary.get("status") == "failed"


def check_failed(record: Record) -> None:
    """Raise ConfigError for a record whose training cannot be begun again, since it has not failed."""
    if not has_failed(record):
        summary = record.summary()
        standing = f"is {summary.get('status')}" if isinstance(summary, dict) else "has not ended"
        raise ConfigError(f"--retry: {record} {standing}, and only what has failed is begun again; leave it out")


def begin_again(record: Record) -> None:
    """Keep what a failed training has left, so that the next one in its record begins anew.

    Raises ConfigError for one that has not failed, RecordError if the record is locked or cannot be written.
    """
    check_failed(record)
    with record.lock():
        if has_failed(record):  # still: nobody else has begun it meanwhile
            _set_aside(record)


def retry(records: Iterable[Record]) -> list[Record]:
    """Those of some records that have failed, each of which the next training begins again. Raises RecordError."""
    failed = [record for record in records if has_failed(record)]
    for record in failed:
        begin_again(record)
    return failed


def _set_aside(record: Record) -> None:
    target = record.folder / FOLDER / str(1 + len(earlier(record)))
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in OF_ATTEMPT:
            if (record.folder / name).exists():
                (record.folder / name).rename(target / name)
    except OSError as error:
        raise RecordError(
            f"{target}: cannot be written ({error.strerror}); make it writable, or free its disk"
        ) from None


def _folders(record: Record) -> list[Path]:
    folder = record.folder / FOLDER
    return sorted((path for path in folder.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
