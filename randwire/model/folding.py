"""Networks for evaluation, in which convolutions include the BN and the aggregation weights around them."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from randwire.model.network import Classifier, RandWire, Stem
from randwire.model.node import Node
from randwire.model.stage import Stage

Network = TypeVar("Network", bound=nn.Module)


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
    for stage in network.stages.values():
        if isinstance(stage, Stage):
            for node in stage.nodes:
                assert isinstance(node, Node)
                _fold_node(node)
        elif isinstance(stage, Classifier):
            _fold_norm(stage.conv, stage, "bn")
        else:
            assert isinstance(stage, Stem)
            *_, (_, conv), (name, _) = stage.named_children()
            assert isinstance(conv, nn.Conv2d)
            _fold_norm(conv, stage, name)
    return network


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


def _fold_node(node: Node) -> None:
    conv = node.op.output_conv
    if conv is None or type(conv) is not nn.Conv2d or "weight" not in conv._parameters:
        return  # another kind may compute its weights from what is folded into them, such as normalised ones
    _fold_norm(conv, node, "bn")
    if node.aggregation is not None and node.op.positively_homogeneous:
        weights = torch.sigmoid(node.aggregation.double())
        order = weights.argsort(descending=True).tolist()
        conv.weight.mul_(weights[order[0]])
        node.ratios = [(index, float(weights[index] / weights[order[0]])) for index in order]
