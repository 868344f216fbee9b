"""This process behind standard streams that lead elsewhere, as a shell would have started it."""

import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = "/dev/full"
"""A disk without room."""


@contextmanager
def behind(output: int | None, error: int | None) -> Iterator[None]:
    """Run the block with these descriptors as standard output and standard error; None: closed, as by `>&-`."""
    sys.stdout.flush()
    sys.stderr.flush()
    streams = sys.stdout, sys.stderr
    saved = os.dup(1), os.dup(2)
    try:
        for number, descriptor in ((1, output), (2, error)):
            os.close(number) if descriptor is None else os.dup2(descriptor, number)
        # None is what Python has for a closed one.
        sys.stdout = None if output is None else os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = None if error is None else os.fdopen(2, "w", buffering=1, closefd=False)
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[int | None]:
    """A descriptor of that kind: `full` disk, `pipe` that nobody reads, `terminal` that is gone, `file`, `closed`."""
    if kind == "closed":
        yield None
        return
    if kind == "full":
        descriptor = os.open(FULL, os.O_WRONLY)
    elif kind == "file":
        descriptor = os.open(folder / "file", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    else:
        reader, descriptor = os.pipe() if kind == "pipe" else pty.openpty()
        os.close(reader)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
