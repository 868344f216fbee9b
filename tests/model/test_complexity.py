"""Sizes: exact values, the running network, and the printed tables of the paper."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import sqrt
from statistics import fmean, pstdev
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from randwire import graphs, registry
from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model.complexity import Complexity, channels_for, complexity, mult_adds
from randwire.model.counting import measure
from randwire.model.network import RandWire
from randwire.model.regimes import random_stages

IMAGENET = 1000


def _config(regime: str, channels: int, **options: object) -> NetworkConfig:
    return NetworkConfig.model_validate({"regime": regime, "channels": channels, **options})


def _shared(spec: str, regime: str, seed: int) -> dict[str, DAG]:
    """One graph for each size of stage, as the paper's Figure 1 shows."""
    sizes = random_stages(regime, 32)
    generator = graphs.parse(spec)
    drawn = {nodes: generator.sample(nodes, random.Random(f"{seed}/{nodes}")).dag for nodes in set(sizes.values())}
    return {name: drawn[nodes] for name, nodes in sizes.items()}


def _of(spec: str, regime: str, channels: int, seed: int = 0, resolution: int = 224) -> Complexity:
    return complexity(_config(regime, channels), _shared(spec, regime, seed), IMAGENET, resolution)


# A closed form of our own, from Table 1, with the wrong readings as switches.


@dataclass(frozen=True)
class Reading:
    separable_stem: bool = False
    conv_biases: bool = False
    input_conv: bool = False
    output_conv: bool = False
    change_at_sinks: bool = False


FAITHFUL = Reading()


def _separable(c_in: int, c_out: int) -> int:
    return 9 * c_in + c_in * c_out


