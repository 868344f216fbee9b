"""CUDA graphs of the emulated device: what is captured must be such that a replay does the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emulated_operations import SETUP, Operations
from emulated_streams import Stream


class Graph:
    """The operations of a capture; a replay is one launch."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.captured: dict[str, tuple[int, int]] = {}

    def replay(self) -> None:
        self._operations.replayed(self.captured)

    def reset(self) -> None:
        self.captured = {}


class Graphs:
    """In the place of `torch.cuda.CUDAGraph` and `torch.cuda.graph`."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def make(self) -> Graph:
        """A graph that holds nothing yet."""
        return Graph(self._operations)

    @contextmanager
    def capture(self, graph: Graph, pool: Any = None, stream: Stream | None = None, **_: Any) -> Iterator[None]:
        """Operations of the block are not done but captured. Raises RuntimeError for what no graph can hold."""
        operations = self._operations
        with operations.during(SETUP):
            operations.wait("synchronize, before a capture")
        before = operations.by_phase()
        with operations.streams.using(stream), operations.capturing():
            yield
        graph.captured = operations.taken_since(before)
