"""Graph damage, against a plain reference that computes the reduced graph from the network's own parameters."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise

import pytest
import torch
from torch import Tensor, nn

from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.damage.removal import Damage, damaged, damages, recalibrated, sample, stage_dags
from randwire.model.network import RandWire
from randwire.model.node import Node
from randwire.model.stage import Stage

SIGMAS = 5.5
"""Two-sided tail of a normal variable: 3.8e-8."""
STAGE = "conv4"
OTHER = DAG(3, ((0, 1), (1, 2)))
Norm = Callable[[nn.BatchNorm2d, Tensor], Tensor]


def _random(seed: int) -> DAG:
    stream = random.Random(seed)
    nodes = stream.randint(2, 10)
    density = stream.choice((0.15, 0.4, 0.8))
    return DAG(nodes, tuple(edge for edge in combinations(range(nodes), 2) if stream.random() < density))


GRAPHS = {
    "one node": DAG(1, ()),
    "no edge": DAG(4, ()),
    "chain": DAG(5, tuple(pairwise(range(5)))),
    "fan out": DAG(5, tuple((0, j) for j in range(1, 5))),
    "fan in": DAG(5, tuple((i, 4) for i in range(4))),
    "whole": DAG(6, tuple(combinations(range(6), 2))),
    **{f"random {seed}": _random(seed) for seed in range(12)},
}


def _network(dag: DAG, seed: int = 0, **options: object) -> RandWire:
    """In float64 and evaluation mode; every parameter and statistic has a value of its own."""
    config = NetworkConfig.model_validate({"regime": "tiny", "channels": 4, "head": 6, **options})
    network = RandWire(config, {"conv3": OTHER, STAGE: dag, "conv5": OTHER}, 5).double().eval()
    stream = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=stream, dtype=value.dtype)
            value.copy_(1 + 0.3 * noise.tanh() if name.endswith(("running_var", "bn.weight")) else value + 0.5 * noise)
        else:
            value.fill_(7)  # batches tracked
    return network


def _images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _trained_norm(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return norm(x)  # type: ignore[no-any-return]


@torch.no_grad()
def _reference(network: RandWire, x: Tensor, damage: Damage | None, norm: Norm = _trained_norm) -> Tensor:
    """What the damaged network gives, node by node; what is removed is not computed at all."""
    for name, module in network.stages.items():
        if isinstance(module, Stage):
            gone = damage.part if damage and damage.stage == name else ()
            x = _stage(module, x, gone, norm)
        elif isinstance(module, nn.Sequential):
            for layer in module:
                x = norm(layer, x) if isinstance(layer, nn.BatchNorm2d) else layer(x)
        else:
            hidden = norm(module.bn, module.conv(x.clamp(min=0)))  # type: ignore[arg-type,operator]
            hidden = hidden.clamp(min=0) if module.relu else hidden
            x = module.fc(hidden.mean((2, 3)))  # type: ignore[operator]
    return x


def _stage(stage: Stage, x: Tensor, gone: tuple[int, ...], norm: Norm) -> Tensor:
    norms = [module for module in stage.modules() if isinstance(module, nn.BatchNorm2d)]
    size = torch.Size([len(x), norms[0].num_features, *(math.ceil(side / 2) for side in x.shape[2:])])
    values: dict[int, Tensor] = {}
    edges = stage.dag.edges
    for number, node in enumerate(stage.nodes):
        assert isinstance(node, Node)
        if gone == (number,):
            continue
        inputs = [i for i, j in edges if j == number]
        total = x if not inputs else torch.zeros(size, dtype=x.dtype)
        for index, i in enumerate(inputs):
            if i in values and gone != (i, number):
                weight = 1.0 if node.aggregation is None else 1 / (1 + torch.exp(-node.aggregation[index]))
                total = total + weight * values[i]
        values[number] = norm(node.bn, node.op(total.clamp(min=0)))
    sinks = [value for number, value in values.items() if all(i != number for i, _ in edges)]
    return torch.stack(sinks).mean(0) if sinks else torch.zeros(size, dtype=x.dtype)


def _all(network: RandWire) -> list[Damage]:
    return [*damages(stage_dags(network), "node"), *damages(stage_dags(network), "edge")]


@pytest.mark.parametrize("dag", GRAPHS.values(), ids=GRAPHS)
def test_a_damaged_network_is_the_reference_without_what_is_removed(dag: DAG) -> None:
    network, x = _network(dag), _images(3)
    whole = network(x)
    torch.testing.assert_close(whole, _reference(network, x, None), rtol=1e-10, atol=1e-10)
    for damage in _all(network):
        with damaged(network, damage), torch.no_grad():
            outputs = network(x)
        assert torch.allclose(outputs, _reference(network, x, damage), rtol=1e-10, atol=1e-10), damage
        assert not torch.allclose(outputs, whole, rtol=1e-6), damage
        assert torch.equal(network(x), whole), "the damage outlived its block"


@pytest.mark.parametrize("op", ["conv", "maxpool", "avgpool"])
def test_every_node_operation_can_be_damaged(op: str) -> None:
    network, x = _network(GRAPHS["random 3"], op=op), _images(2)
    for damage in _all(network):
        with damaged(network, damage), torch.no_grad():
            torch.testing.assert_close(network(x), _reference(network, x, damage), rtol=1e-10, atol=1e-10)


def test_the_graphs_have_what_is_hard() -> None:
    dags = list(GRAPHS.values())
    assert any(len(dag.sources) > 1 and len(dag.sinks) > 1 for dag in dags)
    assert any(set(dag.sources) & set(dag.sinks) and dag.edges for dag in dags)
    assert any(len(dag.predecessors[j]) == 1 and len(dag.successors[i]) > 1 for dag in dags for i, j in dag.edges)
    assert any(len(dag.predecessors[j]) > 1 and len(dag.successors[i]) == 1 for dag in dags for i, j in dag.edges)


def test_a_node_that_loses_its_only_input_gives_a_constant() -> None:
    network = _network(GRAPHS["chain"])
    with damaged(network, Damage(STAGE, (1, 2))):
        outputs = network(_images(4))
    assert torch.equal(outputs, outputs[:1].expand_as(outputs))


@pytest.mark.parametrize(("stage", "part"), [("conv2", (0,)), ("conv9", (0,)), (STAGE, (5,)), (STAGE, (0, 2))])
def test_what_is_not_there_cannot_be_removed(stage: str, part: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="the network has no"), damaged(_network(GRAPHS["chain"]), Damage(stage, part)):
        pass


@pytest.mark.parametrize("damage", [Damage(STAGE, (0,)), Damage(STAGE, (2, 3)), None], ids=str)
def test_recalibrated_statistics_are_those_of_the_batches(damage: Damage | None) -> None:
    network = _network(GRAPHS["whole"], dropout=0.5, drop_edge=1.0)  # neither may act
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batches = [_images(4, seed) * (seed + 1) for seed in range(3)]
    means: dict[nn.Module, list[Tensor]] = {}
    variances: dict[nn.Module, list[Tensor]] = {}

    def norm(module: nn.BatchNorm2d, x: Tensor) -> Tensor:
        mean = x.mean((0, 2, 3), keepdim=True)
        square = ((x - mean) ** 2).sum((0, 2, 3), keepdim=True)
        count = x.numel() // x.shape[1]
        means.setdefault(module, []).append(mean.flatten())
        variances.setdefault(module, []).append(square.flatten() / (count - 1))
        scale, shift = (value.view(1, -1, 1, 1) for value in (module.weight, module.bias))
        return (x - mean) / torch.sqrt(square / count + module.eps) * scale + shift

    for batch in batches:
        _reference(network, batch, damage, norm)
    whole = network.state_dict(keep_vars=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # with None it reads its counter, for which the host waits
            module.register_forward_pre_hook(lambda module, _: momenta.add(module.momentum))
    momenta: set[float | None] = set()
    hidden = damaged(network, damage) if damage else torch.no_grad()
    with hidden, recalibrated(network, batches):
        assert not any(module.training for module in network.modules())
        assert len(means) == sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) - (
            damage is not None and damage.kind == "node"
        )
        for module in means:
            for name, values in (("running_mean", means), ("running_var", variances)):
                expected = torch.stack(values[module]).mean(0)
                torch.testing.assert_close(getattr(module, name), expected, rtol=1e-10, atol=1e-12)
    assert momenta == {1, 1 / 2, 1 / 3}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(value is whole[name] for name, value in network.state_dict(keep_vars=True).items()), (
        "not the same memory"
    )
    assert all(module.momentum == 0.1 for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def test_statistics_are_restored_whatever_happens() -> None:
    network = _network(GRAPHS["chain"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(KeyboardInterrupt), recalibrated(network, [_images(4)]):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="no batch"), recalibrated(network, []):
        pass
    with pytest.raises(RuntimeError), recalibrated(network, [_images(4), torch.zeros(4, 2, 8, 8, dtype=torch.float64)]):
        pass
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module.training for module in network.modules())


def test_counts_and_degrees() -> None:
    dags: Mapping[str, DAG] = {"a": GRAPHS["fan out"], "b": GRAPHS["chain"]}
    nodes, edges = damages(dags, "node"), damages(dags, "edge")
    assert (len(nodes), len(edges)) == (10, 8)
    assert len(set(nodes)) == 10
    assert [(edge.stage, edge.part) for edge in edges] == [
        (name, edge) for name, dag in dags.items() for edge in dag.edges
    ]
    assert [node.degree(dags[node.stage]) for node in nodes] == [4, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    assert [edge.degree(dags[edge.stage]) for edge in edges] == [1] * 8
    assert Damage("a", (1, 4)).degree(GRAPHS["fan in"]) == 4
    assert [Damage("a", (i,)).degree(GRAPHS["whole"]) for i in range(6)] == [5, 4, 3, 2, 1, 0]


def test_a_sample_is_uniform_without_replacement() -> None:
    pool = damages({"a": GRAPHS["chain"]}, "node")
    draws = 4_000
    pairs = Counter(tuple(d.part[0] for d in sample(pool, 2, random.Random(f"{seed}"))) for seed in range(draws))
    assert set(pairs) == set(combinations(range(5), 2)), "ascending, and none twice"
    for hits in pairs.values():
        assert abs(hits / draws - 0.1) < SIGMAS * math.sqrt(0.1 * 0.9 / draws)
    assert set(sample(pool, 2, random.Random("x"))) < set(sample(pool, 4, random.Random("x")))
    assert sample(pool, None, random.Random("x")) == sample(pool, 9, random.Random("x")) == pool
    assert sample(pool, 0, random.Random("x")) == []
