"""Drop edge: how often, which edges, on which ranks, and never in evaluation."""

import json
import math
import random
from collections import Counter
from pathlib import Path

import commands
import pytest
import torch

from randwire import config as configuration
from randwire import graphs, wiring
from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model.drop_edge import DropEdge, Edge, weighted_edges
from randwire.model.network import RandWire
from randwire.training.loop import seed_epoch

SIGMAS = 5.5
"""Two-sided tail of a normal variable: 3.8e-8. There are fewer than 20 such comparisons in this file."""
DAGS = {
    stage: graphs.parse("ws:k=4,p=0.75").sample(12, random.Random(stage)).dag for stage in ("conv3", "conv4", "conv5")
}
STEPS = 4_000


def _drop(dags: dict[str, DAG] = DAGS, seed: int = 0, rank: int = 0, epoch: int = 1, **options: object) -> DropEdge:
    drop_edge = DropEdge(NetworkConfig.model_validate({"drop_edge": 0.1, **options}), dags)
    drop_edge.seed(seed, epoch, rank)
    return drop_edge


def _draws(drop: DropEdge, steps: int = STEPS) -> list[dict[str, Edge]]:
    return [drop.draw() for _ in range(steps)]


def _near(hits: int, of: int, share: float) -> bool:
    return abs(hits / of - share) < SIGMAS * math.sqrt(share * (1 - share) / of)


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_each_stage_loses_an_edge_with_the_probability(probability: float) -> None:
    draws = _draws(_drop(drop_edge=probability))
    for stage in DAGS:
        assert _near(sum(stage in draw for draw in draws), STEPS, probability)
    both = sum("conv3" in draw and "conv4" in draw for draw in draws)
    assert _near(both, STEPS, probability**2)  # stages draw apart


def test_the_network_scope_drops_at_most_one_edge_of_all() -> None:
    draws = _draws(_drop(drop_edge_scope="network"))
    assert max(map(len, draws)) == 1
    assert _near(sum(map(len, draws)), STEPS, 0.1)
    counts = Counter(stage for draw in draws for stage in draw)
    eligible = {stage: sum(len(dag.predecessors[j]) > 1 for _, j in dag.edges) for stage, dag in DAGS.items()}
    for stage in DAGS:
        assert _near(counts[stage], counts.total(), eligible[stage] / sum(eligible.values()))


def test_every_edge_into_an_aggregating_node_alike_and_no_other() -> None:
    draws = _draws(_drop(drop_edge=1), 6_000)
    dag = DAGS["conv4"]
    eligible = {(i, j) for i, j in dag.edges if len(dag.predecessors[j]) > 1}
    counts = Counter(draw["conv4"] for draw in draws)
    assert set(counts) == eligible
    assert eligible < set(dag.edges), "the graph has edges that must stay, or the test shows nothing"
    for count in counts.values():
        assert _near(count, 6_000, 1 / len(eligible))


@pytest.mark.parametrize(
    "dag", [DAG(1, ()), DAG(5, ((0, 1), (1, 2), (2, 3), (3, 4))), DAG(3, ((0, 1), (0, 2)))], ids=str
)
def test_a_graph_without_aggregation_keeps_its_edges(dag: DAG) -> None:
    assert _draws(_drop({"conv3": dag}, drop_edge=1), 50) == [{}] * 50
    assert _draws(_drop({"conv3": dag}, drop_edge=1, drop_edge_scope="network"), 50) == [{}] * 50


def test_never_in_evaluation_nor_without_a_probability() -> None:
    assert _draws(_drop(drop_edge=1).eval(), 50) == [{}] * 50
    assert _draws(_drop(drop_edge=0), 50) == [{}] * 50
    network = RandWire(NetworkConfig(regime="tiny", channels=4, head=8, drop_edge=1), DAGS, 3).eval()
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(x), network(x))
    plain = RandWire(NetworkConfig(regime="tiny", channels=4, head=8), DAGS, 3).eval()
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network(x), plain(x))


def test_the_factors_of_a_step_are_zero_for_its_dropped_edges_alone() -> None:
    drop, same = _drop(drop_edge=0.6), _drop(drop_edge=0.6)
    for _ in range(20):
        kept, dropped = drop(), same.draw()
        assert torch.equal(torch.cat(list(kept.values())), drop.keep)
        for stage, factors in kept.items():
            edges = weighted_edges(DAGS[stage])
            assert {edge for edge, factor in zip(edges, factors.tolist(), strict=True) if factor == 0} == {
                *([dropped[stage]] if stage in dropped else [])
            }
            assert sum(factors.tolist()) == len(edges) - (stage in dropped)


def test_manual_draws_are_those_of_the_forward_pass_one_by_one() -> None:
    drop, same = _drop(drop_edge=0.6), _drop(drop_edge=0.6)
    drop.manual = True
    seen = []
    for _ in range(20):
        drop.redraw()
        first, again, other = drop(), drop(), same()
        for stage in DAGS:
            assert torch.equal(first[stage], again[stage])
            assert torch.equal(first[stage], other[stage])
        seen.append(torch.cat(list(first.values())))
    assert len({tuple(kept.tolist()) for kept in seen}) > 1


