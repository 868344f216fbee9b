"""Streams and events of the emulated CUDA device: who waits for whom, and what is used before it is there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


class Stream:
    """A queue of operations; `seen` holds, for every stream, how many of its operations end before its next one."""

    def __init__(self, streams: "Streams", number: int) -> None:
        self._streams, self.number, self.count = streams, number, 0
        self.seen: dict[int, int] = {}
        self.device_index, self.device_type, self.stream_id, self.cuda_stream = 0, 1, number, number

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = event or Event(self._streams)
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        for number, count in event.seen.items():
            self.seen[number] = max(self.seen.get(number, 0), count)

    def wait_stream(self, stream: "Stream") -> None:
        self.wait_event(stream.record_event())

    def synchronize(self) -> None:
        self._streams.host_waits(0)

    def query(self) -> bool:
        return True


class Event:
    """A place in a stream."""

    def __init__(self, streams: "Streams") -> None:
        self._streams, self.seen = streams, dict[int, int]()
        self._launched: int | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or self._streams.current
        self.seen = {**stream.seen, stream.number: stream.count}
        self._launched = self._streams.launches

    def wait(self, stream: Stream | None = None) -> None:
        (stream or self._streams.current).wait_event(self)

    def synchronize(self) -> None:
        """The host waits; what it has launched since the event keeps the device busy meanwhile."""
        if self._launched is not None:
            self._streams.host_waits(self._streams.launches - self._launched)

    def query(self) -> bool:
        return True


class Streams:
    """All streams of the device, and the faults of programs that use several.

    A fault is an operation on memory that another stream writes, or has written without being waited for; or memory
    that another stream uses than it was made on, and that is free before this use is known to have ended: neither its
    own stream nor one of its `record_stream` has waited for it.
    """

    def __init__(self, host_waits: Callable[[int], None]) -> None:
        """`host_waits` is told of each wait of the host the operations launched since its event was recorded."""
        self.host_waits = host_waits
        self.default = Stream(self, 0)
        self.current = self.default
        self.launches = 0
        self.faults: list[str] = []
        self._all = [self.default]
        self._written: dict[int, tuple[int, int]] = {}
        self._home: dict[int, int] = {}
        self._used: dict[tuple[int, int], int] = {}
        self._recorded: set[tuple[int, int]] = set()

    def stream(self, *_: Any, **__: Any) -> Stream:
        """A new stream."""
        self._all.append(Stream(self, len(self._all)))
        return self._all[-1]

    def event(self, *_: Any, **__: Any) -> Event:
        """A new event."""
        return Event(self)

    @contextmanager
    def using(self, stream: Stream | None) -> Iterator[None]:
        """Operations of the block go to a stream."""
        before, self.current = self.current, stream or self.current
        try:
            yield
        finally:
            self.current = before

    def synchronize(self) -> None:
        """All streams have done all that they were given."""
        counts = {stream.number: stream.count for stream in self._all}
        for stream in self._all:
            stream.seen.update(counts)

    def record(self, tensor: Tensor, stream: Stream) -> None:
        """`tensor.record_stream(stream)`."""
        self._recorded.add((_memory(tensor), stream.number))

    def launched(self, given: Sequence[Tensor], made: Sequence[Tensor], view: bool) -> None:
        """An operation of the device was launched on the current stream."""
        self.launches += 1
        self.current.count += 1
        self.current.seen[self.current.number] = self.current.count
        if len(self._all) == 1 or view:
            return
        read = {_memory(tensor) for tensor in given if on_device(tensor)}
        for memory in read:
            writer, count = self._written.get(memory, (self.current.number, 0))
            if self.current.seen.get(writer, 0) < count:
                self.faults.append(f"stream {self.current.number} uses what stream {writer} has not yet written")
            if self._home.get(memory, self.current.number) != self.current.number:
                self._used[memory, self.current.number] = self.current.count
        for tensor in made:
            if on_device(tensor):
                memory = _memory(tensor)
                if memory not in read:
                    self._freed(memory)
                    self._home[memory] = self.current.number
                self._written[memory] = self.current.number, self.current.count

    def end(self) -> None:
        """All memory is freed."""
        for memory in list(self._home):
            self._freed(memory)

    def _freed(self, memory: int) -> None:
        home = self._home.get(memory, self.default.number)
        recorded = {number for recorded, number in self._recorded if recorded == memory}
        for used, number in [used for used in self._used if used[0] == memory]:
            count = self._used.pop((used, number))
            if not any(self._all[each].seen.get(number, 0) >= count for each in {home, *recorded}):
                self.faults.append(f"memory of stream {home} is used by stream {number} unrecorded")
        self._recorded -= {(memory, number) for number in recorded}


def on_device(tensor: Tensor) -> bool:
    """Whether it is of the emulated device; `tensor.is_cuda` would itself be seen as an operation."""
    return isinstance(tensor, FakeTensor) and tensor.fake_device.type == "cuda"


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
