"""A stand-in of torch.cuda's streams and events on which nothing is done before the host waits for it.

So it is as slow as a device may be; whatever is bounded with it is bounded with every device.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from randwire.training import transfer

DEVICE = torch.device("cuda", 0)


class Stream:
    def __init__(self, device: torch.device | None = None) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self.asked = self.done = 0

    def ask(self, task: Callable[[], None]) -> None:
        self.waiting.append(task)
        self.asked += 1

    def do(self, until: int) -> None:
        while self.done < until:
            self.waiting.popleft()()
            self.done += 1

    def wait_event(self, event: Event) -> None:
        self.ask(event.pass_by)


class Event:
    def __init__(self, gpu: LazyGpu) -> None:
        self.gpu = gpu

    def record(self, stream: Stream | None = None) -> None:
        self.stream = self.gpu.current if stream is None else stream
        self.until = self.stream.asked

    def pass_by(self) -> None:
        self.stream.do(self.until)

    def synchronize(self) -> None:
        self.gpu.on_wait()
        self.pass_by()


class OnGpu:
    """A tensor of the device; `arrived` once its copy is done."""

    is_cuda, arrived = True, False

    def __init__(self, gpu: LazyGpu, name: object) -> None:
        self.name, self.streams = name, [gpu.current]
        gpu.tensors.add(self)

    def record_stream(self, stream: Stream) -> None:
        self.streams.append(stream)

    def to(self, device: torch.device) -> OnGpu:
        return self


class OnHost:
    """A tensor of the host."""

    is_cuda = False

    def __init__(self, gpu: LazyGpu, name: object, page_locked: bool = False) -> None:
        self.gpu, self.name, self.page_locked = gpu, name, page_locked
        if page_locked:
            gpu.page_locked.add(self)

    def pin_memory(self) -> OnHost:
        return self if self.page_locked else OnHost(self.gpu, self.name, page_locked=True)

    def to(self, device: torch.device, non_blocking: bool) -> OnGpu:
        assert device == DEVICE
        assert non_blocking
        assert self.page_locked, "the host would wait for the copy"
        copy, kept = OnGpu(self.gpu, self.name), self

        def arrive() -> None:
            assert kept.page_locked
            copy.arrived = True

        self.gpu.current.ask(arrive)  # which keeps both memories
        return copy


class LazyGpu:
    def __init__(self) -> None:
        self.compute = self.current = Stream()
        self.page_locked: weakref.WeakSet[OnHost] = weakref.WeakSet()
        self.tensors: weakref.WeakSet[OnGpu] = weakref.WeakSet()
        self.on_wait: Callable[[], None] = lambda: None

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def batch(self, number: int, page_locked: bool = True) -> Any:
        return OnHost(self, number, page_locked), OnHost(self, f"labels {number}")


@contextmanager
def lazy_gpu() -> Iterator[LazyGpu]:
    """The stand-in in the place of torch.cuda while the block lasts."""
    gpu = LazyGpu()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "Event", lambda blocking=False: Event(gpu))
        patch.setattr(torch.cuda, "current_stream", lambda device=None: gpu.current)
        patch.setattr(torch.cuda, "stream", gpu.on)
        transfer._copy_stream.cache_clear()
        yield gpu
        transfer._copy_stream.cache_clear()
