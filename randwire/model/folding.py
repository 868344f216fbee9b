"""Networks for evaluation, in which convolutions include the BN and the aggregation weights around them."""

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from randwire.model.network import RandWire
from randwire.model.node import Node


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
