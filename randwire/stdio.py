"""Standard output and standard error of a command: work outlives their loss, and what was not delivered is known.

A reader that ends (`head`), a full disk, a terminal that is gone and a descriptor that was closed (`>&-`) all make a
write fail. In the block of `surviving` no write raises; `delivered` tells whether standard output has taken all.
"""

import errno
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from randwire.errors import StorageError

PASSING = (errno.ENOSPC, errno.EDQUOT)
"""Errors that may pass: later lines are tried again. After any other one the descriptor leads to /dev/null."""

READER_GONE = (errno.EPIPE, errno.ECONNRESET)
"""Errors of a pipe, or of a socket in its place, whose reader has ended."""
CLOSED = "it is closed"

_outputs: "list[Stream]" = []
"""Standard output as `surviving` has put it in place: other libraries put streams of theirs around it."""


class Stream:
    """A text stream whose writes do not raise; `error` is that of the first one that failed.

    All else is that of `inner`. None stands for a stream that was closed before Python began.
    """

    def __init__(self, inner: TextIO | None) -> None:
        self.error: OSError | None = None
        if inner is None:
            self.error = OSError(errno.EBADF, CLOSED)
            inner = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 # as long as the process
        self.inner = inner
        self._prepare()

    def _prepare(self) -> None:
        """A letter that the encoding lacks is written by its number, and a slow reader waited for, not overtaken."""
        if getattr(self.inner, "errors", None) in ("strict", "surrogateescape") and hasattr(self.inner, "reconfigure"):
            self.inner.reconfigure(errors="backslashreplace")
        with suppress(OSError, ValueError):
            if not os.get_blocking(self.inner.fileno()):
                os.set_blocking(self.inner.fileno(), True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, text: str) -> int:
        self._attempt(lambda: self.inner.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self._attempt(self.inner.flush)

    def isatty(self) -> bool:
        return self.error is None and self.inner.isatty()

    def settle(self) -> None:
        """Flush for the last time: what cannot be written now is dropped, or Python's own flush at its end would fail.

        That one makes the exit code 120.
        """
        try:
            self.inner.flush()
        except (OSError, ValueError) as error:
            self._fail(error, final=True)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, ValueError) as error:
            self._fail(error, final=False)

    def _fail(self, error: OSError | ValueError, final: bool) -> None:
        if isinstance(error, OSError):
            self.error = self.error or error
        elif self.inner.closed:
            self.error = self.error or OSError(errno.EBADF, CLOSED)
        else:
            raise error
        if final or self.error.errno not in PASSING:
            with suppress(OSError, ValueError):
                number, null = self.inner.fileno(), os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, number)
                os.close(null)
                self.inner.flush()  # what was left is dropped


@contextmanager
def surviving(output: bool = True) -> Iterator[None]:
    """Make the standard streams outlive their loss during the block; without `output`, standard error alone."""
    _fill_closed()
    names = ("stdout", "stderr") if output else ("stderr",)
    before = {name: getattr(sys, name) for name in names}
    streams = {name: inner if isinstance(inner, Stream) else Stream(inner) for name, inner in before.items()}
    for name, stream in streams.items():
        setattr(sys, name, cast(TextIO, stream))
    if output:
        _outputs.append(streams["stdout"])
    try:
        yield
    finally:
        if output:
            _outputs.pop()
        for name, stream in streams.items():
            stream.settle()
            setattr(sys, name, before[name])


def _fill_closed() -> None:
    """Lead closed descriptors 0 to 2 to /dev/null: a file opened later would get such a number, and lines of others."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)


def is_screen(stream: TextIO) -> bool:
    """Whether it is a terminal that a page or a bar can be drawn on; one whose TERM is dumb, or unset, is not."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def bar_interval() -> float:
    """Seconds between two states of a progress bar on standard error: a log gets a line now and then."""
    return 0.2 if sys.stderr.isatty() else 30.0


def lost_output() -> OSError | None:
    """Why standard output did not take all that was printed so far; None if it did."""
    sys.stdout.flush()
    return _outputs[-1].error if _outputs else None


def abandoned() -> bool:
    """Whether the reader of standard output has ended, as far as can be known before the next line is written."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return False


def delivered() -> bool:
    """Whether standard output has taken all; False: its reader has closed the pipe, having seen enough.

    For commands whose result is what they print. Raises StorageError if it was lost for another reason.
    """
    error = lost_output()
    if error is not None and error.errno not in READER_GONE:
        raise StorageError(f"standard output cannot be written: {error.strerror}; direct it elsewhere")
    return error is None
