"""Node operations: every one has the properties that it states, and one that states none is computed exactly."""

import random
from pathlib import Path

import new_files
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from randwire import graphs, registry, wiring
from randwire.config import NetworkConfig, load
from randwire.errors import ConfigError
from randwire.model import ops
from randwire.model.complexity import complexity
from randwire.model.folding import folded
from randwire.model.network import RandWire
from randwire.model.regimes import random_stages
from randwire.model.stage import Stage

CLASSES = 5
HEAD = "import torch\nfrom torch import Tensor, nn\nfrom randwire.model.ops import NodeOp\n"
NEW = {
    # Random, and with a BN of its own. It states nothing.
    "noisy": HEAD
    + """
class Noisy(NodeOp):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.bn(self.conv(x)))
""",
    # Squeeze and excite: its last convolution does not compute its output, and it is not homogeneous.
    "gated": HEAD
    + """
class Gated(NodeOp):
    deterministic = True

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c_out, c_out, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.gate(x)
""",
    # Ends with a convolution that has a bias, so it is not homogeneous.
    "biased": HEAD
    + """
class Biased(NodeOp):
    deterministic = True

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1)

    @property
    def output_conv(self) -> nn.Conv2d:
        return self.conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)
""",
    # Ends with a convolution that computes its weights: BN cannot be folded into those that it has.
    "standard": HEAD
    + """
class Standard(NodeOp):
    positively_homogeneous = deterministic = True

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.mixed = nn.Linear(c_in, c_in, bias=False)
        self.conv = Standardised(c_in, c_out, 3, stride, padding=1, bias=False)

    @property
    def output_conv(self) -> nn.Conv2d:
        return self.conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.mixed(x.movedim(1, -1)).movedim(-1, 1))


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias)
""",
    # Homogeneous, but it does not end with a convolution.
    "pooled": HEAD
    + """
class Pooled(NodeOp):
    positively_homogeneous = deterministic = True

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.conv = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.pool = nn.MaxPool2d(3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(x))
""",
}


@pytest.fixture
def _new_ops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    new_files.add(monkeypatch, tmp_path, ops.__name__, NEW)


def _config(op: str) -> NetworkConfig:
    return NetworkConfig.model_validate({"regime": "tiny", "channels": 6, "head": 16, "op": op})


def _network(op: str, recompute: bool = False) -> RandWire:
    """The same weights for the same operation; statistics and aggregation have other values than at first."""
    generator = graphs.parse("ws:k=4,p=0.75")
    dags = {name: generator.sample(n, random.Random(name)).dag for name, n in random_stages("tiny", 8).items()}
    torch.manual_seed(1)
    network = RandWire(_config(op), dags, CLASSES, recompute).double()
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "aggregation", "bias")):
            nn.init.normal_(value)
        elif name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 2)
    return network


def _images() -> Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


# The contract of an operation.


