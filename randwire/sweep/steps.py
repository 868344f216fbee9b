"""Looks at how far trainings are between two of their rows, for the bar of a sweep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util import list_named_actors

from randwire.sweep.channel import CHANNEL_NAME, Step

POLL_S = 1.0
"""Seconds between two looks."""
ANSWER_S = 5.0
"""Seconds for all channels to answer; one whose process has just ended never does."""


@contextmanager
def watched(show: Callable[[Mapping[str, Step]], None]) -> Iterator[None]:
    """While this lasts, `show` is called in a thread, about once a second, with how far each training is.

    It asks the channels: trainings send their steps there, and wait for nobody. For the process of the sweep.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=[show, over], daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(ANSWER_S)


def _watch(show: Callable[[Mapping[str, Step]], None], over: threading.Event) -> None:
    channels: dict[str, Any] = {}
    while not over.wait(POLL_S):
        try:
            names = [name for name in list_named_actors() if name.startswith(CHANNEL_NAME)]
            channels = {name: channels.get(name) or ray.get_actor(name) for name in names}
            told: list[dict[str, Step]] = ray.get(
                [channel.receive_steps.remote() for channel in channels.values()], timeout=ANSWER_S
            )
        except (RayError, GetTimeoutError, ValueError):  # one has ended between two looks
            continue
        show({digest: tuple(step) for steps in told for digest, step in steps.items()})  # type: ignore[misc]
