"""Networks whose stages are random DAGs (paper, section 3.1 and Table 1)."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils.checkpoint import checkpoint

from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model import ops
from randwire.model.aggregation import aggregate
from randwire.model.drop_edge import DropEdge, Edge


@dataclass(frozen=True)
class StagePlan:
    """One row of Table 1: output channels as a multiple of C, the stride, and the nodes as a share of N (0: a conv)."""

    name: str
    width: Fraction
    stride: int
    share: Fraction

    def channels(self, base: int) -> int:
        return int(base * self.width)

    def nodes(self, base: int) -> int:
        return max(1, int(base * self.share))


def _plan(*rows: tuple[str, Fraction | int, int, Fraction | int]) -> tuple[StagePlan, ...]:
    return tuple(StagePlan(name, Fraction(width), stride, Fraction(share)) for name, width, stride, share in rows)


_HALF = Fraction(1, 2)

REGIMES: Mapping[str, tuple[StagePlan, ...]] = {
    # Table 1 (A). The convolutions of the stem are dense: only so do the multiply-adds of Table 2 come out (I).
    "small": _plan(
        ("conv1", _HALF, 2, 0), ("conv2", 1, 2, 0), ("conv3", 1, 2, 1), ("conv4", 2, 2, 1), ("conv5", 4, 2, 1)
    ),
    "regular": _plan(
        ("conv1", _HALF, 2, 0), ("conv2", 1, 2, _HALF), ("conv3", 2, 2, 1), ("conv4", 4, 2, 1), ("conv5", 8, 2, 1)
    ),
    # Ours, for images of 28 to 32 pixels: the small regime with a stem that keeps the resolution.
    "tiny": _plan(
        ("conv1", _HALF, 1, 0), ("conv2", 1, 1, 0), ("conv3", 1, 2, 1), ("conv4", 2, 2, 1), ("conv5", 4, 2, 1)
    ),
}


def random_stages(regime: str, nodes: int) -> dict[str, int]:
    """The number of nodes of each random stage of a regime, by the stage's name."""
    return {plan.name: plan.nodes(nodes) for plan in REGIMES[regime] if plan.share}


class Node(nn.Module):
    """Aggregation, ReLU, node operation, BN (paper, section 3.1, Figure 2).

    Aggregation is sum_i sigmoid(w_i) x_i over the inputs. A single input passes as it is, without a parameter: its
    weight would be absorbed by the BN that follows. `compiled` says how it is computed (see model/aggregation.py).
    """

    def __init__(
        self, op: str, inputs: int, c_in: int, c_out: int, stride: int, aggregation_init: float, compiled: bool = False
    ) -> None:
        super().__init__()
        self.compiled = compiled
        self.aggregation = nn.Parameter(torch.full((inputs,), aggregation_init)) if inputs > 1 else None
        self.ratios: Sequence[tuple[int, float]] | None = None  # of `folded`
        self.op = ops.build(op, c_in, c_out, stride)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, inputs: Sequence[Tensor], dropped: int | None = None, rectified: bool = False) -> Tensor:
        """Tensors of equal shape (B, c_in, H, W) to (B, c_out, H / stride, W / stride), without the input `dropped`.

        A single input that is `rectified` has passed the ReLU already.
        """
        if self.aggregation is None:
            x = inputs[0] if rectified else functional.relu(inputs[0])
        elif self.ratios is not None:
            assert dropped is None, "edges are dropped in training alone"
            (largest, _), (second, ratio), *others = self.ratios
            total = torch.add(inputs[largest], inputs[second], alpha=ratio)
            for index, ratio in others:
                total.add_(inputs[index], alpha=ratio)
            x = functional.relu(total, inplace=True)
        else:
            weights = torch.sigmoid(self.aggregation)
            if dropped is not None:
                # Zero instead of absent: every parameter keeps a gradient, as distributed training demands.
                kept = torch.ones_like(weights)
                kept[dropped] = 0
                weights = weights * kept
            x = aggregate(weights, inputs, self.compiled)
        out: Tensor = self.bn(self.op(x))
        return out


