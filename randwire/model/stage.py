"""A random stage: the nodes of a DAG, computed one after the other (paper, section 3.1)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from randwire.dag import DAG
from randwire.model.drop_edge import Edge
from randwire.model.node import Node, NodeSpec


class Stage(nn.Module):
    """A DAG of nodes between a unique input and a unique output node (paper, section 3.1).

    The input node copies its input to all sources, which carry the stage's stride and change of channels; the output
    node is the unweighted mean of all sinks. Neither has an operation. With `recompute`, the backward pass computes
    each node again from its inputs, so that between the passes little but the outputs of nodes is held.
    """

    def __init__(self, dag: DAG, spec: NodeSpec, recompute: bool = False) -> None:
        super().__init__()
        self.dag = dag
        self.recompute = recompute
        self.nodes = nn.ModuleList(
            Node(spec.inner, len(inputs)) if inputs else Node(spec) for inputs in dag.predecessors
        )
        self.deterministic = all(isinstance(node, Node) and node.deterministic for node in self.nodes)

    def forward(self, x: Tensor, dropped: Edge | None = None) -> Tensor:
        """(B, c_in, H, W) to (B, c_out, H / stride, W / stride), without the edge `dropped`."""
        uses = [len(successors) for successors in self.dag.successors]
        alive: dict[int, Tensor] = {}
        total: Tensor | None = None
        x = functional.relu(x)  # once for all sources
        for index, node in enumerate(self.nodes):
            predecessors = self.dag.predecessors[index]
            without = predecessors.index(dropped[0]) if dropped and dropped[1] == index else None
            given = [alive[i] for i in predecessors] or [x], without, not predecessors
            out = self._recomputed(node, *given) if self.recompute and torch.is_grad_enabled() else node(*given)
            del given  # or it would hold its tensors while the next node is computed
            for i in predecessors:
                uses[i] -= 1
                if not uses[i]:
                    del alive[i]  # after its last use a tensor is held by autograd alone
            if uses[index]:
                alive[index] = out
            else:
                total = out if total is None else total + out
        assert total is not None, "a DAG has at least one sink"
        return total / len(self.dag.sinks)

    def _recomputed(self, node: nn.Module, *given: object) -> Tensor:
        """The node's output, whose backward pass computes the node again, with the same random numbers."""
        contexts, random = partial(_contexts, node), not self.deterministic
        out: Tensor = checkpoint(node, *given, use_reentrant=False, preserve_rng_state=random, context_fn=contexts)
        return out


def _contexts(node: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What the forward pass and its repetition run in."""
    return nullcontext(), _copied_buffers(node)


@contextmanager
def _copied_buffers(node: nn.Module) -> Iterator[None]:
    """Running statistics change in copies while the block lasts: they have seen the batch already."""
    buffers = [
        (module, name, value) for module in node.modules() for name, value in module.named_buffers(recurse=False)
    ]
    try:
        for module, name, value in buffers:
            setattr(module, name, value.clone())
        yield
    finally:
        for module, name, value in buffers:
            setattr(module, name, value)
