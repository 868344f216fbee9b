"""A random stage: the nodes of a DAG, computed one after the other (paper, section 3.1)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from randwire.dag import DAG
from randwire.model.aggregation import summing_type
from randwire.model.drop_edge import Edge, weighted_edges
from randwire.model.gathering import EdgeWeights, forked, joined
from randwire.model.node import Node, NodeSpec
from randwire.model.padding import PaddedNodes

INPUT = -1
"""The input node of a stage, where an edge is named by its nodes."""


GATHERED_LEAST = 1 << 16
"""Numbers of a stage's input from which its edges are gathered on CPUs: functions of Python take longer than fewer."""


class Stage(nn.Module):
    """A DAG of nodes between a unique input and a unique output node (paper, section 3.1).

    The input node copies its input to all sources, which carry the stage's stride and change of channels; the output
    node is the unweighted mean of all sinks. Neither has an operation. With `recompute`, the backward pass computes
    each node again from its inputs, so that between the passes little but the outputs of nodes is held. Training stores
    the channels as a multiple of `channel_multiple`, with equal numbers (see model/padding.py); forward hooks of nodes
    are for evaluation then. Raises ConfigError if the operation does not allow that.
    """

    def __init__(self, dag: DAG, spec: NodeSpec, recompute: bool = False, channel_multiple: int = 1) -> None:
        super().__init__()
        self.dag = dag
        self.recompute = recompute
        self.compiled = spec.compiled
        self.nodes = nn.ModuleList(
            Node(spec.inner, len(inputs)) if inputs else Node(spec) for inputs in dag.predecessors
        )
        self.deterministic = all(isinstance(node, Node) and node.deterministic for node in self.nodes)
        odd = any(channels % channel_multiple for channels in (spec.c_in, spec.c_out))
        self.padded = PaddedNodes(spec, list(map(len, dag.predecessors)), channel_multiple) if odd else None
        self.weighted = {edge: number for number, edge in enumerate(weighted_edges(dag))}

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, c_in, H, W) to (B, c_out, H / stride, W / stride).

        `keep` has a factor for each edge of `weighted_edges`, in training: 0 leaves it out, 1 does not.
        """
        plain = torch.compiler.is_compiling() or not (self.training and torch.is_grad_enabled())
        if self.padded is None or plain:
            return self._computed(x, keep, self.nodes)
        nodes = [node for node in self.nodes if isinstance(node, Node)]
        states = self.padded.states(nodes)
        calls = [partial(self.padded, index, state) for index, state in enumerate(states)]
        out = self.padded.cut(self._computed(self.padded.widened(x), keep, calls))
        self.padded.finish(nodes, states)
        return out

    def _computed(self, x: Tensor, keep: Tensor | None, calls: Iterable[Callable[..., Tensor]]) -> Tensor:
        """The same, by what computes each node."""
        weights = self._weights(keep) if self.training or keep is not None else None
        # The compiled aggregation and PyTorch's compiler have gradients of their own.
        shares = self.training and torch.is_grad_enabled() and not (self.compiled or torch.compiler.is_compiling())
        shares = shares and (x.device.type != "cpu" or x.numel() >= GATHERED_LEAST)
        on_edges: dict[Edge, Tensor] = {}  # outputs by the edges that they have still to go
        total: Tensor | None = None
        x = joined(None, [x]) if shares else functional.relu(x)  # once for all sources
        entering = [(INPUT, source) for source in self.dag.sources]
        copies = forked(x, [None] * len(entering)) if shares else [x] * len(entering)
        on_edges.update(zip(entering, copies, strict=True))
        del x, copies
        for index, call in enumerate(calls):
            predecessors = self.dag.predecessors[index]
            inputs = [on_edges.pop((i, index)) for i in predecessors or (INPUT,)]
            own = None
            if weights is not None and len(predecessors) > 1:
                own = weights.of_node(index, summing_type(inputs[0]) if shares else None)
            given = inputs, own, not predecessors, shares
            out = self._again(index, call, *given) if self.recompute and torch.is_grad_enabled() else call(*given)
            del given, inputs  # or they would hold their tensors while the next node is computed
            edges = [(index, successor) for successor in self.dag.successors[index]]
            if not edges:
                total = out if total is None else total + out
            elif shares:
                on_edges.update(zip(edges, self._forked(out, edges, weights), strict=True))
            else:
                on_edges.update(dict.fromkeys(edges, out))
        assert total is not None, "a DAG has at least one sink"
        return total / len(self.dag.sinks)

    def _weights(self, keep: Tensor | None) -> EdgeWeights | None:
        """Those of all nodes, by one sigmoid; a zero instead of an absent edge: every parameter keeps a gradient."""
        parameters = [node.aggregation for node in self.nodes if isinstance(node.aggregation, Tensor)]
        if not parameters:
            return None
        weights = torch.sigmoid(torch.cat(parameters))
        counts = [len(inputs) if len(inputs) > 1 else 0 for inputs in self.dag.predecessors]
        return EdgeWeights(weights if keep is None else weights * keep, counts)

    def _forked(self, out: Tensor, edges: Sequence[Edge], weights: EdgeWeights | None) -> tuple[Tensor, ...]:
        numbers = [self.weighted.get(edge) for edge in edges]
        kind = summing_type(out)
        return forked(out, [weights.of_edge(n, kind) if weights and n is not None else None for n in numbers])

    def _again(self, index: int, call: Callable[..., Tensor], *given: object) -> Tensor:
        """The output of a node, whose backward pass computes the node again, with the same random numbers."""
        contexts, random = partial(_contexts, self.nodes[index]), not self.deterministic
        out: Tensor = checkpoint(call, *given, use_reentrant=False, preserve_rng_state=random, context_fn=contexts)
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
