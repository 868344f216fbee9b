"""Keys that decide nothing beside others, such as the milestones of a schedule without steps.

They stay possible in files and records, which hold every key; who gives one by name is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from randwire.config.run_config import RunConfig
from randwire.errors import ConfigError


class _Needs(NamedTuple):
    """What a key needs to decide anything: a value of another key."""

    key: str
    values: tuple[Any, ...] = ()
    """Any of these; if there are none, any but the default."""

    def met(self, config: RunConfig) -> bool:
        section, _, name = self.key.partition(".")
        part = getattr(config, section)
        value = getattr(part, name)
        return value in self.values if self.values else value != type(part).model_fields[name].default

    def __str__(self) -> str:
        return f"{self.key} {' or '.join(map(str, self.values))}".rstrip()


_ADAM = _Needs("train.optimizer", ("adam", "adamw"))
_DROPS_EDGES = _Needs("network.drop_edge")
_DRAWN = _Needs("graph.path", (None,))
_RANDOM = _Needs("network.reference", (None,))
_NEEDS: Mapping[str, _Needs] = {
    "train.momentum": _Needs("train.optimizer", ("sgd",)),
    "train.betas": _ADAM,
    "train.eps": _ADAM,
    "train.milestones": _Needs("train.schedule", ("step",)),
    "train.milestone_factor": _Needs("train.schedule", ("step",)),
    "train.epoch_factor": _Needs("train.schedule", ("exponential",)),
    "network.drop_edge_scope": _DROPS_EDGES,
    "network.drop_edge_ranks": _DROPS_EDGES,
    "data.ramp": _Needs("data.start_resolution"),
    "data.stage_budget_gb": _Needs("data.stage", ("auto", "always")),
    "graph.generator": _DRAWN,
    "graph.seed": _DRAWN,
    "graph.stages": _DRAWN,
    "runtime.channel_multiple": _RANDOM,
}


def check_given(config: RunConfig, given: Collection[str], varied: Collection[str] = ()) -> None:
    """Raise ConfigError for a key that was given and decides nothing in the configuration.

    `varied` keys have other values, too: what needs one of them may decide something.
    """
    for key in given:
        needs = _NEEDS.get(key)
        if needs is None or needs.key in varied or needs.met(config):
            continue
        if needs is _DRAWN:
            raise ConfigError(f"{key}: draws graphs, and those of graph.path are saved ones; leave one of them out")
        if needs is _RANDOM:
            raise ConfigError(
                f"{key}: is for randomly wired networks, and network.reference is a published one; leave it out"
            )
        raise ConfigError(f"{key}: decides nothing without {needs}; leave it out")
