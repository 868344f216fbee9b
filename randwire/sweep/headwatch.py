"""Ends a sweep whose cluster has lost its head: what it waits for would never come."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

AWAY = 30.0
"""Seconds for which the head may be away. Ray would end the process after 60, with lines of its own."""
LOOK = 2.0
"""Seconds between two looks, and for an answer."""


@contextmanager
def watching(address: str) -> Iterator[None]:
    """End this process, with exit code 1, if nothing answers at `address` (host:port) for AWAY during the block.

    The process ends as if killed: whatever would be waited for, or closed, is on the head. Records are whole at any
    time, and what W&B was told its own process sends.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(address, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(address: str, over: threading.Event) -> None:
    host, _, port = address.rpartition(":")
    seen = time.monotonic()
    while not over.wait(LOOK):
        try:
            socket.create_connection((host.strip("[]"), int(port)), LOOK).close()
            seen = time.monotonic()
        except OSError:
            if time.monotonic() - seen > AWAY:
                print(
                    f"error: the head of the cluster, {address}, has been away for {AWAY:g} s; the same command goes "
                    "on from the last checkpoints, here or with --address of another cluster",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)
