"""Functions captured in CUDA graphs: replayed, all kernels of a call cost the host one launch.

A function to be captured takes tensors of fixed shapes, waits for nothing on the device, does the same each time, and
leaves what it computes in tensors. Nothing here is for a CPU.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from randwire.errors import ConfigError, one_line

WARM_UP_CALLS = 3
"""Before a capture, in which kernels are chosen and what lasts is made: libraries, workspaces, an optimizer's state."""


def kind_of(tensor: Tensor) -> tuple[object, ...]:
    """What is fixed of an input of a graph."""
    return tensor.shape, tensor.dtype, tensor.stride()


class Graphs:
    """The graphs of one training, or of one evaluation, with one pool of memory.

    They share the memory, so no result may be used after the replay of another one of them.
    """

    def __init__(self) -> None:
        self._stream = _stream()
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: list[torch.cuda.CUDAGraph] = []

    def warm_up(self, function: Callable[[], object]) -> None:
        """Call a function some times as it will be captured: on the stream of the captures."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UP_CALLS):
                function()
        torch.cuda.current_stream().wait_stream(self._stream)

    def capture(self, function: Callable[..., Any], *examples: Tensor) -> Callable[..., Any]:
        """`function` as a graph, for inputs that are as the examples are in shape, type and layout.

        It has been warmed up. What it returns is the same tensor each time, filled anew. Raises ConfigError if the
        function does what cannot be captured.
        """
        inputs = [torch.empty_like(example).copy_(example) for example in examples]
        graph = torch.cuda.CUDAGraph()
        seen: BaseException | None = None
        try:
            # Only this thread's calls matter: others wait for copies of images, or watch over the exchange.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                try:
                    output = function(*inputs)
                except BaseException as error:
                    seen = error  # for which the end of the capture fails too, and says less
                    raise
        except Exception as error:
            seen = seen or error
            if isinstance(seen, torch.OutOfMemoryError) or not isinstance(seen, RuntimeError):
                raise seen from None
            raise ConfigError(
                f"runtime.step: is captured, but this network cannot be captured: {one_line(seen)}; use eager"
            ) from error
        self._graphs.append(graph)

        def replay(*values: Tensor) -> Any:
            for static, value in zip(inputs, values, strict=True):
                static.copy_(value)
            graph.replay()
            return output

        return replay

    def of_first_shape(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """`function`, replayed for what is as its first input, and called for anything else, as a smaller last batch.

        Its first call waits, and captures.
        """
        replays: dict[tuple[object, ...], Callable[[Tensor], Tensor]] = {}

        def call(value: Tensor) -> Tensor:
            if not replays:
                self.warm_up(lambda: function(value))
                replays[kind_of(value)] = self.capture(function, value)
            return replays.get(kind_of(value), function)(value)

        return call

    def close(self) -> None:
        """Free the graphs and their memory, once the device has done what was asked of it."""
        torch.cuda.synchronize()
        for graph in self._graphs:
            graph.reset()
        self._graphs.clear()
        torch.cuda.empty_cache()


@cache
def _stream() -> torch.cuda.Stream:
    """That of all captures of a process: libraries keep a workspace for each stream that they have been called on."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]
