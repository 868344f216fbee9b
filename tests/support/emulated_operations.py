"""What a program makes the emulated CUDA device of emulated_cuda.py do: operations, copies, waits, streams."""

import linecache
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import torch
from emulated_rules import check, is_view, read, selecting_all, shape_of
from emulated_streams import Streams, on_device
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.weak import WeakIdKeyDictionary

aten = torch.ops.aten
STAGED_BYTES = 64 << 10
"""Copies of so many bytes from ordinary memory are staged at once; of more the host may wait for (CUDA's reference of
API synchronization behavior)."""
UNITS = {
    "native_batch_norm": 4, "_native_batch_norm_legit": 4, "_batch_norm_with_update": 4, "batch_norm_backward": 3,
    "native_batch_norm_backward": 3,
}  # fmt: skip
"""Kernels of one operation, by PyTorch's own CUDA sources; one where nothing else is said."""
FOREACH_TENSORS = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
"""Tensors of one kernel at most, by the number of lists that it takes (ATen/native/cuda/MultiTensorApply.cuh)."""
NOT_LAUNCHED = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "set_", "resize_",
                "lift_fresh", "is_pinned", "_assert_tensor_metadata")  # fmt: skip
"""Operations that give memory or none: no kernel."""


SETUP = "setup"
"""The phase of what comes before an epoch, and of captures: there the host may wait."""
COPY = "copy"
"""The phase of copies between host and device, whenever they are."""


