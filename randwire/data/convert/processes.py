"""Images of a source converted by several processes, in their order."""

import multiprocessing
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from randwire.data.codec import Encoding
from randwire.data.convert.image import ConvertedImage, UnusableImage, convert_image
from randwire.data.reading import Reading
from randwire.data.sources import Source, Split
from randwire.errors import ProcessKilledError

CHUNK_IMAGES = 16
"""Images that a process converts at a time: 12 MB of raw ones at 500 pixels."""
CHUNKS_AHEAD = 4
"""Chunks for each process that may be in the making or wait to be written."""

Converted: TypeAlias = ConvertedImage | UnusableImage
_Pipe: TypeAlias = "Connection[Any, Any]"


class _Task(NamedTuple):
    """Images of a split, [start, stop), that a process converts in one go."""

    split: Split
    start: int
    stop: int
    encoding: Encoding
    reading: Reading


class ProcessPool:
    """Processes that are started anew, not forked: the caller may hold threads and locks.

    Each has a pipe of its own, whose other end it alone holds: if it is killed, the pipe ends, even in the midst of a
    message, for whose rest the caller would wait at a queue that processes share. They get the source by the file
    `source_path`: large arguments block for ever if a process dies before it has read them.
    """

    def __init__(self, source: Source, count: int, source_path: Path) -> None:
        """Start `count` processes; `source_path` is a file to be written. Close the pool, whatever happens."""
        source_path.write_bytes(pickle.dumps(source))
        context = multiprocessing.get_context("spawn")
        self._processes: dict[_Pipe, BaseProcess] = {}
        try:
            with _interrupts_deferred():
                for _ in range(count):
                    ours, theirs = context.Pipe()
                    process = context.Process(target=_serve, args=(theirs, source_path), daemon=True)
                    process.start()
                    theirs.close()
                    self._processes[ours] = process
        except BaseException:
            self.close()
            raise

    def convert(self, split: Split, count: int, encoding: Encoding, reading: Reading) -> Iterator[Converted]:
        """The first `count` images of a split in order, while CHUNKS_AHEAD further chunks for each process are made.

        Raises ProcessKilledError if a process has been killed, and what a source has raised.
        """
        starts = range(0, count, CHUNK_IMAGES)
        return self._run([_Task(split, start, min(start + CHUNK_IMAGES, count), encoding, reading) for start in starts])

    def _run(self, tasks: Sequence[_Task]) -> Iterator[Converted]:
        pending: dict[_Pipe, deque[int]] = {pipe: deque() for pipe in self._processes}
        done: dict[int, list[Converted]] = {}
        sent = 0
        for number in range(len(tasks)):
            while sent < min(len(tasks), number + CHUNKS_AHEAD * len(pending)):
                pipe = min(pending, key=lambda one: len(pending[one]))
                with _ending_is_a_kill():
                    pipe.send(tasks[sent])
                pending[pipe].append(sent)
                sent += 1
            while number not in done:
                for ready in wait([pipe for pipe, numbers in pending.items() if numbers]):
                    assert isinstance(ready, Connection)
                    with _ending_is_a_kill():
                        answer = ready.recv()
                    if isinstance(answer, Exception):
                        raise answer
                    done[pending[ready].popleft()] = answer
            yield from done.pop(number)

    def close(self) -> None:
        """End all processes, whatever they do."""
        for process in self._processes.values():
            process.kill()
        for pipe, process in self._processes.items():
            process.join()
            pipe.close()


@contextmanager
def process_pool(source: Source, count: int, source_path: Path) -> Iterator[ProcessPool | None]:
    """None for one process: this one."""
    if count == 1:
        yield None
        return
    pool = ProcessPool(source, count, source_path)
    try:
        yield pool
    finally:
        pool.close()


def _serve(pipe: _Pipe, source_path: Path) -> None:
    """A process of the pool: do the tasks that come, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees it, and ends the pool
    source: Source = pickle.loads(source_path.read_bytes())
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task: _Task = pipe.recv()
            try:
                answer: list[Converted] | Exception = [
                    convert_image(source, task.split, index, task.encoding, task.reading)
                    for index in range(task.start, task.stop)
                ]
            except Exception as error:
                error.add_note(f"in a process of the conversion:\n{traceback.format_exc()}")
                answer = error
            pipe.send(answer)


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """A block, such as the start of a process, that SIGINT does not tear: KeyboardInterrupt comes after it.

    A process started in it has SIGINT blocked: it would print a traceback if it came before `_serve`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt


@contextmanager
def _ending_is_a_kill() -> Iterator[None]:
    """The end of a pipe in the block means that the process behind it was killed."""
    try:
        yield
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise ProcessKilledError from None
