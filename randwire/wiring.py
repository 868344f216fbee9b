"""From a configuration to its graphs, its untrained network, and the exact size of that: no training, no data."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from randwire import data, graphs, streams
from randwire.config import RunConfig
from randwire.dag import DAG
from randwire.errors import ConfigError
from randwire.graphs import SampledGraph
from randwire.model import published, references
from randwire.model.building import build
from randwire.model.complexity import Complexity, channels_for, complexity
from randwire.model.regimes import random_stages


def sample_graphs(config: RunConfig) -> dict[str, SampledGraph]:
    """The DAG of every random stage, by stage; equal on every machine for equal `graph` and `network.regime`.

    With `graph.stages: shared`, stages of equal size get one DAG; with `graph.path`, the saved ones are read. A
    published network has none. Raises ConfigError if a stage admits no graph, if the saved ones have changed or belong
    to other stages, or if there is no such published network.
    """
    if config.network.reference is not None:
        references.check(config.network.reference)
        return {}
    stages = random_stages(config.network.regime, config.graph.nodes)
    if config.graph.path is not None:
        return {stage: SampledGraph(dag, 0) for stage, dag in _saved_graphs(config, stages).items()}
    samples: dict[str | int, SampledGraph] = {}
    keys = {stage: stage if config.graph.stages == "independent" else nodes for stage, nodes in stages.items()}
    for stage, key in keys.items():
        try:
            if key not in samples:
                samples[key] = config.generator.sample(stages[stage], streams.graph(config.graph.seed, key))
        except ValueError as error:
            raise ConfigError(f"graph.generator: {error} (stage {stage} of {stages[stage]} nodes)") from None
    return {stage: samples[key] for stage, key in keys.items()}


def _saved_graphs(config: RunConfig, stages: Collection[str]) -> dict[str, DAG]:
    path = config.graph.path
    assert path is not None
    try:
        saved = graphs.read_saved(path)
    except ValueError as error:
        raise ConfigError(f"graph.path: {error}") from None
    if graphs.saved_sha256(saved) != config.graph.path_sha256:
        raise ConfigError(f"graph.path: {path} has changed since graph.path_sha256 was taken; name it again")
    if set(saved) == {graphs.ALL_STAGES}:
        return dict.fromkeys(stages, saved[graphs.ALL_STAGES])
    if set(saved) != set(stages):
        raise ConfigError(
            f"graph.path: {path} has graphs for {', '.join(saved)}; the {config.network.regime} regime needs "
            f"{', '.join(stages)}"
        )
    return saved


def initial_network(config: RunConfig, classes: int | None = None) -> nn.Module:
    """The network of a run with the weights that its training starts from, unless they are pretrained.

    `classes` are those of its data if left out. PyTorch's global stream of random numbers stays as it was. Raises
    ConfigError as `sample_graphs` does and for a published network that is none for so many classes, and DataError if
    the classes of its data are not known.
    """
    dags = dags_of(sample_graphs(config))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.train.seed)
        return build(
            config.network,
            dags,
            data.class_count(config.data) if classes is None else classes,
            config.data.resolution,
            config.runtime.recompute,
            config.runtime.compile,
            config.runtime.channel_multiple,
        )


def count(config: RunConfig, samples: Mapping[str, SampledGraph]) -> Complexity:
    """Parameters, multiply-adds and activations of the run's network, as it is evaluated.

    Raises ConfigError if its node operation, or a published network, cannot be counted, or if there is none for the
    images and classes of the data.
    """
    classes, resolution = data.class_count(config.data), config.data.evaluation.resolution
    if config.network.reference is not None:
        try:
            return published.complexity(config.network.reference, classes, resolution)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"network.reference: {config.network.reference}: {error}") from None
    try:
        return complexity(config.network, dags_of(samples), classes, resolution)
    except ValueError as error:
        raise ConfigError(f"network.op: {error}") from None


def check_reference(config: RunConfig) -> None:
    """Raise ConfigError unless a published network works on all images of its training and evaluation."""
    if config.network.reference is None:
        return
    sides = [config.data.resolution_in(epoch, config.train.epochs) for epoch in range(1, config.train.epochs + 1)]
    references.check_resolutions(
        config.network.reference,
        data.class_count(config.data),
        config.data.resolution,
        (*dict.fromkeys(sides), config.data.evaluation.resolution),
    )


def match_mult_adds(config: RunConfig, mult_adds: float) -> RunConfig:
    """The configuration with the `network.channels` whose multiply-adds, on its graphs, are nearest to `mult_adds`.

    So node operations compare at equal cost. Raises ConfigError for less than the narrowest or more than the widest
    network has, and for a published network: its size is its own.
    """
    if config.network.reference is not None:
        raise ConfigError(
            f"--match-mult-adds: chooses network.channels, and {config.network.reference} has none; match the random "
            "networks to it instead"
        )
    classes, resolution = data.class_count(config.data), config.data.evaluation.resolution
    try:
        channels = channels_for(mult_adds, config.network, dags_of(sample_graphs(config)), classes, resolution)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return config.override({"network.channels": channels})


def dags_of(samples: Mapping[str, SampledGraph]) -> dict[str, DAG]:
    return {stage: sample.dag for stage, sample in samples.items()}


def dag_json(samples: Mapping[str, SampledGraph]) -> dict[str, Any]:
    """Nodes, edges, redraws and finite measures of every stage: JSON knows no infinite path length."""
    return {
        "stages": {
            stage: {
                "nodes": sample.dag.nodes,
                "edges": [list(edge) for edge in sample.dag.edges],
                "redraws": sample.redraws,
                "measures": {
                    name: value for name, value in sample.dag.measures().to_dict().items() if math.isfinite(value)
                },
            }
            for stage, sample in samples.items()
        }
    }
