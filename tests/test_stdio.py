"""Standard streams that fail: what is tried again, what is dropped, and what is told of it."""

import errno
import io
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import pytest
from lost_streams import behind

from randwire.errors import StorageError
from randwire.stdio import Stream, delivered, is_screen, surviving


class Disk(io.StringIO):
    """A stream whose writes fail with an error of that number, while there is one."""

    number: int | None = None

    def write(self, text: str) -> int:
        if self.number is not None:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


@contextmanager
def on(disk: Disk) -> Iterator[None]:
    """Standard output on that disk."""
    with redirect_stdout(disk), surviving():
        yield


def test_a_disk_that_has_room_again_gets_the_lines_that_follow() -> None:
    disk = Disk()
    with on(disk):
        print("before")
        disk.number = errno.ENOSPC
        print("lost")
        disk.number = None
        print("after")
        with pytest.raises(StorageError, match="No space left on device"):
            delivered()
    assert disk.getvalue() == "before\nafter\n"


def test_the_first_error_is_told() -> None:
    disk = Disk()
    with on(disk):
        disk.number = errno.EIO
        print("lost")
        disk.number = errno.ENOSPC
        print("lost")
        with pytest.raises(StorageError, match="Input/output error; direct it elsewhere"):
            delivered()


def test_a_stream_that_another_has_closed() -> None:
    disk = Disk()
    with on(disk):
        disk.close()
        print("lost")
        with pytest.raises(StorageError, match="it is closed"):
            delivered()


def test_what_is_no_matter_of_the_stream_is_raised() -> None:
    disk = Disk()
    with on(disk), pytest.raises(TypeError):
        sys.stdout.write(3)  # type: ignore[arg-type]


def test_a_reader_at_a_socket_that_ends_is_no_error() -> None:
    """Some shells and tools put sockets in the place of pipes: with lines unread, their end is another error."""
    ours, theirs = socket.socketpair()
    with theirs, behind(theirs.fileno(), 2), surviving():
        print("unread", flush=True)
        ours.close()
        print("lost", flush=True)
        assert not delivered()


def test_a_slow_reader_is_waited_for() -> None:
    """Who started the process may have set the pipe not to block: lines would be lost whenever it is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got = bytearray()

    def read() -> None:
        time.sleep(0.3)  # the pipe is full by then
        while block := os.read(reader, 10_000):
            got.extend(block)

    thread = threading.Thread(target=read)
    with behind(writer, 2), surviving():
        os.close(writer)
        thread.start()
        print("x" * 1_000_000)
        assert delivered()
    thread.join()
    os.close(reader)
    assert len(got) == 1_000_001


def test_a_library_touches_standard_error_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    output = sys.stdout
    monkeypatch.setattr(sys, "stderr", None)
    with surviving(output=False):
        print("dropped", file=sys.stderr)
        assert sys.stdout is output
        assert isinstance(sys.stderr, Stream)
    assert sys.stderr is None


@pytest.mark.parametrize(
    ("terminal", "term", "expected"),
    [(True, "xterm-256color", True), (True, "dumb", False), (True, None, False), (False, "xterm", False)],
)
def test_a_screen(terminal: bool, term: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    assert is_screen(stream) == expected
