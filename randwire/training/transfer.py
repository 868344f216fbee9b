"""What passes between the host and the device during a training, without the one waiting for the other.

A copy runs beside the host only between the memory of the device and page-locked memory of the host.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from functools import cache

import torch
from torch import Tensor

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images (B, 3, H, W) and labels (B,)."""

AHEAD = 2
"""Batches that are sent while one is in use, and steps that the host is ahead of the device at most, less one."""


def sent(batches: Batches, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches on the device, in their order; on a CPU as they are.

    To a GPU they are copied on a stream of their own, `AHEAD` batches ahead. Who takes a batch waits until the device
    has done all that was asked of it before the last batch but one was given out. The device has the step of the last
    one to do meanwhile, so this is no pause: it bounds the page-locked memory of batches whose copy has not come to
    its turn, and the memory on the device. A batch may be kept: nothing overwrites it. `batches` may be in ordinary
    memory, in page-locked one, where the copy costs the host nothing, or on the device already.
    """
    if device.type != "cuda":
        yield from batches
        return
    copies = _copy_stream(device)
    source = iter(batches)
    under_way: deque[tuple[Tensor, Tensor, torch.cuda.Event]] = deque()
    steps: deque[torch.cuda.Event] = deque()
    given = 0
    try:
        while True:
            # The first step begins with the first batch; those ahead are taken while it lasts.
            while len(under_way) <= min(AHEAD, given) and (batch := next(source, None)) is not None:
                under_way.append(_send(batch, device, copies))
            if not under_way:
                return
            images, labels, arrived = under_way.popleft()
            stream = torch.cuda.current_stream(device)
            stream.wait_event(arrived)
            for tensor in (images, labels):
                tensor.record_stream(stream)  # its memory is used again only after what this stream does with it
            given += 1
            yield images, labels
            del images, labels, tensor
            # Who waits leaves the CPU to the threads that decode.
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(device))
            steps.append(done)
            if len(steps) == AHEAD:
                steps.popleft().synchronize()
    finally:
        if isinstance(source, Generator):
            source.close()


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device; a GPU gets it when its turn comes, and nothing waits for it."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


class Fetched:
    """The value that a tensor has now, on its way to the host."""

    def __init__(self, value: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if not value.is_cuda:
            self._value = value.clone()
            return
        self._value = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        self._value.copy_(value, non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record()

    def read(self) -> Tensor:
        """The value, on the host, which waits for what the device had to do before it was fetched, and for no more."""
        if self._event is not None:
            self._event.synchronize()
        return self._value


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all: memory that a stream has allocated is used again by that stream alone."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _send(
    batch: tuple[Tensor, Tensor], device: torch.device, copies: torch.cuda.Stream
) -> tuple[Tensor, Tensor, torch.cuda.Event]:
    """The batch on the device, once the event has passed. Page-locked memory is PyTorch's until its copy has passed."""
    with torch.cuda.stream(copies):
        images, labels = (on_device(tensor, device) if not tensor.is_cuda else tensor.to(device) for tensor in batch)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record(copies)
    return images, labels, arrived