def _table_1(regime: str, base: int, dags: dict[str, DAG], reading: Reading = FAITHFUL) -> tuple[int, int]:
    """Parameters and multiply-adds at 224 pixels and 1000 classes."""
    widths = {
        "small": [base // 2, base, base, 2 * base, 4 * base],
        "regular": [base // 2, base, 2 * base, 4 * base, 8 * base],
    }[regime]
    params = adds = 0
    c_in, side = 3, 224
    for number, c_out in enumerate(widths, start=1):
        small, large = side // 2, side
        if f"conv{number}" not in dags:
            if reading.separable_stem:
                params += _separable(c_in, c_out)
                adds += _separable(c_in, c_out) * small**2
            else:
                params += 9 * c_in * c_out
                adds += 9 * c_in * c_out * small**2
            params += 2 * c_out + reading.conv_biases * c_out
        else:
            dag = dags[f"conv{number}"]
            inputs = [sum(j == node for _, j in dag.edges) for node in range(dag.nodes)]
            outputs = [sum(i == node for i, _ in dag.edges) for node in range(dag.nodes)]
            params += sum(count for count in inputs if count > 1)
            # The nodes that take C_in, those that give C_out, and the side of their outputs.
            for node in range(dag.nodes):
                is_source, is_sink = not inputs[node], not outputs[node]
                if reading.change_at_sinks:
                    first, last = c_in, c_out if is_sink else c_in
                elif reading.input_conv:
                    first, last = c_out, c_out
                else:
                    first, last = c_in if is_source else c_out, c_out
                params += _separable(first, last) + 2 * last + reading.conv_biases * (first + last)
                adds += _separable(first, last) * small**2
            if reading.input_conv:
                params += _separable(c_in, c_out) + 2 * c_out
                adds += _separable(c_in, c_out) * small**2
            if reading.output_conv:
                params += _separable(c_out, c_out) + 2 * c_out
                adds += _separable(c_out, c_out) * small**2
        assert small * 2 == large
        c_in, side = c_out, small
    params += c_in * 1280 + 2 * 1280 + reading.conv_biases * 1280 + 1280 * IMAGENET + IMAGENET
    adds += c_in * 1280 * side**2 + 1280 * IMAGENET
    return params, adds


# Exact values.


def test_ws_4_0_at_78_channels() -> None:
    counted = _of("ws:k=4,p=0", "small", 78)
    assert (counted.params, counted.mult_adds) == (5_929_468, 603_665_420)


def test_ba_5_at_78_channels() -> None:
    for seed in range(3):
        counted = _of("ba:m=5", "small", 78, seed)
        assert (counted.params, counted.mult_adds) == (5_677_900, 583_760_444)


def test_separable_stem_would_give_other_numbers() -> None:
    dags = _shared("ws:k=4,p=0", "small", 0)
    assert _table_1("small", 78, dags) == (5_929_468, 603_665_420)
    assert _table_1("small", 78, dags, Reading(separable_stem=True)) == (5_904_574, 517_045_964)


def _one_node(c_in: int, c_out: int) -> tuple[int, int]:
    """Parameters of the operation, and of the BN, of a node between stages of c_in and c_out channels."""
    from randwire.model.node import Node, NodeSpec

    with torch.device("meta"):
        node = Node(NodeSpec("sepconv", c_in, c_out))
    assert node.aggregation is None
    return sum(p.numel() for p in node.op.parameters()), sum(p.numel() for p in node.bn.parameters())


def test_parameters_of_one_node() -> None:
    assert _one_node(78, 78) == (6_786, 156)
    assert _one_node(156, 156) == (25_740, 312)
    assert _one_node(312, 312) == (100_152, 624)
    assert _one_node(78, 156) == (12_870, 312)
    assert _one_node(156, 312) == (50_076, 624)


@pytest.mark.parametrize(
    ("regime", "channels", "head"),
    [("small", 78, 1_682_920), ("regular", 109, 2_399_720), ("regular", 154, 2_860_520)],
)
def test_parameters_of_the_head(regime: str, channels: int, head: int) -> None:
    counted = _of("ws:k=4,p=0", regime, channels).stages[-1]
    assert (counted.name, counted.params, counted.output) == ("classifier", head, (1000, 1, 1))


def test_parameters_of_the_stem() -> None:
    conv1, conv2 = _of("ws:k=4,p=0", "small", 78).stages[:2]
    assert (conv1.name, conv1.params, conv1.output) == ("conv1", 1_131, (39, 112, 112))
    assert (conv2.name, conv2.params, conv2.output) == ("conv2", 27_534, (78, 56, 56))


@pytest.mark.parametrize(
    ("spec", "weights"),
    [("ws:k=4,p=0", 63), ("ba:m=1", 0), *((f"ba:m={m}", m * (32 - m)) for m in (2, 3, 5, 7))],
)
def test_aggregation_parameters_of_a_stage(spec: str, weights: int) -> None:
    dag = graphs.parse(spec).sample(32, random.Random(0)).dag
    sources = len(dag.sources)
    stage = complexity(_config("small", 78), dict.fromkeys(("conv3", "conv4", "conv5"), dag), IMAGENET, 224).stages[3]
    assert stage.params == sources * (12_870 + 312) + (32 - sources) * (25_740 + 312) + weights


def test_counts_add_up() -> None:
    counted = _of("ws:k=4,p=0.75", "regular", 109)
    assert [stage.name for stage in counted.stages] == ["conv1", "conv2", "conv3", "conv4", "conv5", "classifier"]
    assert counted.params == sum(stage.params for stage in counted.stages)
    assert counted.mult_adds == sum(stage.mult_adds for stage in counted.stages)
    values: dict[str, Any] = counted.to_dict()
    assert counted.activations == sum(stage.activations for stage in counted.stages)
    totals = (counted.params, counted.mult_adds, counted.activations)
    assert (values["params"], values["mult_adds"], values["activations"]) == totals
    assert values["stages"][2] == {
        "name": "conv3",
        "params": counted.stages[2].params,
        "mult_adds": counted.stages[2].mult_adds,
        "activations": counted.stages[2].activations,
        "output": (218, 28, 28),
    }


# The running network.


@st.composite
def dags(draw: st.DrawFn) -> DAG:
    nodes = draw(st.integers(1, 12))
    stream = draw(st.randoms(use_true_random=False))
    density = draw(st.sampled_from([0.05, 0.3, 0.9]))
    return DAG(nodes, tuple(edge for edge in combinations(range(nodes), 2) if stream.random() < density))


@pytest.mark.parametrize("op", registry.names("randwire.model.ops"))
@pytest.mark.parametrize("regime", ["small", "regular", "tiny"])
@settings(max_examples=4, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(
    drawn=st.lists(dags(), min_size=4, max_size=4),
    channels=st.integers(2, 9),
    head_relu=st.booleans(),
    dropout=st.sampled_from((0.0, 0.2)),
    resolution=st.integers(28, 40),
)
def test_activations_are_what_pytorch_keeps_for_the_backward_pass(
    regime: str, op: str, drawn: list[DAG], channels: int, head_relu: bool, dropout: float, resolution: int
) -> None:
    config = _config(regime, channels, head=5, op=op, head_relu=head_relu, dropout=dropout)
    stages = dict(zip(random_stages(regime, 32), drawn, strict=False))
    network = RandWire(config, stages, 3).train()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        # Of two images; the statistics of a BN have one dimension, the positions of maxima are integers.
        if address not in own and tensor.dim() > 1 and tensor.is_floating_point():
            saved[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network(torch.randn(2, 3, resolution, resolution))
    assert out.requires_grad
    counted = complexity(config, stages, 3, resolution)
    assert sum(tensor.numel() for tensor in saved.values()) == 2 * counted.activations


@pytest.mark.parametrize("op", registry.names("randwire.model.ops"))
@pytest.mark.parametrize("regime", ["small", "regular", "tiny"])
@settings(max_examples=4, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(
    drawn=st.lists(dags(), min_size=4, max_size=4),
    channels=st.integers(2, 31),
    head=st.integers(1, 40),
    classes=st.integers(1, 20),
    resolution=st.integers(28, 75),
)
def test_the_closed_form_is_the_network(
    regime: str, op: str, drawn: list[DAG], channels: int, head: int, classes: int, resolution: int
) -> None:
    config = _config(regime, channels, head=head, op=op)
    stages = dict(zip(random_stages(regime, 32), drawn, strict=False))
    with torch.device("meta"):
        network = RandWire(config, stages, classes)
    counted = complexity(config, stages, classes, resolution)
    assert (counted.params, counted.mult_adds) == measure(network, (3, resolution, resolution))
    assert counted.params == sum(parameter.numel() for parameter in network.parameters())
    outputs: list[tuple[int, ...]] = []
    for module, stage in zip(network.stages.values(), counted.stages, strict=True):
        assert stage.params == sum(parameter.numel() for parameter in module.parameters())
        module.register_forward_hook(lambda _, __, out: outputs.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network.eval()(torch.empty(1, 3, resolution, resolution, device="meta"))
    assert [stage.output for stage in counted.stages[:-1]] == outputs[:-1]
    assert outputs[-1] == (classes,)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1, bias=False), (3, 5, 7), (216, 216 * 35)),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (3, 5, 7), (224, 216 * 12)),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), (6, 4, 4), (54, 54 * 16)),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (3, 2, 2), (65, 60)),
        (nn.BatchNorm2d(3), (3, 4, 4), (6, 0)),
    ],
)
def test_measure_counts_convolutions_and_linear_layers(
    layer: nn.Module, shape: tuple[int, int, int], expected: tuple[int, int]
) -> None:
    assert measure(layer.to("meta"), shape) == expected


