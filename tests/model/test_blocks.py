"""Sums in blocks are sums in fp32 that are rounded once."""

import copy
from itertools import combinations

import pytest
import torch
from torch import Tensor

from randwire.dag import DAG
from randwire.model import blocks, node
from randwire.model.node import NodeSpec
from randwire.model.stage import Stage

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


def _images(count: int, kind: torch.dtype, layout: torch.memory_format = torch.channels_last) -> list[Tensor]:
    stream = torch.Generator().manual_seed(0)
    return [torch.randn(3, 5, 7, 9, generator=stream).to(kind, memory_format=layout) for _ in range(count)]


@pytest.mark.parametrize("block", [1, 100, 315, 1 << 16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_sum_is_rounded_once(kind: torch.dtype, layout: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    inputs = _images(3, kind, LAYOUTS[layout])
    inputs[1][0, 0, 0] = torch.nan
    assert blocks.in_blocks(inputs)
    before = [value.clone() for value in inputs]
    found = blocks.rectified_sum(inputs, [1.0, 0.7, 0.2])
    one, two, three = (value.float() for value in inputs)
    expected = torch.relu(one.add(two, alpha=0.7).add(three, alpha=0.2)).to(kind)
    assert found.stride() == inputs[0].stride()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert bool(found.isnan().any())
    for value, old in zip(inputs, before, strict=True):
        torch.testing.assert_close(value, old, rtol=0, atol=0, equal_nan=True)


def test_it_is_for_dense_images_of_one_layout_without_gradients() -> None:
    one, two = _images(2, torch.bfloat16)
    assert blocks.in_blocks([one, two])
    assert not blocks.in_blocks([one, two.contiguous()])
    assert not blocks.in_blocks([one[:, :3], two[:, :3]])
    assert not blocks.in_blocks([one, two.float()])
    assert not blocks.in_blocks([one.float(), two.float()])
    assert not blocks.in_blocks([one.to("meta"), two.to("meta")])
    two.requires_grad_()
    assert not blocks.in_blocks([one, two])
    with torch.no_grad():
        assert blocks.in_blocks([one, two])


def test_a_folded_stage_in_bf16_is_nearer_to_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = DAG(6, tuple(combinations(range(6), 2)))
    torch.manual_seed(0)
    stage = Stage(dag, NodeSpec("sepconv", 8, 8)).bfloat16().to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    for index, module in enumerate(stage.nodes):
        if index > 1:
            module.ratios = [(number, 1.0 - 0.13 * number) for number in range(index)]
    images = torch.randn(4, 8, 12, 12).to(torch.bfloat16, memory_format=torch.channels_last)
    off = []
    with torch.no_grad():
        exact = copy.deepcopy(stage).double()(images.double())
        for used in (True, False):
            if not used:
                monkeypatch.setattr(node, "in_blocks", lambda inputs: False)
            off.append(float((stage(images).double() - exact).norm() / exact.norm()))
    assert off[0] < off[1] < 0.05
