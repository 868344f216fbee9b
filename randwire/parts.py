"""The parts of a training: which process trained which epochs of a trial, and where.

environment.json is their list, in the order in which they began. Each has its commit, versions, hardware, ranks and
command (see `environment`), and what it trained first: `first_epoch` and `first_step`, both counted from 1. An object
in the place of the list is the only part of a record that was written before there was a list.
"""

from collections.abc import Sequence
from typing import Any

from randwire.errors import RecordError
from randwire.records import Record, Row

FILE = "environment.json"


def parts_of(record: Record) -> list[Row]:
    """The parts of a training so far; none where none was recorded. Raises RecordError if they are damaged."""
    value = record.read_json(FILE)
    if value is None:
        return []
    parts: list[Any] = [value] if isinstance(value, dict) else value
    if not isinstance(parts, list) or not all(isinstance(part, dict) and _is_placed(part) for part in parts):
        raise RecordError(
            f"{record.folder / FILE}: damaged: must hold a list of objects; remove it to go on without it"
        )
    return parts


def add_part(record: Record, environment: Row, epoch: int, step: int = 1) -> None:
    """Record that a process now trains from a step of an epoch on. Raises RecordError if the file is damaged."""
    record.write_json(FILE, [*parts_of(record), {**environment, "first_epoch": epoch, "first_step": step}])


def kept(parts: Sequence[Row], epochs: int) -> list[Row]:
    """The parts that have trained what a record of so many epochs holds; at least the last one, if there is one.

    What a process trained after its last checkpoint is trained again by the next one, and so it may have left nothing.
    """
    starts = [_start(part) for part in parts]
    trained = [
        part for number, part in enumerate(parts) if starts[number] < min((*starts[number + 1 :], (epochs + 1, 1)))
    ]
    return trained or list(parts[-1:])


def part_at(parts: Sequence[Row], epoch: int) -> Row:
    """The part that has ended an epoch; empty where that was not recorded."""
    return next((part for part in reversed(parts) if _start(part)[0] <= epoch), {})


def _start(part: Row) -> tuple[int, int]:
    """What a part trained first: epoch and step."""
    return part.get("first_epoch", 1), part.get("first_step", 1)


def _is_placed(part: Row) -> bool:
    """Whether it says where it began, if anything, and its packages, hardware and so on are objects, if it has any."""
    objects = all(isinstance(part.get(name) or {}, dict) for name in ("packages", "hardware", "cuda", "arithmetic"))
    return objects and all(type(number) is int for number in _start(part))