class _Attention(nn.Module):
    """Matrix products between layers that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = nn.Conv2d(3, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keys = self.keys(x).flatten(2)
        out: torch.Tensor = keys @ keys.mT @ keys
        return out


class _Twice(nn.Conv2d):
    """Costs more than its kind does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = super().forward(super().forward(x))
        return out


class _Weighted(nn.Module):
    """Products of a vector, and with each number of a window: PyTorch counts neither."""

    def __init__(self, windows: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.weights = nn.Parameter(torch.ones(4))
        self.windows = windows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if self.windows:
            x = nn.functional.unfold(x, 2)
            return (x.view(1, 4, 4, -1) * self.weights[:, None]).sum(2)
        return x.flatten(2)[0].T.mv(self.weights)


class _Unknown(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Sequential(nn.ReLU(), _Unknown()), r"1 \(_Unknown\): the multiply-adds of a _Unknown are not known"),
        (nn.Sequential(nn.ConvTranspose2d(3, 3, 2)), r"0 \(ConvTranspose2d\): .* are not known"),
        (_Unknown(), "_Unknown: the multiply-adds"),
        (nn.Sequential(nn.ReLU(), _Attention()), r"1 \(_Attention\): has multiply-adds outside of Conv2d and Linear"),
        (nn.Sequential(_Twice(3, 3, 1)), r"0 \(_Twice\): has multiply-adds outside"),
        (nn.Sequential(nn.ReLU(), _Weighted(False)), r"1 \(_Weighted\): has multiply-adds outside"),
        (nn.Sequential(nn.ReLU(), _Weighted(True)), r"1 \(_Weighted\): has multiply-adds outside"),
    ],
    ids=["leaf", "layer", "root", "products", "subclass", "vector", "windows"],
)
def test_what_would_be_counted_too_low_is_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        measure(layer.to("meta"), (3, 4, 5))
    assert "\n" not in str(caught.value)
    assert not any(module._forward_hooks for module in layer.modules())


