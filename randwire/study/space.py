"""The conditional search space over generators: which generator, and then its own parameters.

Domains, settings and order come from the generators: a new file in `randwire/graphs` joins searches, grids and the
default study by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from randwire import graphs, registry
from randwire.errors import ConfigError
from randwire.graphs import Domain, Generator
from randwire.study.ranges import Range, Suggest

GENERATORS = "randwire.graphs"
NO_RANGES: Mapping[str, Range] = MappingProxyType({})
"""A user's ranges by key, where there are none."""


def names() -> tuple[str, ...]:
    """The names of all generators, sorted."""
    return registry.names(GENERATORS)


def default() -> tuple[str, ...]:
    """The generators of a study that names none: those with `default`, the paper's first."""
    kinds = [kind(name) for name in names()]
    return tuple(cls.name() for cls in sorted(kinds, key=lambda cls: (cls.order, cls.name())) if cls.default)


def kind(name: str) -> type[Generator]:
    """The generator class of a name.

    Raises ValueError for an unknown one, and ConfigError for one that cannot be searched.
    """
    cls = registry.load(GENERATORS, name, Generator)  # type: ignore[type-abstract]
    if missing := [field.name for field in fields(cls) if field.name not in cls.domains]:
        raise ConfigError(f"randwire/graphs/{name}.py: `domains` lacks {', '.join(missing)}: what may a search try?")
    return cls


def suggest(trial: Suggest, generators: Sequence[str], ranges: Mapping[str, Range] = NO_RANGES) -> str:
    """The spec of a suggested generator. Parameters are named `ws.k`, `ws.p`, and lie on the grid of their domain.

    A range of that name takes the place of the domain.
    """
    name = trial.suggest_categorical("generator", list(generators))
    values = {}
    for key, domain in kind(name).domains.items():
        own = ranges.get(f"{name}.{key}")
        values[key] = own.suggest(trial) if own else _value(trial, f"{name}.{key}", domain)
    return spec(name, values)


def _value(trial: Suggest, name: str, domain: Domain) -> float:
    if all(float(edge).is_integer() for edge in (domain.low, domain.high, domain.step)):
        return trial.suggest_int(name, int(domain.low), int(domain.high), step=int(domain.step))
    return round(trial.suggest_float(name, domain.low, domain.high, step=domain.step), 10)


def spec(name: str, values: Mapping[str, float]) -> str:
    """The canonical spec of a generator with values of its parameters."""
    return str(graphs.parse(f"{name}:" + ",".join(f"{key}={value!r}" for key, value in values.items())))


def parameters(spec: str, ranges: Mapping[str, Range] = NO_RANGES) -> dict[str, Any]:
    """The parameters that `suggest` would have asked for to arrive at a spec. Raises ValueError for one outside."""
    generator = graphs.parse(spec)
    name = generator.name()
    values = {f"{name}.{key}": value for key, value in generator.params().items()}
    asked = {key: ranges[key].parameter(value) if key in ranges else value for key, value in values.items()}
    return {"generator": name, **asked}


def paper(generators: Sequence[str]) -> list[str]:
    """The settings of the paper's Figure 4, each generator's best first: 29 for ER, BA and WS.

    A generator that the paper does not have is there with its one setting.
    """
    return [str(generator) for name in generators for generator in kind(name).settings()]


def best(generators: Sequence[str]) -> list[str]:
    """The paper's best setting of each generator, or its only one: where a search begins."""
    return [str(kind(name).settings()[0]) for name in generators]
