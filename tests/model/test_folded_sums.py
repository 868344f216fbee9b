"""Sums of folded nodes in bf16 are sums in fp32 that are rounded once."""

import copy
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from randwire.dag import DAG
from randwire.model import aggregation, node
from randwire.model.node import Node, NodeSpec
from randwire.model.stage import Stage

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
RATIOS = [(2, 1.0), (0, 0.7), (1, 0.2)]


def _images(layout: str) -> list[Tensor]:
    stream = torch.Generator().manual_seed(0)
    drawn = [torch.randn(3, 5, 7, 9, generator=stream) for _ in RATIOS]
    drawn[1][0, 0, 0] = torch.nan
    return [value.to(torch.bfloat16, memory_format=LAYOUTS[layout]) for value in drawn]


def _summed(inputs: list[Tensor]) -> Tensor:
    """What the operation of a folded node is given."""
    module = Node(NodeSpec("sepconv", 5, 5), len(inputs))
    module.ratios = RATIOS
    seen: list[Tensor] = []
    module.op.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module.to(torch.bfloat16)(inputs)
    return seen[0]


@pytest.mark.parametrize("piece", [1, 100, 315, 1 << 16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sum_is_rounded_once(layout: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "_kernels", lambda: None)
    monkeypatch.setattr(aggregation, "PIECE", piece)
    inputs = _images(layout)
    before = [value.clone() for value in inputs]
    one, two, three = (value.float() for value in inputs)
    expected = torch.relu(three.add(one, alpha=0.7).add(two, alpha=0.2)).bfloat16()
    with torch.no_grad():
        found = _summed(inputs)
    assert found.stride() == inputs[0].stride()
    assert bool(found.isnan().any())
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    for value, old in zip(inputs, before, strict=True):
        torch.testing.assert_close(value, old, rtol=0, atol=0, equal_nan=True)


def test_different_layouts_and_gradients_are_possible() -> None:
    inputs = _images("NHWC")
    inputs[0] = inputs[0].contiguous().requires_grad_()
    out = _summed(inputs)
    (grad,) = torch.autograd.grad(out.float().nansum(), inputs[0])
    assert bool((grad != 0).any())
    with torch.no_grad():
        torch.testing.assert_close(_summed(inputs), out, rtol=0.02, atol=0.02, equal_nan=True)


def test_a_folded_stage_in_bf16_is_nearer_to_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = DAG(6, tuple(combinations(range(6), 2)))
    torch.manual_seed(0)
    stage: nn.Module = Stage(dag, NodeSpec("sepconv", 8, 8)).to(torch.bfloat16)
    stage = stage.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    for index, module in enumerate(stage.get_submodule("nodes").children()):
        if isinstance(module, Node) and index > 1:
            module.ratios = [(number, 1.0 - 0.13 * number) for number in range(index)]
    images = torch.randn(4, 8, 12, 12).to(torch.bfloat16, memory_format=torch.channels_last)
    off = []
    with torch.no_grad():
        exact = copy.deepcopy(stage).double()(images.double())
        for once in (True, False):
            if not once:
                monkeypatch.setattr(aggregation, "_kernels", lambda: None)
                monkeypatch.setattr(node, "summing_type", lambda value: value.dtype)
            off.append(float((stage(images).double() - exact).norm() / exact.norm()))
    assert off[0] < off[1] < 0.05
