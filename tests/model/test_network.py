"""The network against a plain second implementation, written from the paper's definition.

The reference below shares no code with randwire: it evaluates nodes by recursion from the output node, on the network's
own parameters by name.
"""

import random
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from randwire import graphs, registry
from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model.network import RandWire
from randwire.model.node import Node, NodeSpec
from randwire.model.regimes import random_stages
from randwire.model.stage import Stage

CLASSES = 5
PHASES = (Phase.explicit, Phase.generate)  # to shrink a failing network takes minutes
# That too many draws are passed over is checked.
UNCHECKED = [check for check in HealthCheck if check is not HealthCheck.filter_too_much]
CHAIN = DAG(6, tuple(pairwise(range(6))))
FORTY = DAG(40, tuple((i, j) for i, j in combinations(range(40), 2) if (i * 7 + j * 11) % 9 == 0))

# Table 1, and our variant of the small regime for images of 28 to 32 pixels: name, channels / C, stride, random?
TABLE_1 = {
    "small": [
        ("conv1", 0.5, 2, False),
        ("conv2", 1, 2, False),
        ("conv3", 1, 2, True),
        ("conv4", 2, 2, True),
        ("conv5", 4, 2, True),
    ],
    "regular": [
        ("conv1", 0.5, 2, False),
        ("conv2", 1, 2, True),
        ("conv3", 2, 2, True),
        ("conv4", 4, 2, True),
        ("conv5", 8, 2, True),
    ],
    "tiny": [
        ("conv1", 0.5, 1, False),
        ("conv2", 1, 1, False),
        ("conv3", 1, 2, True),
        ("conv4", 2, 2, True),
        ("conv5", 4, 2, True),
    ],
}
REGIMES = sorted(TABLE_1)


@st.composite
def dags(draw: st.DrawFn, max_nodes: int = 40) -> DAG:
    """Any DAG, a disconnected one too: its definition needs no connection."""
    nodes = draw(st.integers(1, max_nodes))
    stream = draw(st.randoms(use_true_random=False))
    density = draw(st.sampled_from([0.03, 0.1, 0.3, 0.9]))
    return DAG(nodes, tuple(edge for edge in combinations(range(nodes), 2) if stream.random() < density))


def _random_stages(regime: str) -> list[str]:
    return [name for name, _, _, is_random in TABLE_1[regime] if is_random]


def _network(regime: str, dag: DAG | Mapping[str, DAG], **options: object) -> RandWire:
    config = NetworkConfig.model_validate({"regime": regime, "channels": 4, "head": 6, **options})
    dags = dict.fromkeys(_random_stages(regime), dag) if isinstance(dag, DAG) else dag
    return RandWire(config, dags, CLASSES)


def _shake(network: nn.Module, seed: int = 0) -> None:
    """Give every parameter and statistic a value of its own: initial ones (0, 1) hide errors."""
    stream = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=stream, dtype=value.dtype)
            if name.endswith("running_var") or name.endswith("bn.weight"):
                value.copy_(1 + 0.3 * noise.tanh())
            elif name.endswith("aggregation"):
                value.copy_(noise)
            else:
                value.add_(0.2 * noise)


# The reference.


def _windows(x: Tensor, stride: int, outside: float) -> Tensor:
    """The 3x3 windows of (B, C, H, W) as (B, C, H', W', 9), with `outside` beyond the border."""
    padded = functional.pad(x, (1, 1, 1, 1), value=outside)
    return padded.unfold(2, 3, stride).unfold(3, 3, stride).flatten(4)