class Wait(NamedTuple):
    """The host waits for the device: in which phase, for what, and the line of the program that made it wait."""

    phase: str
    kind: str
    where: str


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation below autograd and autocast, as the device would get it.

    What the host would read from the device is made up: ones. A mask selects everything.
    """

    def __init__(self, fake: FakeTensorMode, below: str) -> None:
        """`below`: the part of the path of a file that says that a line is the program's."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.fake = fake
        self._below = below
        self.phase = SETUP
        self.operations: Counter[tuple[str, str]] = Counter()
        self.launches: Counter[str] = Counter()
        self.waits: list[Wait] = []
        self.event_waits: list[tuple[Wait, int]] = []
        """Waits for an event, with the operations launched since it was recorded: they keep the device busy."""
        self.streams = Streams(self._wait_for_event)
        self._page_locked = WeakIdKeyDictionary()
        self.is_capturing = False

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Operations and waits of the block are those of a phase."""
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    def wrapped(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, as a phase."""

        def call(*arguments: Any, **named: Any) -> Any:
            with self.during(phase):
                return function(*arguments, **named)

        return call

    def by_phase(self) -> dict[str, tuple[int, int]]:
        """Operations and launches so far."""
        operations: Counter[str] = Counter()
        for (phase, _), count in self.operations.items():
            operations[phase] += count
        return {phase: (count, self.launches[phase]) for phase, count in operations.items()}

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Operations of the block go into a graph: RuntimeError for waits, and for what a replay would not repeat."""
        self.is_capturing = True
        try:
            yield
        finally:
            self.is_capturing = False

    def taken_since(self, before: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Operations and launches since then by phase, which are not counted any longer: they are in a graph."""
        found = difference(self.by_phase(), before)
        for phase, (count, launches) in found.items():
            self.operations[phase, "captured"] -= count
            self.launches[phase] -= launches
        return found

    def replayed(self, captured: Mapping[str, tuple[int, int]]) -> None:
        """A graph is launched; the device has all of its operations to do."""
        self.operations[self.phase, "graph"] += 1
        self.launches[self.phase] += 1
        self.streams.launches += sum(count for count, _ in captured.values())

    def wait(self, kind: str) -> None:
        """The host waits for all that the device has been given."""
        if self.is_capturing:
            raise RuntimeError(f"{kind}: operation not permitted when stream is capturing")
        self.waits.append(Wait(self.phase, kind, self._where()))

    def synchronize(self, *_: Any) -> None:
        """`torch.cuda.synchronize`."""
        self.wait("synchronize")
        self.streams.synchronize()

    def _wait_for_event(self, behind: int) -> None:
        self.event_waits.append((Wait(self.phase, "an event", self._where()), behind))

    def _where(self) -> str:
        frame: FrameType | None = sys._getframe()
        while frame is not None and self._below not in frame.f_code.co_filename:
            frame = frame.f_back
        if frame is None:
            return "?"
        path, number = frame.f_code.co_filename, frame.f_lineno
        return f"{path.rpartition(self._below)[2]}:{number} {linecache.getline(path, number).strip()}"

    def is_page_locked(self, tensor: Tensor) -> bool:
        """Of a tensor of the host: whether the device may copy it while the host goes on."""
        return tensor in self._page_locked

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func.namespace == "prim":  # a question, most often on which device a tensor is
            return args[0].fake_device if isinstance(args[0], FakeTensor) else func(*args, **named)
        name = func.overloadpacket.__name__
        args, named = self._without_content(args, named)
        given = [value for value in tree_iter((args, named)) if isinstance(value, Tensor)]
        for tensor in given:
            if getattr(tensor, "constant", None) is not None:
                tensor.constant = None  # type: ignore[attr-defined]  # or its value would be taken without a copy
        used = any(on_device(tensor) for tensor in given)
        if name == "is_pinned":
            return self.is_page_locked(args[0])
        lock = bool(named.pop("pin_memory", False)) or name == "_pin_memory"
        if name == "_pin_memory":
            func, args, named = aten.clone.default, args[:1], {}
        check(name, args, given)
        known = read(func, name, args, self._waiting(used))
        if known is not None:
            return known.value
        args = selecting_all(name, args, self._waiting(used))
        # A fused optimizer changes its tensors and gives none; not all are known to fake tensors.
        out = None if name.startswith("_fused") and name.endswith("_") else func(*args, **named)
        made = [value for value in tree_iter(out) if isinstance(value, Tensor)]
        if lock or (name == "_to_copy" and named.get("non_blocking") and used):
            self._lock(made)  # PyTorch makes page-locked memory for copies to the host that do not block
        elif is_view(func) and given and not on_device(given[0]) and self.is_page_locked(given[0]):
            self._lock(made)
        copied = self._copied(name, args, named, made)
        if used or any(on_device(tensor) for tensor in made):
            self._count(COPY if copied else self.phase, func, args, given)
            if not self.is_capturing:  # nothing is done then
                self.streams.launched(given, made, is_view(func))
        return out

    def _without_content(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fake tensors in the place of real ones: the images of a loader, or the weights of a network that was read."""
        real = [
            value for value in tree_iter((args, named)) if isinstance(value, Tensor) and type(value) is not FakeTensor
        ]
        if not real:
            return args, named

        def fake(value: Any) -> Any:
            if not isinstance(value, Tensor) or type(value) is FakeTensor:
                return value
            made = self.fake.from_tensor(value)
            with _disable_current_modes():  # they would answer for a fake tensor
                locked = value.device.type == "cpu" and value.is_pinned()
            if locked:
                self._page_locked[made] = True
            return made

        mapped: tuple[tuple[Any, ...], dict[str, Any]] = tree_map(fake, (args, named))
        return mapped

    def _waiting(self, used: bool) -> Callable[[str], None]:
        return self.wait if used else lambda kind: None

    def _lock(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            if not on_device(tensor):
                self._page_locked[tensor] = True

    def _copied(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any], made: Sequence[Tensor]) -> bool:
        """Whether it is a copy between host and device, for which the host may wait."""
        if name == "_to_copy":
            source, target, asynchronous = args[0], made[0], bool(named.get("non_blocking"))
        elif name in ("copy_", "copy"):
            source, target = args[1], args[0]
            asynchronous = bool(named.get("non_blocking", args[2] if len(args) > 2 else False))
        else:
            return False
        if on_device(source) == on_device(target):
            return False
        if self.is_capturing:
            raise RuntimeError("a copy between host and device in a graph: a replay reads memory of the host again")
        ways = ("from the host", source) if on_device(target) else ("to the host", target)
        way, host = ways[0], ways[1]
        if not source.numel():
            return True
        if not asynchronous:
            self.wait(f"a copy {way} that blocks, {shape_of(source)}")
        elif not self.is_page_locked(host) and (on_device(source) or host.numel() * host.itemsize > STAGED_BYTES):
            self.wait(f"a copy {way} of ordinary memory, {shape_of(source)}")
        return True

    def _count(self, phase: str, func: Any, args: tuple[Any, ...], given: Sequence[Tensor]) -> None:
        name = func.overloadpacket.__name__
        if is_view(func) or name in NOT_LAUNCHED or not any(tensor.numel() for tensor in given or [torch.ones(1)]):
            return
        self.operations[phase, str(func)] += 1
        kernels = UNITS.get(name, 1)
        if name == "convolution_backward":
            kernels = sum(args[-1])
        elif name.startswith(("_foreach", "_fused")):
            lists = [argument for argument in args if isinstance(argument, list | tuple) and argument]
            tensors = [each for each in lists if isinstance(each[0], Tensor)]
            kernels = math.ceil(len(tensors[0]) / FOREACH_TENSORS[min(max(len(tensors), 1), 5)])
        self.launches[phase] += kernels


def difference(
    after: Mapping[str, tuple[int, int]], before: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """What came in between, by phase."""
    pairs = {phase: (counts, before.get(phase, (0, 0))) for phase, counts in after.items()}
    changes = {phase: (now[0] - then[0], now[1] - then[1]) for phase, (now, then) in pairs.items()}
    return {phase: change for phase, change in changes.items() if change != (0, 0)}