class Stage(nn.Module):
    """A DAG of nodes between a unique input and a unique output node (paper, section 3.1).

    The input node copies its input to all sources, which carry the stage's stride and change of channels; the output
    node is the unweighted mean of all sinks. Neither has an operation. With `recompute`, the backward pass computes
    each node again from its inputs, so that between the passes little but the outputs of nodes is held.
    """

    def __init__(
        self,
        dag: DAG,
        op: str,
        c_in: int,
        c_out: int,
        stride: int,
        aggregation_init: float,
        recompute: bool = False,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.dag = dag
        self.recompute = recompute
        sources = set(dag.sources)
        self.nodes = nn.ModuleList(
            Node(op, 1, c_in, c_out, stride, aggregation_init)
            if node in sources
            else Node(op, len(dag.predecessors[node]), c_out, c_out, 1, aggregation_init, compiled)
            for node in range(dag.nodes)
        )

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
            out = _recomputed(node, *given) if self.recompute and torch.is_grad_enabled() else node(*given)
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


def _recomputed(node: nn.Module, *given: object) -> Tensor:
    """The node's output, whose backward pass computes the node again. Nothing in a node is random."""
    contexts = partial(_contexts, node)
    out: Tensor = checkpoint(node, *given, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return out


def _contexts(node: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What the forward pass and its repetition run in."""
    return nullcontext(), _copied_buffers(node)


@contextmanager
def _copied_buffers(node: nn.Module) -> Iterator[None]:
    """Running statistics change in copies while the block lasts: they have seen the batch already."""
    places = [(module, name, value) for module in node.modules() for name, value in module.named_buffers(recurse=False)]
    try:
        for module, name, value in places:
            setattr(module, name, value.clone())
        yield
    finally:
        for module, name, value in places:
            setattr(module, name, value)


class Classifier(nn.Module):
    """ReLU, 1x1 convolution, BN, (ReLU,) global average pooling, dropout, fully connected layer (Table 1)."""

    def __init__(self, c_in: int, config: NetworkConfig, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, config.head, 1, bias=False)
        self.bn = nn.BatchNorm2d(config.head)
        self.relu = config.head_relu
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(config.head, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) to logits (B, classes)."""
        x = self.bn(self.conv(functional.relu(x)))
        if self.relu:
            x = functional.relu(x, inplace=True)
        out: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return out


class RandWire(nn.Module):
    """The network of a regime. `dags` maps each random stage's name to its DAG.

    `recompute` holds less memory in training and computes more, with equal numbers (see Stage); `compiled` is that of
    its nodes. Raises ValueError if the stages of `dags` are not those of the regime.
    """

    def __init__(
        self,
        config: NetworkConfig,
        dags: Mapping[str, DAG],
        classes: int,
        recompute: bool = False,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        plans = REGIMES[config.regime]
        expected = [plan.name for plan in plans if plan.share]
        if set(dags) != set(expected):
            raise ValueError(
                f"the {config.regime} regime needs graphs for {', '.join(expected)}, not {', '.join(dags)}"
            )
        self.stages = nn.ModuleDict()
        c_in = 3
        for index, plan in enumerate(plans):
            c_out = plan.channels(config.channels)
            if plan.share:
                stage: nn.Module = Stage(
                    dags[plan.name], config.op, c_in, c_out, plan.stride, config.aggregation_init, recompute, compiled
                )
            else:
                conv = nn.Conv2d(c_in, c_out, 3, plan.stride, padding=1, bias=False)
                stage = nn.Sequential(*([nn.ReLU(inplace=True)] if index else []), conv, nn.BatchNorm2d(c_out))
            self.stages[plan.name] = stage
            c_in = c_out
        self.stages["classifier"] = Classifier(c_in, config, classes)
        self.drop_edge = DropEdge(config, {name: dags[name] for name in expected})
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to logits (B, classes)."""
        dropped = self.drop_edge()
        for name, stage in self.stages.items():
            x = stage(x, dropped[name]) if name in dropped else stage(x)
        return x


def _initialise(module: nn.Module) -> None:
    """He et al. 2015 for convolutions (fan-in), N(0, 0.01) for the fully connected layer; the paper states none."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


@torch.no_grad()
def folded(network: RandWire) -> RandWire:
    """A copy for evaluation that computes less; equal up to rounding.

    Convolutions include the BN that follows them: each BN is preceded by a convolution, or by an operation that ends
    with one. The largest weight of an aggregation is part of them too, as c op(relu(x)) = op(relu(c x)) for c > 0 and
    all operations; the sum has the ratios of the other weights to it. Hooks are copied.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        for (_, before), (name, norm) in pairwise(list(module.named_children())):
            if isinstance(norm, nn.BatchNorm2d):
                conv = [layer for layer in before.modules() if isinstance(layer, nn.Conv2d)][-1]
                assert norm.running_mean is not None
                assert norm.running_var is not None
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                module.register_module(name, nn.Identity())
                if isinstance(module, Node) and module.aggregation is not None:
                    weights = torch.sigmoid(module.aggregation.double())
                    order = weights.argsort(descending=True).tolist()
                    conv.weight.mul_(weights[order[0]])
                    module.ratios = [(index, float(weights[index] / weights[order[0]])) for index in order]
    return network
