"""JSON from files that a kill, a full disk or an editor may have damaged: read in one way, told in one line."""

import errno
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from randwire.errors import RecordError, UnreachableError, brief

LASTING = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors of reading that no waiting mends."""


class Lines(NamedTuple):
    """The whole lines of a file of JSON lines."""

    values: Sequence[Any]
    numbers: Sequence[int]
    """Of each value, the number of its line, from 1."""
    damaged: Sequence[int]
    """The numbers of lines that are no JSON, without a last line that does not end: a kill tears it."""


def read_json(path: Path, remedy: str) -> Any:
    """The content of a JSON file, or None if there is no such file.

    Raises RecordError, in one line that ends with the `remedy`, if it is damaged or cannot be read, and
    UnreachableError if its storage is not there.
    """
    content = _content(path)
    if content is None:
        return None
    try:
        value = json.loads(content)
        _check_text(content, value)
    except (ValueError, RecursionError) as error:
        cause = "is empty" if not content.strip() else brief(error)
        raise RecordError(f"{path}: damaged: {cause}; {remedy}") from None
    return value


def read_lines(path: Path) -> Lines:
    """The lines of a file of JSON lines; none if there is no such file. A torn last line is left out.

    Raises RecordError, in one line, if the file cannot be read, and UnreachableError if its storage is not
    there.
    """
    content = _content(path)
    if content is None:
        return Lines([], [], [])
    with suppress(ValueError, RecursionError):
        *lines, last = content.decode("utf-8-sig").split("\n")
        if not last:
            values = json.loads(f"[{','.join(lines)}]")  # at once, the rows share their keys: half the memory
            _check_text(content, values)
            if len(values) == len(lines):
                return Lines(values, range(1, len(values) + 1), [])
    *whole, torn = content.split(b"\n")
    values, numbers, damaged = [], [], []
    for number, line in enumerate([*whole, torn], 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8-sig"))
            _check_text(line, value)
        except (ValueError, RecursionError):
            if number <= len(whole):
                damaged.append(number)
        else:
            values.append(value)
            numbers.append(number)
    return Lines(values, numbers, damaged)


def _content(path: Path) -> bytes | None:
    """What a file holds; None if there is none. Raises RecordError for LASTING errors, UnreachableError for others."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in LASTING:
            raise UnreachableError(
                f"{path}: cannot be read now: {error.strerror}; try again when its storage is there"
            ) from error
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None


def _check_text(content: bytes, value: Any) -> None:
    """Raise ValueError for text that no file can hold: halves of surrogate pairs, which JSON can."""
    if b"\\u" in content and b"\\ud" in content.lower():
        json.dumps(value, ensure_ascii=False).encode()