class _EachPixel(nn.Linear):
    """Pixels in the place of images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(2)[0].T)


def test_a_layer_may_see_an_image_as_many() -> None:
    assert measure(_EachPixel(3, 4).to("meta"), (3, 4, 5)) == (16, 4 * 5 * 3 * 4)


def test_measure_leaves_no_hooks() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 4, 1)).to("meta")
    assert measure(layer, (3, 2, 2)) == measure(layer, (3, 2, 2)) == (16, 48)
    assert not any(module._forward_hooks for module in layer.modules())


# Operations at equal cost.


@pytest.mark.parametrize("op", registry.names("randwire.model.ops"))
def test_channels_that_match_a_budget(op: str) -> None:
    dags = _shared("ws:k=4,p=0.75", "small", 0)
    config = _config("small", 78, op=op)
    budget = complexity(_config("small", 78), dags, IMAGENET, 224).mult_adds
    channels = channels_for(budget, config, dags, IMAGENET, 224)

    def off(channels: int) -> int:
        return abs(mult_adds(_config("small", channels, op=op), dags, IMAGENET, 224) - budget)

    # Multiply-adds grow with the channels, so that no number beyond its neighbours can be nearer.
    assert off(channels) == min(map(off, (*range(10, 200, 30), channels - 1, channels, channels + 1)))
    assert (channels == 78) == (op == "sepconv")
    assert off(channels) / budget < 0.03


def test_any_number_of_channels_is_found_again() -> None:
    dags = _shared("er:p=0.4", "regular", 3)
    for channels in (2, 3, 8, 109, 154, 1000, 4096):
        config = _config("regular", channels)
        budget = complexity(config, dags, 10, 64).mult_adds
        assert channels_for(budget, _config("regular", 7), dags, 10, 64) == channels


@pytest.mark.parametrize("budget", [1, 1e15, -5.0, float("nan")])
def test_a_budget_out_of_reach_is_a_line(budget: float) -> None:
    with pytest.raises(ValueError, match="no number of channels from 2 to 4096 gives") as caught:
        channels_for(budget, _config("small", 78), _shared("ws:k=4,p=0.75", "small", 0), IMAGENET, 224)
    assert "\n" not in str(caught.value)


# The paper. Its standard deviations come from five networks: the printed mean is within 3 std / sqrt(5) of the truth.

SEEDS = range(200)
PRINTED = {  # Tables 2 and 3: params in millions, multiply-adds in millions
    ("small", 78): ((5.6, 0.1), (583, 6.2)),
    ("regular", 109): ((31.9, 0.66), (4.0e3, 90)),
    ("regular", 154): ((61.5, 1.32), (7.9e3, 180)),
}


@cache
def _sampled(regime: str) -> tuple[dict[str, DAG], ...]:
    return tuple(_shared("ws:k=4,p=0.75", regime, seed) for seed in SEEDS)


def _fits(values: Iterable[float], printed: tuple[float, float]) -> bool:
    mean, std = printed
    return abs(fmean(values) - mean) < 3 * std / sqrt(5)


def _millions(pairs: Iterable[tuple[int, int]]) -> tuple[Sequence[float], Sequence[float]]:
    params, adds = zip(*pairs, strict=True)
    return [value / 1e6 for value in params], [value / 1e6 for value in adds]


@pytest.mark.parametrize(("regime", "channels"), PRINTED)
def test_means_are_those_of_the_tables(regime: str, channels: int) -> None:
    config = _config(regime, channels)
    counts = [complexity(config, stages, IMAGENET, 224) for stages in _sampled(regime)]
    params, adds = _millions((counted.params, counted.mult_adds) for counted in counts)
    printed_params, printed_adds = PRINTED[regime, channels]
    assert _fits(params, printed_params)
    assert _fits(adds, printed_adds)
    # A standard deviation of five values is uncertain by a factor of about two.
    assert 0.5 < pstdev(params) / printed_params[1] < 2
    assert 0.5 < pstdev(adds) / printed_adds[1] < 2
    for counted, stages in zip(counts[:20], _sampled(regime), strict=False):
        assert (counted.params, counted.mult_adds) == _table_1(regime, channels, stages)


def test_the_large_regime_is_c_154_at_320_pixels() -> None:
    config = _config("regular", 154)
    adds = [complexity(config, stages, IMAGENET, 320).mult_adds / 1e6 for stages in _sampled("regular")]
    assert _fits(adds, (16.0e3, 360))


@pytest.mark.parametrize(
    ("reading", "params", "adds"),
    [
        (Reading(separable_stem=True), 5.60, 493),
        (Reading(input_conv=True), 6.06, 619),
        (Reading(input_conv=True, separable_stem=True), 6.04, 532),
        (Reading(input_conv=True, output_conv=True, separable_stem=True), 6.17, 548),
        (Reading(change_at_sinks=True), 3.15, 385),
        (Reading(change_at_sinks=True, separable_stem=True), 3.12, 298),
    ],
    ids=str,
)
def test_wrong_readings_do_not_fit_the_tables(reading: Reading, params: float, adds: float) -> None:
    found_params, found_adds = _millions(_table_1("small", 78, stages, reading) for stages in _sampled("small"))
    printed_params, printed_adds = PRINTED["small", 78]
    if not reading.separable_stem or reading.change_at_sinks or reading.input_conv:
        assert not _fits(found_params, printed_params)
    assert not _fits(found_adds, printed_adds)
    # They are the readings meant: these are the numbers that they give. A separable stem has 86.6 M less.
    assert fmean(found_params) == pytest.approx(params, abs=0.03)
    assert fmean(found_adds) == pytest.approx(adds, abs=3)


def test_convolution_biases_would_show_in_the_exact_parameters() -> None:
    params, adds = _millions(_table_1("small", 78, stages, Reading(conv_biases=True)) for stages in _sampled("small"))
    assert fmean(params) == pytest.approx(5.66, abs=0.02)
    assert fmean(adds) == pytest.approx(579, abs=3)
    dags = _shared("ws:k=4,p=0", "small", 0)
    assert _table_1("small", 78, dags, Reading(conv_biases=True))[0] > 5_929_468