def test_two_forward_passes_keep_the_edges_that_each_has_drawn_for_one_backward_pass() -> None:
    network = RandWire(NetworkConfig(regime="tiny", channels=4, head=8, drop_edge=1), DAGS, 3).double()
    images = [torch.randn(4, 3, 16, 16, dtype=torch.float64) for _ in range(2)]
    grads = []
    for at_once in (True, False):
        network.zero_grad()
        network.drop_edge.seed(0, 1, 0)
        losses = []
        for x in images:
            losses.append(network(x).square().sum())
            if not at_once:
                losses.pop().backward()
        if at_once:
            (losses[0] + losses[1]).backward()
        grads.append([parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_the_factors_move_with_the_network_and_are_of_no_state() -> None:
    network = RandWire(NetworkConfig(regime="tiny", channels=4, head=8, drop_edge=1), DAGS, 3)
    assert not any("keep" in name for name in network.state_dict())
    assert network.double().drop_edge.keep.dtype == torch.float64
    assert network.to("meta").drop_edge.keep.device.type == "meta"


def test_draws_are_a_function_of_seed_and_epoch() -> None:
    first = _draws(_drop(), 200)
    assert _draws(_drop(), 200) == first
    assert _draws(_drop(seed=1), 200) != first
    assert _draws(_drop(epoch=2), 200) != first
    drop = _drop(epoch=7)
    _draws(drop, 13)
    drop.seed(0, 1, 0)
    assert _draws(drop, 200) == first


def test_the_stream_of_python_is_left_alone() -> None:
    before = random.getstate()
    _draws(_drop(), 10)
    assert random.getstate() == before


def test_ranks_share_their_edges_unless_configured_otherwise() -> None:
    assert _draws(_drop(rank=3), 200) == _draws(_drop(rank=0), 200)
    apart = [_draws(_drop(rank=rank, drop_edge_ranks="independent"), 200) for rank in (0, 3, 3)]
    assert apart[0] != apart[1] == apart[2]


def test_an_epoch_seeds_the_network_of_every_rank_alike() -> None:
    network = RandWire(NetworkConfig(regime="tiny", channels=4, head=8, drop_edge=0.5), DAGS, 3)
    drawn = []
    for rank in (0, 1):
        seed_epoch(torch.nn.Sequential(network), seed=4, epoch=2, rank=rank)
        drawn.append(_draws(network.drop_edge, 50))
    assert drawn[0] == drawn[1] == _draws(_drop(seed=4, epoch=2, drop_edge=0.5), 50)


def test_every_parameter_keeps_a_gradient_when_the_only_way_out_of_a_node_is_dropped() -> None:
    """Node 1 reaches the output through node 2 alone: without its edge its gradient is zero, not absent."""
    dags = dict.fromkeys(DAGS, DAG(3, ((0, 2), (1, 2))))
    network = RandWire(NetworkConfig(regime="tiny", channels=4, head=8, drop_edge=1), dags, 3)
    network.drop_edge.draw = lambda: {"conv3": (1, 2)}  # type: ignore[method-assign]
    network(torch.randn(4, 3, 16, 16)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        lost = name.startswith("stages.conv3.nodes.1.")
        assert bool((parameter.grad == 0).all()) == lost or parameter.ndim < 2, name
    weights = network.get_parameter("stages.conv3.nodes.2.aggregation").grad
    assert weights is not None
    assert weights[1] == 0 != weights[0]


def test_a_training_with_drop_edge_is_another_one_and_repeats_itself(tmp_path: Path) -> None:
    keys = ("train.py", "digits", *commands.TINY, "--train.epochs", "2", "--runtime.wandb", "disabled")
    losses = {}
    for name, more in (
        ("plain", ()),
        ("drop", ("--network.drop_edge", "0.9")),
        ("again", ("--network.drop_edge=0.9",)),
    ):
        output = tmp_path / name
        done = commands.call(*keys, *more, "--runtime.output", str(output))
        assert done.returncode == 0, done.stderr
        (rows,) = output.glob("local/*/metrics.jsonl")
        losses[name] = [json.loads(line)["train_loss"] for line in rows.read_text().splitlines()]
    assert losses["drop"] == losses["again"]
    assert losses["drop"] != losses["plain"]


def test_the_regular_presets_drop_edges() -> None:
    for name in ("regular-109", "regular-154", "large"):
        config = configuration.load(name)
        dags = {stage: sample.dag for stage, sample in wiring.sample_graphs(config).items()}
        drop = DropEdge(config.network, dags)
        drop.seed(0, 1, 0)
        counts = Counter(stage for draw in _draws(drop) for stage in draw)
        assert set(counts) == {"conv2", "conv3", "conv4", "conv5"}
        assert all(_near(count, STEPS, 0.1) for count in counts.values())
