"""Gathered gradients are those of autograd, and take fewer passes over the memory."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from randwire import graphs, registry
from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model import aggregation
from randwire.model import stage as stage_module
from randwire.model.gathering import forked, joined
from randwire.model.network import RandWire
from randwire.model.node import Node, NodeSpec
from randwire.model.regimes import random_stages
from randwire.model.stage import Stage

CLASSES = 4
KITE = DAG(6, ((0, 1), (0, 2), (0, 3), (1, 3), (1, 4), (2, 4), (3, 5)))
"""Node 0 has consumers of one input and of two; node 2 has one input and one consumer; 4 and 5 are sinks."""


@pytest.fixture(autouse=True)
def _gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few the numbers are."""
    monkeypatch.setattr(stage_module, "GATHERED_LEAST", 0)


def _network(dags: Mapping[str, DAG] | DAG, recompute: bool = False, **options: object) -> RandWire:
    config = NetworkConfig.model_validate({"regime": "tiny", "channels": 4, "head": 8, **options})
    if isinstance(dags, DAG):
        dags = dict.fromkeys(random_stages("tiny", 1), dags)
    torch.manual_seed(1)
    network = RandWire(config, dags, CLASSES, recompute).double()
    for name, value in network.state_dict().items():
        if name.endswith("aggregation"):
            nn.init.normal_(value)
    return network


def _autograds() -> Any:
    """While this lasts, gradients are those that autograd makes of the sums."""
    return mock.patch.object(torch.compiler, "is_compiling", return_value=True)