class _Reference:
    def __init__(
        self,
        regime: str,
        dags: Mapping[str, DAG],
        state: Mapping[str, Tensor],
        training: bool,
        op: str = "sepconv",
        dropped: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.regime, self.dags, self.state, self.training = regime, dags, state, training
        self.op = op
        self.dropped = {f"stages.{stage}": edge for stage, edge in (dropped or {}).items()}

    def bn(self, name: str, x: Tensor) -> Tensor:
        if self.training:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        else:
            mean = self.state[f"{name}.running_mean"].view(1, -1, 1, 1)
            variance = self.state[f"{name}.running_var"].view(1, -1, 1, 1)
        scale, shift = (self.state[f"{name}.{key}"].view(1, -1, 1, 1) for key in ("weight", "bias"))
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    def node(self, name: str, inputs: list[Tensor], stride: int, present: list[int]) -> Tensor:
        if len(inputs) == 1:
            x = inputs[0]
        else:
            weights = 1 / (1 + torch.exp(-self.state[f"{name}.aggregation"]))
            assert len(weights) == len(inputs)
            x = sum((weights[index] * inputs[index] for index in present), torch.zeros(()))
        return self.bn(f"{name}.bn", self.operation(f"{name}.op", x.clamp(min=0), stride))

    def operation(self, name: str, x: Tensor, stride: int) -> Tensor:
        if self.op == "conv":
            return torch.einsum("ocp,bchwp->bohw", self.state[f"{name}.conv.weight"].flatten(2), _windows(x, stride, 0))
        if self.op == "sepconv":
            x = torch.einsum(
                "cp,bchwp->bchw", self.state[f"{name}.depthwise.weight"].flatten(1), _windows(x, stride, 0)
            )
            return torch.einsum("oc,bchw->bohw", self.state[f"{name}.pointwise.weight"][:, :, 0, 0], x)
        if self.op == "maxpool":
            x = _windows(x, stride, -torch.inf).amax(-1)
        else:
            x = _windows(x, stride, 0).sum(-1) / _windows(torch.ones_like(x), stride, 0).sum(-1)
        return torch.einsum("oc,bchw->bohw", self.state[f"{name}.conv.weight"][:, :, 0, 0], x)

    def stage(self, name: str, dag: DAG, x: Tensor, stride: int) -> Tensor:
        values: dict[int, Tensor] = {}

        def value(node: int) -> Tensor:
            if node not in values:
                inputs = [i for i in range(node) if (i, node) in dag.edges]
                given = [value(i) for i in inputs] if inputs else [x]
                present = [index for index, i in enumerate(inputs) if (i, node) != self.dropped.get(name)]
                values[node] = self.node(f"{name}.nodes.{node}", given, 1 if inputs else stride, present)
            return values[node]

        sinks = [node for node in range(dag.nodes) if all(i != node for i, _ in dag.edges)]
        return torch.stack([value(node) for node in sinks]).mean(0)

    def __call__(self, x: Tensor) -> Tensor:
        for index, (name, _, stride, is_random) in enumerate(TABLE_1[self.regime]):
            prefix = f"stages.{name}"
            if is_random:
                x = self.stage(prefix, self.dags[name], x, stride)
            elif index == 0:
                x = functional.conv2d(x, self.state[f"{prefix}.0.weight"], stride=stride, padding=1)
                x = self.bn(f"{prefix}.1", x)
            else:
                x = functional.conv2d(x.clamp(min=0), self.state[f"{prefix}.1.weight"], stride=stride, padding=1)
                x = self.bn(f"{prefix}.2", x)
        x = torch.einsum("oi,bihw->bohw", self.state["stages.classifier.conv.weight"][:, :, 0, 0], x.clamp(min=0))
        x = self.bn("stages.classifier.bn", x).clamp(min=0)
        pooled = x.sum((2, 3)) / (x.shape[2] * x.shape[3])
        return pooled @ self.state["stages.classifier.fc.weight"].T + self.state["stages.classifier.fc.bias"]


def _compare(
    regime: str,
    dags: Mapping[str, DAG],
    training: bool,
    seed: int,
    op: str = "sepconv",
    dropped: Mapping[str, tuple[int, int]] | None = None,
) -> None:
    """Equal to 1e-10, in outputs and gradients.

    A draw is passed over if rounding alone decides it: where the definition itself, on images and weights that are off
    by a few units in the last place, gives gradients that differ by a tenth of that (deep chains of statistics over
    nearly equal values amplify so, most with pooling).
    """
    network = _network(regime, dags, op=op).double().train(training)
    network.drop_edge.probability = 1.0 if dropped else 0.0
    network.drop_edge.draw = lambda: dict(dropped or {})  # type: ignore[method-assign]
    _shake(network, seed)
    stream = torch.Generator().manual_seed(seed)
    size = 16 if regime == "tiny" else 48
    x = torch.randn(8, 3, size, size, dtype=torch.float64, generator=stream)
    direction = torch.randn(8, CLASSES, dtype=torch.float64, generator=stream)

    def off(value: Tensor) -> Tensor:
        """The value, off by a few units in the last place."""
        return value * (1 + 1e-15 * torch.randn(value.shape, dtype=torch.float64, generator=stream))

    def reference(x: Tensor, change: Callable[[Tensor], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        state = {
            name: change(value) if value.is_floating_point() else value for name, value in network.state_dict().items()
        }
        state = {name: value.clone() for name, value in state.items()}
        leaves = {name: state[name].requires_grad_() for name, _ in network.named_parameters()}
        out = _Reference(regime, dags, state, training, op, dropped)(x)
        (out * direction).sum().backward()  # type: ignore[no-untyped-call]
        for name, leaf in leaves.items():  # nothing reaches the output if the only way out of a node was dropped
            assert leaf.grad is not None or dropped, name
        return out, {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}

    expected, gradients = reference(x, lambda value: value)
    _, others = reference(off(x), off)
    scales = {name: max(1.0, float(gradient.abs().max())) for name, gradient in gradients.items()}
    assume(all(float((others[name] - gradients[name]).abs().max()) < 1e-11 * scales[name] for name in gradients))

    logits = network(x)
    assert logits.shape == (8, CLASSES)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    (logits * direction).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(
            parameter.grad / scales[name], gradients[name] / scales[name], rtol=1e-10, atol=1e-10, msg=name
        )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("regime", REGIMES)
@settings(max_examples=5, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=UNCHECKED)
@example([DAG(1, ()), DAG(3, ()), DAG(3, ((0, 2), (1, 2))), CHAIN], 0)
@example([FORTY, CHAIN, FORTY, CHAIN], 1)
@given(st.lists(dags(), min_size=4, max_size=4), st.integers(0, 2**20))
def test_outputs_and_gradients_are_those_of_the_definition(
    regime: str, training: bool, drawn: list[DAG], seed: int
) -> None:
    _compare(regime, dict(zip(_random_stages(regime), drawn, strict=False)), training, seed)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("op", [name for name in registry.names("randwire.model.ops") if name != "sepconv"])
@settings(max_examples=2, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=UNCHECKED)
@example([DAG(1, ()), DAG(3, ()), DAG(3, ((0, 2), (1, 2))), CHAIN], 0)
@given(st.lists(dags(12), min_size=4, max_size=4), st.integers(0, 2**20))
def test_every_operation_is_that_of_its_definition(
    op: str, regime: str, training: bool, drawn: list[DAG], seed: int
) -> None:
    _compare(regime, dict(zip(_random_stages(regime), drawn, strict=False)), training, seed, op)


@pytest.mark.parametrize("regime", REGIMES)
@settings(max_examples=6, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=UNCHECKED)
@given(st.lists(dags(20), min_size=4, max_size=4), st.integers(0, 2**20), st.randoms(use_true_random=False))
def test_a_dropped_edge_leaves_the_definition_without_its_input(
    regime: str, drawn: list[DAG], seed: int, stream: random.Random
) -> None:
    """The reference leaves the input out; the sinks, the other weights and all statistics stay."""
    dags = dict(zip(_random_stages(regime), drawn, strict=False))
    dropped = {
        stage: stream.choice(edges)
        for stage, dag in dags.items()
        if (edges := [(i, j) for i, j in dag.edges if len(dag.predecessors[j]) > 1])
    }
    _compare(regime, dags, training=True, seed=seed, dropped=dropped)


# Definitions, one at a time.


def test_zero_initialised_aggregation_halves_each_input() -> None:
    node = Node(NodeSpec("sepconv", 4, 4), inputs=2).eval()
    single = Node(NodeSpec("sepconv", 4, 4), inputs=1).eval()
    single.load_state_dict({key: value for key, value in node.state_dict().items() if key != "aggregation"})
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(node([x, x]), single([x]))
    torch.testing.assert_close(node([x, torch.zeros_like(x)]), single([x / 2]))


@pytest.mark.parametrize("init", [0.0, 1.0, -2.0])
def test_aggregation_init_is_the_parameter_not_the_weight(init: float) -> None:
    network = _network("small", DAG(4, ((0, 2), (1, 2), (2, 3))), aggregation_init=init)
    parameters = [value for name, value in network.named_parameters() if name.endswith("aggregation")]
    assert len(parameters) == 3
    for value in parameters:
        assert value.tolist() == [init, init]


def test_nodes_with_one_input_have_no_aggregation_parameter() -> None:
    dag = DAG(5, ((0, 2), (0, 4), (1, 2), (1, 4), (2, 3), (3, 4)))
    network = _network("tiny", dag)
    sizes = {name: value.numel() for name, value in network.named_parameters() if name.endswith("aggregation")}
    assert sizes == {
        f"stages.{stage}.nodes.{node}.aggregation": inputs
        for stage in _random_stages("tiny")
        for node, inputs in ((2, 2), (4, 3))
    }


def test_a_single_input_is_not_weighted() -> None:
    node = Node(NodeSpec("sepconv", 4, 4), inputs=1).eval()
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(node([x]), node.bn(node.op(x.relu())))


def test_inputs_are_not_changed_in_place() -> None:
    dag = DAG(4, ((0, 2), (0, 3), (1, 2), (1, 3)))
    stage = Stage(dag, NodeSpec("sepconv", 4, 4)).eval()
    seen: list[tuple[Tensor, Tensor]] = []
    for node in stage.nodes:
        node.register_forward_hook(lambda _, __, out: seen.append((out, out.clone())))
    x = torch.randn(1, 4, 6, 6)
    before = x.clone()
    with torch.no_grad():
        stage(x)
    assert torch.equal(x, before)
    assert len(seen) == 4
    assert all(torch.equal(out, copy) for out, copy in seen)


def test_sources_carry_stride_and_channels_and_sinks_are_averaged() -> None:
    stage = Stage(DAG(3, ()), NodeSpec("sepconv", 4, 8, 2)).eval()
    x = torch.randn(2, 4, 9, 9)
    out = stage(x)
    assert out.shape == (2, 8, 5, 5)
    torch.testing.assert_close(out, sum(node([x]) for node in stage.nodes) / 3)


@settings(max_examples=15, deadline=None, derandomize=True, phases=PHASES)
@given(dags(14), st.randoms(use_true_random=False))
def test_another_topological_numbering_gives_the_same_output(dag: DAG, stream: random.Random) -> None:
    waiting = {node: {i for i, j in dag.edges if j == node} for node in range(dag.nodes)}
    number: dict[int, int] = {}
    while waiting:
        node = stream.choice([node for node, inputs in waiting.items() if not inputs])
        number[node] = len(number)
        del waiting[node]
        for missing in waiting.values():
            missing.discard(node)
    other = DAG.orient(dag.nodes, [(number[i], number[j]) for i, j in dag.edges])

    stage = Stage(dag, NodeSpec("sepconv", 3, 4, 2)).double().eval()
    _shake(stage)
    renumbered = Stage(other, NodeSpec("sepconv", 3, 4, 2)).double().eval()
    for node in range(dag.nodes):
        state = stage.nodes[node].state_dict()
        inputs = [i for i, j in dag.edges if j == node]
        if len(inputs) > 1:
            state["aggregation"] = state["aggregation"][sorted(range(len(inputs)), key=lambda at: number[inputs[at]])]
        renumbered.nodes[number[node]].load_state_dict(state)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(renumbered(x), stage(x), rtol=1e-10, atol=1e-10)


def test_batch_statistics_move_towards_those_of_the_batch() -> None:
    network = _network("tiny", CHAIN).double().train()
    seen: list[Tensor] = []
    conv, bn = network.get_submodule("stages.conv1.0"), network.get_submodule("stages.conv1.1")
    conv.register_forward_hook(lambda _, __, out: seen.append(out))
    network(torch.randn(2, 3, 16, 16, dtype=torch.float64))
    torch.testing.assert_close(bn.running_mean, 0.1 * seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(bn.running_var, 0.9 + 0.1 * seen[0].transpose(0, 1).flatten(1).var(1))


@pytest.mark.parametrize("relu", [True, False])
def test_head_relu_decides_whether_features_may_be_negative(relu: bool) -> None:
    network = _network("tiny", CHAIN, head_relu=relu).eval()
    _shake(network)
    seen: list[Tensor] = []
    network.get_submodule("stages.classifier.fc").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network(torch.randn(4, 3, 16, 16))
    assert bool((seen[0] < 0).any()) is not relu


def test_dropout_acts_in_training_alone() -> None:
    network = _network("tiny", CHAIN, dropout=0.5, head=64)
    x = torch.randn(4, 3, 16, 16)
    seen: list[Tensor] = []
    network.get_submodule("stages.classifier.fc").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        torch.manual_seed(0)
        network.train()(x)
        assert (seen[0] == 0).sum() > 50
        network.eval()
        assert torch.equal(network(x), network(x))


# Gradients, for all generators, operations and regimes.


def _assert_all_learn(network: RandWire) -> None:
    size = 16 if network.get_submodule("stages.conv1.0").stride == (1, 1) else 64
    torch.manual_seed(0)
    loss = functional.cross_entropy(network.train()(torch.randn(4, 3, size, size)), torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        if parameter.ndim > 1:
            assert bool(parameter.grad.abs().sum() > 0), name
    aggregation = [parameter.grad for name, parameter in network.named_parameters() if name.endswith("aggregation")]
    assert all(bool((grad != 0).any()) for grad in aggregation if grad is not None)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", registry.names("randwire.graphs"))
def test_every_parameter_receives_a_gradient(name: str, regime: str) -> None:
    kind = registry.load("randwire.graphs", name, graphs.Generator)  # type: ignore[type-abstract]
    generator = kind.settings()[0]
    dags = {stage: generator.sample(16, random.Random(stage)).dag for stage in _random_stages(regime)}
    _assert_all_learn(_network(regime, dags, channels=8))


@pytest.mark.parametrize("op", registry.names("randwire.model.ops"))
def test_every_parameter_of_every_operation_receives_a_gradient(op: str) -> None:
    _assert_all_learn(_network("tiny", DAG(4, ((0, 2), (1, 2), (1, 3), (2, 3))), op=op, channels=8))


# Table 1.


@pytest.mark.parametrize(("regime", "channels"), [("small", 78), ("regular", 109), ("regular", 154)])
def test_sizes_and_channels_of_table_1(regime: str, channels: int) -> None:
    generator = graphs.parse("ws:k=4,p=0.75")
    plans = random_stages(regime, 32)
    assert plans == {name: 16 if name == "conv2" else 32 for name in _random_stages(regime)}
    dags = {name: generator.sample(nodes, random.Random(name)).dag for name, nodes in plans.items()}
    with torch.device("meta"):
        network = RandWire(NetworkConfig.model_validate({"regime": regime, "channels": channels}), dags, 1000)
        images = torch.empty(2, 3, 224, 224)
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            shapes[name] = tuple(out.shape)

        return hook

    for name, stage in network.stages.items():
        stage.register_forward_hook(note(name))
    network.get_submodule("stages.classifier.conv").register_forward_hook(note("head"))
    assert network(images).shape == (2, 1000)
    sides = [112, 56, 28, 14, 7]
    for (name, width, _, _), side in zip(TABLE_1[regime], sides, strict=True):
        assert shapes[name] == (2, int(width * channels), side, side)
    assert shapes["head"] == (2, 1280, 7, 7)
    kinds = [isinstance(network.get_submodule(f"stages.{name}"), Stage) for name, _, _, _ in TABLE_1[regime]]
    assert kinds == [is_random for _, _, _, is_random in TABLE_1[regime]]


@pytest.mark.parametrize("resolution", [28, 32, 33])
def test_tiny_regime_keeps_the_resolution_in_the_stem(resolution: int) -> None:
    network = _network("tiny", CHAIN, channels=5)
    sides = []
    for stage in list(network.stages.values())[:5]:
        stage.register_forward_hook(lambda _, __, out: sides.append((out.shape[1], out.shape[-1])))
    assert network(torch.zeros(2, 3, resolution, resolution)).shape == (2, CLASSES)
    half, quarter = -(-resolution // 2), -(-resolution // 4)
    assert sides == [(2, resolution), (5, resolution), (5, half), (10, quarter), (20, -(-resolution // 8))]


def test_nodes_are_halved_but_never_lost() -> None:
    assert random_stages("regular", 1) == dict.fromkeys(_random_stages("regular"), 1)
    assert random_stages("regular", 33)["conv2"] == 16
    assert random_stages("tiny", 16) == dict.fromkeys(_random_stages("tiny"), 16)


@pytest.mark.parametrize("regime", REGIMES)
def test_wrong_stage_names_are_refused(regime: str) -> None:
    names = _random_stages(regime)
    for wrong in (names[:-1], [*names, "conv6"], [*names[:-1], "conv9"], []):
        with pytest.raises(ValueError, match=f"the {regime} regime needs graphs for {', '.join(names)}") as caught:
            _network(regime, dict.fromkeys(wrong, CHAIN))
        assert "\n" not in str(caught.value)


def test_no_convolution_has_a_bias() -> None:
    for module in _network("regular", CHAIN).modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None


def test_initial_weights_follow_the_seed() -> None:
    networks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        networks.append(_network("tiny", CHAIN).state_dict())
    first, again, other = networks
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


# Memory.


@contextmanager
def _watch(stage: Stage) -> Iterator[list[int]]:
    """The number of node outputs that are alive just before each node is computed."""
    alive: list[weakref.ref[Tensor]] = []
    counts: list[int] = []

    def before(module: nn.Module, given: tuple[object, ...]) -> None:
        counts.append(sum(reference() is not None for reference in alive))

    def after(module: nn.Module, given: tuple[object, ...], out: Tensor) -> None:
        alive.append(weakref.ref(out))

    handles = [node.register_forward_pre_hook(before) for node in stage.nodes]
    handles += [node.register_forward_hook(after) for node in stage.nodes]
    yield counts
    for handle in handles:
        handle.remove()


@settings(max_examples=25, deadline=None, derandomize=True, phases=PHASES)
@given(dags())
def test_tensors_are_freed_after_their_last_use(dag: DAG) -> None:
    stage = Stage(dag, NodeSpec("sepconv", 2, 2)).eval()
    with _watch(stage) as counts, torch.no_grad():
        stage(torch.zeros(1, 2, 3, 3))
    assert len(counts) == dag.nodes
    for node, count in enumerate(counts):
        needed = {i for i, j in dag.edges if i < node <= j}
        assert count <= len(needed) + 1, f"node {node}: {count} alive, {needed} needed and one sum"


def test_a_chain_holds_one_tensor() -> None:
    dag = DAG(32, tuple(pairwise(range(32))))
    stage = Stage(dag, NodeSpec("sepconv", 2, 2)).eval()
    with _watch(stage) as counts, torch.no_grad():
        stage(torch.zeros(1, 2, 3, 3))
    assert counts == [0] + [1] * 31


# Precision.


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_bf16_autocast_keeps_bf16_between_nodes(training: bool) -> None:
    dag = DAG(4, ((0, 2), (1, 2), (1, 3), (2, 3)))
    network = _network("small", dag, channels=8).train(training)
    kinds: set[torch.dtype] = set()
    for module in network.modules():
        if isinstance(module, Node | Stage):
            module.register_forward_hook(lambda _, __, out: kinds.add(out.dtype))
        if isinstance(module, Node):  # the aggregated sum, before the operation
            module.op.register_forward_pre_hook(lambda _, given: kinds.add(given[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(torch.randn(4, 3, 64, 64))
    assert kinds == {torch.bfloat16}
    assert bool(out.isfinite().all())
    out.float().square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
