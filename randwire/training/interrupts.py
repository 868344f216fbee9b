"""Signals that end a training: in the middle of an epoch, it is saved first."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 30.0
"""Seconds from a signal to the end of the process, if the training does not come to a step where it can be saved."""
LAST_S = 5.0
"""Seconds from a second signal to the end of a process that does not unwind: one that hangs runs no Python."""
ONE_NOTICE_S = 1.0
"""Seconds in which several signals are one notice: torchrun passes on what a terminal has sent to all of its processes
already, and a shell that ends with its terminal what the system sends, too."""
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """What has asked this process to end, while `deferred` lasts.

    `asked` is set by the first signal. A second one raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.asked = False
        self._heeded = threading.Event()
        self._first_at = 0.0

    def heed(self) -> None:
        """The training is about to save and to end; however long that takes."""
        self._heeded.set()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals ask instead of raising KeyboardInterrupt while the block lasts.

        Only those for which this process has handlers: what ends it by default, does so. In another thread than the
        main one, where signals do not arrive, it does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in NUMBERS}
        handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
        read, write = socket.socketpair()
        write.setblocking(False)
        # Python's own handlers run between two lines of Python, never while a collective waits for a lost rank.
        before = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        watch = threading.Thread(target=self._watch, args=[read, frozenset(handlers)], daemon=True)
        watch.start()
        try:
            for number in handlers:
                signal.signal(number, self._handle)
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            write.close()
            watch.join()
            read.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked, self._first_at = True, time.monotonic()
        elif time.monotonic() - self._first_at >= ONE_NOTICE_S:
            raise KeyboardInterrupt

    def _watch(self, signals: socket.socket, numbers: frozenset[int]) -> None:
        """End this process if a second signal does not, or if the first one is not heeded in time."""
        first_at: float | None = None
        waited_enough = False
        while True:
            waits = first_at is not None and not self._heeded.is_set()
            received = _receive(signals, numbers, (first_at or 0.0) + GRACE_S - time.monotonic() if waits else None)
            if received is None and self._heeded.is_set():
                continue
            if received is None:
                os.kill(os.getpid(), signal.SIGINT)  # as somebody would who has waited for long enough
                waited_enough = True
                break
            if not received:
                return
            if first_at is None:
                first_at = time.monotonic()
            if time.monotonic() - first_at >= ONE_NOTICE_S:
                break
        last_at = time.monotonic() + LAST_S
        while (received := _receive(signals, numbers, last_at - time.monotonic())) is not None or (
            waited_enough and self._heeded.is_set()
        ):
            if received is None:  # it has come to a step after all, and is being saved
                last_at = time.monotonic() + LAST_S
            elif not received:
                return
        print("error: hangs in the middle of a step; ended as it was", file=sys.stderr, flush=True)
        os._exit(130)


def _receive(signals: socket.socket, numbers: frozenset[int], timeout_s: float | None) -> bytes | None:
    """The numbers of the next signals; None if there are none in that time, nothing if there will be no more."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        signals.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
        try:
            received = signals.recv(64)
        except TimeoutError:
            return None
        if not received or (received := bytes(number for number in received if number in numbers)):
            return received
