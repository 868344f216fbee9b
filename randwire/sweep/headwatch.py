"""Ends a sweep whose cluster has lost its head: what it waits for would never come."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from randwire.sweep.cluster import Timeouts


@contextmanager
def exit_without_head(address: str, timeouts: Timeouts) -> Iterator[None]:
    """End this process, with exit code 1, if nothing answers at `address` (host:port) for `head_s` during the block.

    The process ends as if killed: whatever would be waited for, or closed, is on the head. Records are whole at any
    time, and what was logged to W&B its own process sends.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(address, timeouts, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(address: str, timeouts: Timeouts, over: threading.Event) -> None:
    host, _, port = address.rpartition(":")
    answered = time.monotonic()
    while not over.wait(timeouts.head_poll_s):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeouts.head_poll_s).close()
            answered = time.monotonic()
        except OSError:
            if time.monotonic() - answered > timeouts.head_s:
                print(
                    f"error: the head of the cluster, {address}, has been away for {timeouts.head_s:g} s; the same "
                    "command goes on from the last checkpoints, here or with --address of another cluster",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)
