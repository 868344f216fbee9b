"""What stands in the place of CUDA graphs on a CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from randwire.training import graphs


class Calls(graphs.Graphs):
    """In the place of graphs: functions are called when they would be replayed, and not when they are captured."""

    def __init__(self) -> None:
        self.replays = 0
        self.closed = False

    def warm_up(self, function: Callable[[], object]) -> None:
        for _ in range(graphs.WARM_UP_CALLS):
            function()

    def capture(self, function: Callable[..., Any], *examples: Tensor) -> Callable[..., Any]:
        inputs = [torch.empty_like(example) for example in examples]
        result: list[Tensor] = []

        def replay(*values: Tensor) -> Any:
            self.replays += 1
            for static, value in zip(inputs, values, strict=True):
                static.copy_(value)
            output = function(*inputs)
            if output is None:
                return None
            result[:] = result or [torch.empty_like(output)]  # the same tensor each time
            return result[0].copy_(output)

        return replay

    def close(self) -> None:
        self.closed = True