def _gradients(network: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
    """Output and gradients of a training step; None, of a frozen parameter, is left out."""
    network.zero_grad()
    torch.manual_seed(2)
    if isinstance(network, RandWire):
        network.drop_edge.seed(0, 1, 0)
    images = images.clone().requires_grad_()
    out = network.train()(images)
    (loss or (lambda out: functional.cross_entropy(out, torch.arange(len(out)) % CLASSES)))(out).backward()  # type: ignore[no-untyped-call]
    grads = [parameter.grad for parameter in (images, *network.parameters())]
    return [out.detach(), *(grad.clone() for grad in grads if grad is not None)]


def _images(channels: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(6, channels, 16, 16, generator=torch.Generator().manual_seed(2), dtype=dtype)


def _assert_equal(network: nn.Module, images: Tensor) -> None:
    found = _gradients(network, images)
    with _autograds():
        expected = _gradients(network, images)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(ours / scale, theirs / scale, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", registry.names("randwire.graphs"))
def test_gradients_are_those_of_autograd_for_every_generator(name: str, recompute: bool) -> None:
    generator = registry.load("randwire.graphs", name, graphs.Generator).settings()[0]  # type: ignore[type-abstract]
    dags = {stage: generator.sample(9, random.Random(stage)).dag for stage in random_stages("tiny", 1)}
    _assert_equal(_network(dags, recompute, drop_edge=0.7, dropout=0.2), _images())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("op", registry.names("randwire.model.ops"))
def test_gradients_are_those_of_autograd_for_every_operation(op: str, layout: torch.memory_format) -> None:
    network = _network(KITE, op=op).to(memory_format=layout)  # type: ignore[call-overload]
    _assert_equal(network, _images().to(memory_format=layout))


@pytest.mark.parametrize("dag", [DAG(1, ()), DAG(3, ()), DAG(4, ((0, 1), (1, 2), (2, 3))), KITE], ids=str)
def test_gradients_of_nodes_of_one_input_and_of_several_sinks(dag: DAG) -> None:
    _assert_equal(_network(dag), _images())
    _assert_equal(_network(dag, recompute=True), _images())


def test_in_bf16_gradients_differ_by_rounding() -> None:
    stage = Stage(KITE, NodeSpec("sepconv", 4, 4)).bfloat16()
    loss = lambda out: out.float().square().mean()  # noqa: E731
    found = _gradients(stage, _images(4, torch.bfloat16), loss)
    with _autograds():
        expected = _gradients(stage, _images(4, torch.bfloat16), loss)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype == torch.bfloat16
        assert float((ours - theirs).float().norm()) <= 0.03 * float(theirs.float().norm()) + 1e-3


@pytest.mark.parametrize("frozen", ["aggregation", "nodes.0.", "nodes.3.", "bn"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_its_own(frozen: str) -> None:
    network = _network(KITE)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(frozen not in name)
    _assert_equal(network, _images())
    assert all((parameter.grad is None) == (frozen in name) for name, parameter in network.named_parameters())


def test_hooks_that_put_zeros_in_the_place_of_an_input_or_an_output() -> None:
    for node in (0, 3, 5):
        network = _network(KITE)
        stage = network.stages["conv4"]
        assert isinstance(stage, Stage)

        def without_second(module: nn.Module, given: Any) -> Any:
            first, *others = given[0]
            return ([first, *map(torch.zeros_like, others)], *given[1:])

        stage.nodes[3].register_forward_pre_hook(without_second)
        stage.nodes[node].register_forward_hook(lambda _, __, out: torch.zeros_like(out))
        _assert_equal(network, _images())


def test_a_node_by_itself_and_evaluation_have_gradients_of_autograd() -> None:
    node, stage = Node(NodeSpec("conv", 2, 2), 2).double(), Stage(KITE, NodeSpec("conv", 2, 2)).double().eval()
    inputs = [torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *given: node(given), inputs)
    assert torch.autograd.gradgradcheck(stage, inputs[:1])  # second derivatives too


def test_a_second_derivative_in_training_is_refused_not_wrong() -> None:
    stage, x = Stage(KITE, NodeSpec("conv", 2, 2)).double(), torch.randn(3, 2, 4, 4, dtype=torch.float64)
    (grad,) = torch.autograd.grad(stage(x.requires_grad_()).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.square().sum().backward()  # type: ignore[no-untyped-call]


class _Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """How often each operation reads or writes a tensor of `size` elements."""

    def __init__(self, size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size, self.counts = size, Counter[str]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if any(isinstance(value, Tensor) and value.numel() == self.size for value in args):
            self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_a_backward_pass_reads_an_edge_twice() -> None:
    """One product for the gradient of its weight, and one multiply-add of the gradient that all inputs share."""
    stage, x = Stage(KITE, NodeSpec("sepconv", 4, 4)), torch.randn(2, 4, 8, 8)
    out = stage(x)
    with _Kernels(x.numel()) as kernels:
        out.backward(torch.ones_like(out))
    weighted = 4
    assert kernels.counts["dot"] == weighted
    assert kernels.counts["mul"] + kernels.counts["addcmul_"] == weighted
    assert kernels.counts["threshold_backward"] == KITE.nodes - len(KITE.sources)  # the input needs no gradient


def test_what_nodes_share_is_never_changed_in_place() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, dtype=torch.float64, requires_grad=True)
    (one,) = forked(x, [None])
    first, second = forked(one * 1, [weights[0].detach(), None])
    (third,) = forked(x * 2, [weights[1].detach()])
    given = torch.ones_like(x)
    out = joined(weights, [first, third])
    (out + second).backward(given)  # type: ignore[no-untyped-call]
    assert torch.equal(given, torch.ones_like(x))
    passed = (out > 0).double()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, passed * (weights[0] + 2 * weights[1]).detach() + 1)


LAYOUTS = {"NCHW": [torch.contiguous_format] * 3, "NHWC": [torch.channels_last] * 3,
           "mixed": [torch.channels_last, torch.contiguous_format, torch.channels_last]}  # fmt: skip


@pytest.mark.parametrize("layouts", LAYOUTS.values(), ids=LAYOUTS)
def test_sums_in_bf16_are_rounded_once_in_pieces_of_any_size(
    layouts: list[torch.memory_format], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = torch.Generator().manual_seed(0)
    values = [
        torch.randn(2, 3, 5, 7, generator=stream).bfloat16().to(memory_format=layout) for layout in layouts
    ]  # fmt: skip
    weights = [*torch.rand(2, generator=stream).unbind(), None]
    sums = [value.float() * (1 if weight is None else weight) for value, weight in zip(values, weights, strict=True)]
    monkeypatch.setattr(aggregation, "_kernels", lambda: None)
    for size in (1, 32, 210, 1 << 16):
        monkeypatch.setattr(aggregation, "PIECE", size)
        for rectified in (False, True):
            found = aggregation.weighted_sum(weights, values, rectified)
            exact = sums[0] + sums[1] + sums[2]
            expected = (exact.relu() if rectified else exact).bfloat16()
            assert found.dtype == torch.bfloat16
            assert found.stride() == values[0].stride()
            # A multiply-add may round the product or not, which is far below a bit of bf16 but can turn one.
            assert int((found != expected).sum()) <= 1
            torch.testing.assert_close(found, expected, rtol=2**-7, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("layouts", LAYOUTS.values(), ids=LAYOUTS)
def test_gradients_of_weights_in_bf16_are_summed_in_fp32(
    layouts: list[torch.memory_format], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(aggregation, "_kernels", lambda: None)
    stream = torch.Generator().manual_seed(0)
    inputs = [
        torch.rand(4, 3, 40, 40, generator=stream).bfloat16().to(memory_format=layout).requires_grad_()
        for layout in layouts
    ]
    weights = torch.rand(3, generator=stream).requires_grad_()
    given = torch.rand(4, 3, 40, 40, generator=stream).bfloat16().to(memory_format=layouts[0])
    (found,) = torch.autograd.grad(joined(weights, inputs), weights, given)
    expected = torch.stack([(given.double() * value.detach().double()).sum() for value in inputs])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
