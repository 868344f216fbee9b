"""torch.cuda as far as the benchmark of a GPU calls it by itself, on a machine without one: it computes on the CPU.

A graph is what was captured: it is replayed by doing nothing.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

PROPERTIES = SimpleNamespace(name="pretended", major=9, minor=0, total_memory=2**37, multi_processor_count=132)


class Event:
    def __init__(self, enable_timing: bool = False) -> None:
        self.timing = enable_timing

    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        assert self.time

    def elapsed_time(self, end: "Event") -> float:
        assert self.timing
        assert end.timing
        return 1000 * (end.time - self.time)


class Stream:
    def wait_stream(self, other: "Stream") -> None:
        assert isinstance(other, Stream)


class Graph:
    captured = False

    def replay(self) -> None:
        assert self.captured

    def reset(self) -> None:
        self.captured = False


@contextmanager
def _capture(
    graph: Graph, pool: object = None, stream: Stream | None = None, capture_error_mode: str = "global"
) -> Iterator[None]:
    yield
    graph.captured = True


@contextmanager
def _on(stream: Stream) -> Iterator[None]:
    yield


@contextmanager
def pretended_cuda() -> Iterator[list[str]]:
    """The stand-in while the block lasts. Gives the modes of warning of waits that are set."""
    modes: list[str] = []
    functions: dict[str, Any] = {
        "Event": Event, "Stream": Stream, "CUDAGraph": Graph, "graph": _capture, "stream": _on,
        "current_stream": lambda device=None: Stream(), "graph_pool_handle": object, "synchronize": lambda: None,
        "empty_cache": lambda: None, "reset_peak_memory_stats": lambda: None, "max_memory_allocated": lambda: 2**30,
        "get_device_properties": lambda device: PROPERTIES, "device_count": lambda: 1,
        "set_sync_debug_mode": modes.append, "mem_get_info": lambda: (2**36, 2**37),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, function in functions.items():
            patch.setattr(torch.cuda, name, function)
        patch.setattr(torch.cuda.nccl, "version", lambda: (2, 28, 9))
        yield modes
