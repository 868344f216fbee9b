"""Networks for evaluation, in which convolutions include the BN and the aggregation weights around them."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from randwire.model.network import Classifier, RandWire, Stem
from randwire.model.node import Node
from randwire.model.ops import Pointwise
from randwire.model.stage import Stage

Network = TypeVar("Network", bound=nn.Module)
SMALLEST = torch.finfo(torch.float32).tiny
"""The least weight of an aggregation that a convolution takes up: it would lose digits by a smaller one."""


@torch.no_grad()
def folded(network: Network) -> Network:
    """A copy for evaluation that computes less; equal up to rounding.

    Convolutions include the BN that follows them; in a node, if its operation names the Conv2d that computes its
    output. That convolution includes the largest weight of the aggregation too, if the operation is positively
    homogeneous: then c op(relu(x)) = op(relu(c x)) for c > 0, and the sum has the ratios of the other weights to it.
    What cannot be folded stays as it is, as does every other network than ours: in which order it does its layers is
    not known here, and some of them use one BN after several convolutions. Hooks are copied.
    """
    network = copy.deepcopy(network).eval()
    if not isinstance(network, RandWire):
        return network
    weights = _weights(network)
    for stage in network.stages.values():
        if isinstance(stage, Stage):
            for node in stage.nodes:
                assert isinstance(node, Node)
                _fold_node(node, weights.get(node))
        elif isinstance(stage, Classifier):
            _fold_norm(stage.conv, stage, "bn")
        else:
            assert isinstance(stage, Stem)
            *_, (_, conv), (name, _) = stage.named_children()
            assert isinstance(conv, nn.Conv2d)
            _fold_norm(conv, stage, name)
    return network


def _weights(network: RandWire) -> dict[nn.Module, Tensor]:
    """The weights of each aggregating node, on the host in fp64, by one copy from the device for all of them."""
    nodes = [node for node in network.modules() if isinstance(node, Node) and node.aggregation is not None]
    parameters = [node.aggregation.double() for node in nodes if node.aggregation is not None]
    if not parameters:
        return {}
    on_host = torch.split(torch.cat(parameters).cpu(), [len(values) for values in parameters])
    return {node: torch.sigmoid(values) for node, values in zip(nodes, on_host, strict=True)}


def _fold_norm(conv: nn.Conv2d, module: nn.Module, name: str) -> None:
    """Make the BN `name` of the module, which follows the convolution, a part of it."""
    norm = module.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    module.register_module(name, nn.Identity())


def _fold_node(node: Node, weights: Tensor | None) -> None:
    conv = node.op.output_conv
    if conv is None or type(conv) not in (nn.Conv2d, Pointwise) or "weight" not in conv._parameters:
        return  # another kind may compute its weights from what is folded into them, such as normalised ones
    _fold_norm(conv, node, "bn")
    if weights is not None and node.op.positively_homogeneous:
        order = weights.argsort(descending=True).tolist()
        largest, *others = weights[order].tolist()
        if largest < SMALLEST:
            return
        conv.weight.mul_(largest)
        node.ratios = [
            (order[0], 1.0),
            *((index, weight / largest) for index, weight in zip(order[1:], others, strict=True)),
        ]
