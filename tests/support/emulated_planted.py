"""Programs that make the host wait or use streams wrongly, and others that do not: what the emulation must tell."""

from collections.abc import Callable, Mapping

import torch
from emulated_cuda import DEVICE
from torch import Tensor


def device(*shape: int) -> Tensor:
    return torch.zeros(shape, device=DEVICE)


def locked(count: int = 1 << 16) -> Tensor:
    return torch.zeros(count).pin_memory()


def set_number() -> None:
    device(3)[1] = 0


def set_by_mask() -> None:
    values = device(3)
    values[values > 0] = device(3)


def event_of_this_step() -> None:
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    event.synchronize()


def into_ordinary_memory() -> None:
    torch.zeros(4).copy_(device(4), non_blocking=True)


WAITS: Mapping[str, Callable[[], object]] = {
    "item": lambda: device(1).item(),
    "float": lambda: float(device(1)),
    "bool": lambda: bool(device(1)),
    "if": lambda: 1 if device(1) > 0 else 2,
    "tolist": lambda: device(3).tolist(),
    "cpu": lambda: device(3).cpu(),
    "copy to the host": lambda: device(3).to("cpu"),
    "copy to ordinary memory": into_ordinary_memory,
    "copy to the device that blocks": lambda: locked().to(DEVICE),
    "copy of much ordinary memory": lambda: torch.zeros(1 << 16).to(DEVICE, non_blocking=True),
    "copy of a part of it": lambda: torch.zeros(2, 1 << 16)[1].to(DEVICE, non_blocking=True),
    "number set": set_number,
    "tensor of numbers": lambda: torch.tensor([1.0, 2.0], device=DEVICE),
    "new_tensor": lambda: device(1).new_tensor([1.0]),
    "nonzero": lambda: device(3).nonzero(),
    "where": lambda: torch.where(device(3) > 0),
    "index by a mask": lambda: device(3)[device(3) > 0],
    "values set by a mask": set_by_mask,
    "indices of the host": lambda: device(3)[torch.tensor([0, 2])],
    "masked_select": lambda: device(3).masked_select(device(3) > 0),
    "unique": lambda: torch.unique(device(3)),
    "equal": lambda: torch.equal(device(3), device(3)),
    "inverse": lambda: torch.linalg.inv(device(2, 2)),
    "solve": lambda: torch.linalg.solve(device(2, 2), device(2)),
    "bincount": lambda: device(3).long().bincount(),
    "repeat_interleave": lambda: device(3).repeat_interleave(device(3).long()),
    "synchronize": lambda: torch.cuda.synchronize(),
    "synchronize of a stream": lambda: torch.cuda.current_stream().synchronize(),
    "event of this step": event_of_this_step,
}


def number_kept() -> None:
    torch.empty(4).pin_memory().copy_(device(4), non_blocking=True)


def filled() -> None:
    values = device(3)
    values[1].fill_(0)
    values[values > 0] = 1.0
    values[1:2].zero_()
    values *= 2
    values[torch.tensor([0, 1])[0] :] += 1


NO_WAITS: Mapping[str, Callable[[], object]] = {
    "copy of page-locked memory": lambda: locked().to(DEVICE, non_blocking=True),
    "copy of a part of it": lambda: locked().view(2, -1)[1].to(DEVICE, non_blocking=True),
    "copy of little memory": lambda: torch.zeros(64).to(DEVICE, non_blocking=True),
    "copy to page-locked memory": number_kept,
    "copy to the host that does not block": lambda: device(3).to("cpu", non_blocking=True),
    "numbers of the host": lambda: (torch.zeros(3).sum().item(), torch.linalg.inv(torch.eye(2)), torch.ones(3)[0] > 0),
    "numbers filled in": filled,
    "checks left out": lambda: torch.linalg.inv_ex(device(2, 2)),
    "shapes": lambda: len(device(3)) + device(2, 2).numel(),
}


def _copied(wait: bool, record: bool) -> None:
    """A copy on a stream of its own, used on the stream that computes, and freed."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        pixels = locked().to(DEVICE, non_blocking=True)
        event = stream.record_event()
    if wait:
        torch.cuda.current_stream().wait_event(event)
    if record:
        pixels.record_stream(torch.cuda.current_stream())
    pixels.add(1)


FAULTS: Mapping[str, Callable[[], object]] = {
    "used before it is copied": lambda: _copied(wait=False, record=True),
    "freed while it is used": lambda: _copied(wait=True, record=False),
}
NO_FAULTS: Mapping[str, Callable[[], object]] = {
    "copied, waited for, recorded": lambda: _copied(wait=True, record=True)
}


def _captured(function: Callable[[], object]) -> None:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        function()


NOT_CAPTURED: Mapping[str, Callable[[], object]] = {
    "number read": lambda: _captured(lambda: device(1).item()),
    "copy from the host": lambda: _captured(lambda: locked().to(DEVICE, non_blocking=True)),
    "copy to the host": lambda: _captured(lambda: device(3).to("cpu", non_blocking=True)),
}
MISMATCHES: Mapping[str, Callable[[], object]] = {
    "sum": lambda: device(3) + torch.zeros(3),
    "product": lambda: device(3, 3) @ torch.zeros(3, 3),
    "convolution": lambda: torch.nn.functional.conv2d(device(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)),
    "convolution of several types": lambda: torch.nn.functional.conv2d(device(1, 1, 3, 3), device(1, 1, 3, 3).half()),
    "normalisation": lambda: torch.nn.functional.batch_norm(device(2, 3), torch.zeros(3), torch.ones(3)),
}