def _assert_contract(name: str) -> None:
    for c_in, c_out, stride in ((4, 4, 1), (3, 6, 2)):
        torch.manual_seed(0)
        op = ops.build(name, c_in, c_out, stride).double()
        x = torch.randn(2, c_in, 9, 8, dtype=torch.float64)
        height, width = -(-9 // stride), -(-8 // stride)
        assert op(x).shape == (2, c_out, height, width)

        def again(seed: int, op: nn.Module = op, x: Tensor = x) -> Tensor:
            torch.manual_seed(seed)
            out: Tensor = op(x)
            return out

        op.train()
        assert torch.equal(again(0), again(0))  # no other source of chance, no memory of earlier passes
        if op.deterministic:
            state = torch.get_rng_state()
            assert torch.equal(op(x), op(x))
            assert torch.equal(torch.get_rng_state(), state)
        op.eval()
        if op.positively_homogeneous:
            for factor in (1e-3, 0.3, 7.0, 1e3):
                torch.testing.assert_close(op(factor * x), factor * op(x), rtol=1e-10, atol=0)
        if op.paddable:
            assert not list(op.buffers())
            wide = ops.build(name, c_in + 2, c_out + 3, stride).double().eval()
            narrow = dict(op.named_parameters())
            with torch.no_grad():
                for key, value in wide.named_parameters():
                    value.zero_()[tuple(map(slice, narrow[key].shape))] = narrow[key]
            padded = wide(functional.pad(x, (0, 0, 0, 0, 0, 2)))
            torch.testing.assert_close(padded, functional.pad(op(x), (0, 0, 0, 0, 0, 3)), rtol=1e-12, atol=1e-12)
        if op.output_conv is not None:
            seen: list[Tensor] = []
            op.output_conv.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
            out = op(x)
            assert len(seen) == 1
            assert torch.equal(seen[0], out)
            assert seen[0].shape == out.shape


@pytest.mark.parametrize("name", registry.names(ops.__name__))
def test_an_operation_has_the_properties_that_it_states(name: str) -> None:
    _assert_contract(name)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.usefixtures("_new_ops")
def test_new_operations_keep_the_contract(name: str) -> None:
    _assert_contract(name)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("noisy", "deterministic = True"),
        ("noisy", "paddable = True"),
        ("standard", "paddable = True"),
        ("gated", "positively_homogeneous = True"),
        ("biased", "positively_homogeneous = True"),
        ("gated", "output_conv = property(lambda self: self.gate[1])"),
        ("pooled", "output_conv = property(lambda self: self.conv)"),
    ],
)
def test_a_false_statement_is_seen(name: str, statement: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    false = NEW[name].replace("    def __init__", f"    {statement}\n\n    def __init__", 1)
    new_files.add(monkeypatch, tmp_path, ops.__name__, {name: false})
    with pytest.raises(AssertionError):
        _assert_contract(name)


def test_an_operation_states_nothing_by_default() -> None:
    class Plain(ops.NodeOp):
        def forward(self, x: Tensor) -> Tensor:
            return x

    assert not Plain.positively_homogeneous
    assert not Plain.deterministic
    assert not Plain.paddable
    assert Plain(1, 1, 1).output_conv is None


# Size.


# What `standard` computes its weights with is held once, and not for each image.
@pytest.mark.parametrize("name", [name for name in NEW if name != "standard"])
@pytest.mark.usefixtures("_new_ops")
def test_new_operations_are_counted(name: str) -> None:
    """Activations are what PyTorch keeps for the backward pass of a network of real numbers."""
    network = _network(name).float().train()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    held: dict[int, Tensor] = {}

    def note(value: Tensor) -> Tensor:
        address = value.untyped_storage().data_ptr()
        if address not in own and value.dim() > 1 and value.is_floating_point():
            held[address] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        out = network(_images().float())
    assert out.requires_grad
    dags = {stage: module.dag for stage, module in network.stages.items() if isinstance(module, Stage)}
    counted = complexity(_config(name), dags, CLASSES, 16)
    assert len(_images()) * counted.activations == sum(value.numel() for value in held.values())
    assert counted.params == sum(parameter.numel() for parameter in network.parameters())


def test_an_operation_that_cannot_be_counted_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    products = NEW["pooled"].replace("self.conv(x)", "torch.einsum('bchw,cd->bdhw', self.conv(x), self.products)")
    products = products.replace(
        "self.pool =", "self.products = nn.Parameter(torch.ones(c_out, c_out))\n        self.pool ="
    )
    new_files.add(monkeypatch, tmp_path, ops.__name__, {"products": products})
    config = load("digits", {"network.op": "products"})
    with pytest.raises(ConfigError, match=r"network\.op: node.op \(Pooled\): has multiply-adds outside") as caught:
        wiring.count(config, wiring.sample_graphs(config))
    assert "\n" not in str(caught.value)


# Computing again.


def _gradients(network: RandWire) -> dict[str, Tensor]:
    torch.manual_seed(3)
    loss = functional.cross_entropy(network.train()(_images()), torch.arange(6) % CLASSES)
    loss.backward()  # type: ignore[no-untyped-call]
    grads = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    return {**grads, **dict(network.named_buffers()), "next number": torch.rand(1)}


@pytest.mark.parametrize("name", NEW)
@pytest.mark.usefixtures("_new_ops")
def test_gradients_are_exact_when_nodes_are_computed_again(name: str) -> None:
    expected, recomputed = _gradients(_network(name)), _gradients(_network(name, recompute=True))
    assert recomputed.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(recomputed[key], value), key


# Evaluation.


def _norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("name", "norms", "ratios"),
    [
        # Each of the 3 x 8 nodes keeps its BN, and that of its operation.
        ("noisy", 48, False),
        ("gated", 24, False),
        ("pooled", 24, False),
        ("biased", 0, False),
        ("standard", 24, False),
        ("sepconv", 0, True),
    ],
)
@pytest.mark.usefixtures("_new_ops")
def test_a_folded_network_is_exact_whatever_can_be_folded(name: str, norms: int, ratios: bool) -> None:
    network = _network(name).eval()
    copy = folded(network)
    with torch.no_grad():
        torch.testing.assert_close(copy(_images()), network(_images()), rtol=1e-10, atol=1e-10)
    assert _norms(copy) == norms
    assert any(getattr(module, "ratios", None) for module in copy.modules()) == ratios
