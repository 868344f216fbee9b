"""Functions in processes of their own, which tell the parent what they find while they run.

They are forks of a process that has never touched a GPU: they start at once, with all modules imported, and an error
of one, which may leave its GPU context unusable, meets none of the others.
"""

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch

Tell = Callable[[str, Any], None]
"""Tells the parent something of a kind."""
FAILED, ENDED = "failed", "ended"
"""The last that is told: an error, with where it was raised, or that the function has ended."""
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2)."""
GRACE_S = 5.0
"""Seconds that a process has to end after it has told its last."""


class Told(NamedTuple):
    """What a process told: its kind, and what."""

    kind: str
    value: Any


class Process:
    """`function(tell, *arguments)` in a fork.

    With `leads`, whatever it starts ends with it. What it starts by this class must not lead, or it would outlive a
    process that is stopped.
    """

    def __init__(self, function: Callable[..., None], *arguments: Any, leads: bool = False) -> None:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            raise RuntimeError("a process that uses a GPU cannot fork others that do")
        fork = multiprocessing.get_context("fork")
        self.connection, sender = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_run, args=(leads, sender, function, *arguments))
        self._process.start()
        self._leads, self._ended = leads, False
        sender.close()

    def told(self, until: float) -> Iterator[Told]:
        """What it tells to its end; at `until`, of the monotonic clock, it is stopped. ENDED or FAILED is the last."""
        while not self._ended:
            self.connection.poll(max(0.0, until - time.monotonic()))
            yield self.next_told()

    def next_told(self) -> Told:
        """What it has told and is not read yet; if it has told nothing, it is stopped."""
        try:
            told = Told(*self.connection.recv()) if self.connection.poll() else Told(FAILED, "stopped: out of time")
        except EOFError:
            self._process.join()
            told = Told(FAILED, f"ended with code {self._process.exitcode} and told no reason")
        if told.kind in (ENDED, FAILED):
            self.stop(GRACE_S if told.kind == ENDED else 0)
        return told

    def stop(self, grace: float = 0) -> None:
        """End the process and, if it leads, all that it has started, after `grace` seconds at the latest."""
        if self._ended:
            return
        self._ended = True
        # Not yet joined, it keeps its number even if it has ended: no other process can be meant.
        multiprocessing.connection.wait([self._process.sentinel], grace)
        assert self._process.pid is not None
        try:
            (os.killpg if self._leads else os.kill)(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it leads no group yet, as it has not run a line
            self._process.kill()
        self._process.join()
        self.connection.close()


def told_by_all(processes: Sequence[Process], until: float) -> list[list[Told]]:
    """What each of them tells to its end, or to `until`.

    They are read as they tell it: one whose words nobody reads stands still, and those that wait for it do too.
    """
    told: list[list[Told]] = [[] for _ in processes]
    left = {process.connection: index for index, process in enumerate(processes)}
    try:
        while left:
            ready = multiprocessing.connection.wait(list(left), max(0.0, until - time.monotonic()))
            for connection in ready or list(left):
                assert isinstance(connection, Connection)
                index = left[connection]
                told[index].append(processes[index].next_told())
                if told[index][-1].kind in (ENDED, FAILED):
                    del left[connection]
    finally:
        for process in processes:
            process.stop()
    return told


def _run(leads: bool, sender: Connection, function: Callable[..., None], *arguments: Any) -> None:
    if leads:
        os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with its parent, however that ends

    def tell(kind: str, value: Any) -> None:
        sender.send((kind, value))

    try:
        function(tell, *arguments)
    except Exception as error:
        where = "; ".join(line.strip() for line in traceback.format_exc().splitlines()[-5:-1])
        tell(FAILED, f"{type(error).__name__}: {error} ({where})"[:1000])
    else:
        tell(ENDED, None)
