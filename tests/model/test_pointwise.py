"""1x1 convolutions are the same as matrix products, and folding asks the device once."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from randwire import graphs
from randwire.config import NetworkConfig
from randwire.model.folding import folded
from randwire.model.network import RandWire
from randwire.model.ops import Pointwise, _pointwise
from randwire.model.regimes import random_stages

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


class _Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The names of the tensor operations that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))

    @property
    def convolutions(self) -> int:
        return sum("convolution" in name for name in self.names)


@contextmanager
def _calls(grad: bool = True) -> Iterator[_Calls]:
    with torch.set_grad_enabled(grad), _Calls() as calls:
        yield calls


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 7, 1, 1), (2, 1, 3, 3)])
def test_both_ways_have_equal_outputs_and_gradients(
    shape: tuple[int, ...], bias: bool, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = torch.Generator().manual_seed(0)
    layer = Pointwise(shape[1], 4).double()
    if bias:
        layer.bias = nn.Parameter(torch.randn(4, generator=stream, dtype=torch.float64))
    x = torch.randn(shape, generator=stream, dtype=torch.float64).to(memory_format=LAYOUTS[layout]).requires_grad_()
    wanted = [x, *layer.parameters()]
    found = []
    for as_linear in (True, False):
        monkeypatch.setattr(_pointwise, "AS_LINEAR", as_linear)
        with _calls() as calls:
            out = layer(x)
        assert bool(calls.convolutions) != (as_linear and x.is_contiguous(memory_format=torch.channels_last))
        found.append((out, *torch.autograd.grad(out.square().sum(), wanted)))
    assert [value.shape for value in found[0]] == [value.shape for value in found[1]]
    assert shape[1] == 1 or found[0][0].is_contiguous(memory_format=LAYOUTS[layout])  # one channel is both
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("c_in", "c_out", "kind", "grad", "product"),
    [
        (78, 156, torch.float32, True, True),
        (8, 8, torch.float32, True, True),
        (78, 78, torch.float32, False, False),
        (312, 1280, torch.float32, False, False),
        (78, 78, torch.bfloat16, True, False),
        (156, 156, torch.bfloat16, False, False),
        (156, 312, torch.bfloat16, False, False),
    ],
)
def test_the_rule_follows_the_measurements(c_in: int, c_out: int, kind: torch.dtype, grad: bool, product: bool) -> None:
    layer = Pointwise(c_in, c_out).to(kind)
    images = torch.randn(2, c_in, 5, 5).to(kind)
    for layout, expected in ((torch.channels_last, product), (torch.contiguous_format, False)):
        with _calls(grad) as calls:
            layer(images.to(memory_format=layout))
        assert (calls.convolutions == 0) == expected


@pytest.mark.parametrize("autocast", [False, True])
def test_the_gradient_of_a_weight_lies_as_the_weight_does(autocast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distributed training warns of other strides, and copies such gradients more slowly."""
    monkeypatch.setattr(_pointwise, "AS_LINEAR", True)
    layer = Pointwise(78, 96).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(2, 78, 4, 4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), _calls() as calls:
        out = layer(images)
    assert not calls.convolutions
    (grad,) = torch.autograd.grad(out.float().square().sum(), layer.weight)
    assert (grad.dtype, grad.stride()) == (torch.float32, layer.weight.stride())


def test_a_program_has_convolutions_whatever_is_faster_here() -> None:
    program = torch.export.export(
        nn.Sequential(nn.Conv2d(3, 8, 3), Pointwise(8, 4)).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        (torch.zeros(2, 3, 5, 5).to(memory_format=torch.channels_last),),
    )
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called == ["aten.conv2d.default"] * 2


def _network(op: str) -> RandWire:
    config = NetworkConfig.model_validate({"regime": "tiny", "channels": 6, "head": 16, "op": op})
    generator = graphs.parse("ws:k=4,p=0.75")
    dags = {name: generator.sample(n, random.Random(name)).dag for name, n in random_stages("tiny", 8).items()}
    torch.manual_seed(1)
    network = RandWire(config, dags, 5).double()
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "aggregation", "bn.bias")):
            nn.init.normal_(value)
        elif name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 2)
    return network


@pytest.mark.parametrize("op", ["sepconv", "maxpool", "avgpool"])
def test_a_network_trains_and_evaluates_equally_both_ways(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64).to(memory_format=torch.channels_last)
    found, products = [], []
    for as_linear in (True, False):
        monkeypatch.setattr(_pointwise, "AS_LINEAR", as_linear)
        network = _network(op).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        with _calls() as calls:
            loss = functional.cross_entropy(network(images), torch.arange(4))
        products.append(calls.convolutions)
        grads = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            found.append((loss, *grads, *network.buffers(), folded(network)(images)))
    assert products[1] - products[0] == sum(isinstance(layer, Pointwise) for layer in network.modules()) == 25
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


# Folding.


def test_folding_copies_once_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many nodes there are: each copy waits for all that the device has been given to do."""
    network, copies, listed = _network("sepconv"), list[Tensor](), list[Tensor]()
    cpu: Any = Tensor.cpu
    tolist: Any = Tensor.tolist

    def copy(value: Tensor) -> Tensor:
        copies.append(cpu(value))
        return copies[-1]

    def as_list(value: Tensor) -> Any:
        listed.append(value)
        return tolist(value)

    monkeypatch.setattr(Tensor, "cpu", copy)
    monkeypatch.setattr(Tensor, "tolist", as_list)
    with _calls() as calls:
        assert sum(node.ratios is not None for node in folded(network).modules() if hasattr(node, "ratios")) > 5
    assert len(copies) == 1
    assert listed
    assert len(copies[0]) == sum(len(value) for name, value in network.named_parameters() if "aggregation" in name)
    assert {"_local_scalar_dense", "nonzero", "equal"}.isdisjoint(calls.names)


@pytest.mark.parametrize("least", [-800.0, -100.0, -50.0])
def test_a_folded_network_is_the_network_where_all_weights_of_a_node_are_tiny(least: float) -> None:
    network = _network("sepconv").eval()
    for name, value in network.named_parameters():
        if name.endswith("aggregation"):
            nn.init.constant_(value, least)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(folded(network)(images), network(images), rtol=1e-10, atol=1e-10)
