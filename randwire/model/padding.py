"""Training with channels stored as a multiple of a number, with the numbers of the network as it is.

Kernels move rows of 80 channels in bf16 by 16 bytes at a time and those of 78 by 4. The channels that are added hold
zeros: their parameters are zeros, so that each layer gives zeros for them, and no gradient leaves them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from randwire.errors import ConfigError
from randwire.model import ops
from randwire.model.node import Node, NodeSpec


class PaddedNodes:
    """Computes the nodes of a stage with padded channels, in training; holds neither parameters nor statistics.

    A node is computed by a twin of more channels that stands on the meta device, with the node's parameters and
    statistics padded by zeros in the place of its own: gradients reach the parameters, and new running statistics are
    written back by `finish`.
    """

    def __init__(self, spec: NodeSpec, inputs: Sequence[int], multiple: int) -> None:
        """For a stage of these sources and numbers of inputs by node, with channels rounded up to `multiple`.

        Raises ConfigError for an operation that does not allow it.
        """
        if not ops.kind(spec.op).paddable:
            raise ConfigError(
                f"runtime.channel_multiple: {multiple}: adds channels of zeros, which network.op {spec.op} does not "
                "state to keep apart (paddable, in its class); leave it out, or choose another operation"
            )
        self.channels = -(-spec.c_in // multiple) * multiple, -(-spec.c_out // multiple) * multiple
        self.c_out = spec.c_out
        wide = replace(spec, c_in=self.channels[0], c_out=self.channels[1])
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            source, of_one, of_several = Node(wide), Node(wide.inner), Node(wide.inner, 2)
        for twin in (source, of_one, of_several):
            twin.bn.num_batches_tracked = None  # the node has the counter
        self._twins = [source if not count else of_one if count == 1 else of_several for count in inputs]

    def widened(self, x: Tensor) -> Tensor:
        """The input of the stage (B, c_in, H, W), with its added channels."""
        return functional.pad(x, (0, 0, 0, 0, 0, self.channels[0] - x.shape[1]))

    def cut(self, x: Tensor) -> Tensor:
        """The output of the stage, without them."""
        return x[:, : self.c_out]

    def states(self, nodes: Sequence[Node]) -> list[dict[str, Tensor]]:
        """The parameters and running statistics of each node, padded: equal ones of all nodes at once."""
        groups: dict[tuple[Any, ...], list[tuple[int, Tensor]]] = {}
        states: list[dict[str, Tensor]] = [{} for _ in nodes]
        for index, (node, twin) in enumerate(zip(nodes, self._twins, strict=True)):
            wide = _tensors(twin)
            for name, value in _tensors(node).items():
                if name == "aggregation":
                    states[index][name] = value
                else:
                    groups.setdefault((name, value.shape, wide[name].shape), []).append((index, value))
        for (name, _, shape), members in groups.items():
            padded = _padded([value for _, value in members], shape)
            for (index, _), value in zip(members, padded, strict=True):
                states[index][name] = value
        return states

    def __call__(self, index: int, state: Mapping[str, Tensor], *given: object) -> Tensor:
        """The output of a node, with its added channels."""
        out: Tensor = torch.func.functional_call(self._twins[index], dict(state), given)
        return out

    @torch.no_grad()
    def finish(self, nodes: Sequence[Node], states: Sequence[Mapping[str, Tensor]]) -> None:
        """Give the nodes the running statistics of a pass, of which there was one."""
        new, old, counters = [], [], []
        for node, state in zip(nodes, states, strict=True):
            for name in ("running_mean", "running_var"):
                old.append(node.bn.get_buffer(name))
                new.append(state[f"bn.{name}"][: len(old[-1])])
            counters.append(node.bn.get_buffer("num_batches_tracked"))
        torch._foreach_copy_(old, new)
        torch._foreach_add_(counters, 1)


def _tensors(node: nn.Module) -> dict[str, Tensor]:
    """All that a node computes with; not the counter of batches, which decides nothing."""
    return {
        name: value
        for name, value in (*node.named_parameters(), *node.named_buffers())
        if not name.endswith("num_batches_tracked")
    }


def _padded(values: Sequence[Tensor], shape: torch.Size) -> tuple[Tensor, ...]:
    """Tensors of equal shape, padded with zeros to `shape`, by three kernels for all of them; memory stays in NHWC."""
    nhwc = values[0].ndim == 4 and values[0].is_contiguous(memory_format=torch.channels_last)
    if nhwc:
        values = [value.permute(0, 2, 3, 1) for value in values]
        shape = torch.Size([shape[0], *shape[2:], shape[1]])
    stacked = torch.stack(list(values))
    sides = [side for have, want in zip(stacked.shape[:0:-1], shape[::-1], strict=True) for side in (0, want - have)]
    padded = functional.pad(stacked, sides).unbind()
    return tuple(value.permute(0, 3, 1, 2) for value in padded) if nhwc else padded
