"""What a search may suggest: a generator with its parameters, and further keys of the configuration."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice, product
from typing import Any

from randwire import config as configuration
from randwire import graphs
from randwire.config import RunConfig
from randwire.config.identity import EXCLUDED
from randwire.config.run_config import HASHES
from randwire.config.variant import values_of_variant, variant_of
from randwire.errors import ConfigError, one_line
from randwire.study import space
from randwire.study.ranges import Range, Suggest
from randwire.study.setting import Setting

GRAPH_SEED = "graph.seed"
NOT_SEARCHED = {
    "graph.generator": "--generators names what is searched; give a range of a parameter, such as ws.k=4:8:2",
    "graph.path": "saved graphs are not drawn, so there is nothing to search",
    "network.reference": "a published network has no graph to search",
    "data.source": "results on different images cannot be compared",
    "data.holdout": "results on different images cannot be compared",
    "data.holdout_seed": "results on different images cannot be compared",
}
"""Keys that a search cannot vary, with the reason."""
GRID_TOLERANCE = 1e-8
"""How far a value may be off the grid of its domain, in steps, for its rounding."""
MAX_CHECKED = 1_000
"""Values, and combinations of parameters, that are tried before a search begins, at most."""


@dataclass(frozen=True)
class SearchSpace:
    """Generators with the domains of their parameters, and ranges of a user's own.

    A suggested setting has the values of keys beside the generator as its variant.
    """

    generators: tuple[str, ...]
    ranges: Mapping[str, Range]
    """By key; the keys of the configuration (`further`) are sorted."""

    @classmethod
    def parse(cls, texts: Sequence[str], generators: Sequence[str], base: RunConfig) -> SearchSpace:
        """The space of a study with the configuration `base`, whose `--space` are `texts`.

        Raises ConfigError, in one line, for a key that is unknown, repeated or cannot be searched, and for values that
        the generator or the configuration refuses.
        """
        parameters = [f"{name}.{key}" for name in generators for key in space.kind(name).domains]
        ranges: dict[str, Range] = {}
        for text in sorted(texts):
            key = text.partition("=")[0].strip()
            if key and "=" in text and key not in parameters:
                _check_key(key, parameters, generators)
            if key in ranges:
                raise ConfigError(f"--space: {key} is given twice")
            one = Range.parse(text)
            ranges[key] = one if key in parameters else _taken(one, base)
        found = cls(tuple(generators), dict(sorted(ranges.items())))
        for key in ranges:
            if key in parameters:
                found.check_parameter(key, base)
        return found

    @property
    def further(self) -> list[Range]:
        """The ranges of keys of the configuration."""
        sections = RunConfig.model_fields
        return [one for key, one in self.ranges.items() if key.partition(".")[0] in sections]

    @property
    def texts(self) -> tuple[str, ...]:
        """The canonical texts of all ranges, sorted by key."""
        return tuple(map(str, self.ranges.values()))

    def suggest(self, trial: Suggest) -> Setting:
        """A setting that Optuna suggests."""
        spec = space.suggest(trial, self.generators, self.ranges)
        return Setting(spec, variant_of({one.key: one.suggest(trial) for one in self.further}))

    def parameters(self, setting: Setting) -> dict[str, Any]:
        """What `suggest` would have asked for to arrive at a setting. Raises ValueError for one outside."""
        values = values_of_variant(setting.variant)
        asked = space.parameters(setting.spec, self.ranges)
        return {**asked, **{one.key: one.parameter(values.get(one.key)) for one in self.further}}

    def has(self, setting: Setting) -> bool:
        """Whether it is one of the settings that `suggest` can arrive at."""
        try:
            return self.suggest(_Given(self.parameters(setting))) == setting
        except (ValueError, KeyError, TypeError):
            return False

    @property
    def size(self) -> int:
        """How many settings there are, with those that are impossible."""
        return sum(map(self._size_of, self.generators))

    def at(self, number: int) -> Setting:
        """The setting of a number below `size`: by generator, then by its parameters, then by further keys."""
        for name in self.generators:
            if number < self._size_of(name):
                break
            number -= self._size_of(name)
        chosen: dict[str, Any] = {}
        for key, values in reversed(self._values(name).items()):
            number, rank = divmod(number, len(values))
            chosen[key] = values[rank]
        own = {key: chosen.pop(f"{name}.{key}") for key in space.kind(name).domains}
        return Setting(space.spec(name, own), variant_of(chosen))

    def every(self) -> Iterator[Setting]:
        """All settings; of a large space only its beginning is ever asked for."""
        return map(self.at, range(self.size))

    def sample(self, count: int, stream: random.Random) -> Iterator[Setting]:
        """Up to so many settings at random, each once."""
        return map(self.at, dict.fromkeys(stream.randrange(self.size) for _ in range(count)))

    def first(self, base: RunConfig) -> list[Setting]:
        """Where a search begins: the paper's best setting of each generator, with the keys of `base`.

        Where ranges do not have these values, with what they have next to them; what is impossible then is left out.
        """
        if not self.ranges:
            return list(map(Setting, space.best(self.generators)))
        own = {one.key: _value_of(base, one.key) for one in self.further}
        variant = variant_of({one.key: one.nearest(own[one.key]) for one in self.further})
        settings = []
        for spec in space.best(self.generators):
            generator = graphs.parse(spec)
            values = {
                key: self.ranges[f"{generator.name()}.{key}"].nearest(value)
                if f"{generator.name()}.{key}" in self.ranges
                else value
                for key, value in generator.params().items()
            }
            settings.append(Setting(space.spec(generator.name(), values), variant))
        return [setting for setting in settings if self.possible(setting, base)]

    def possible(self, setting: Setting, base: RunConfig) -> bool:
        """Whether the generator takes the number of nodes."""
        nodes = values_of_variant(setting.variant).get("graph.nodes", base.graph.nodes) if self.ranges else None
        try:
            graphs.parse(setting.spec).check(base.graph.nodes if nodes is None else nodes)
        except ValueError:
            return False
        return True

    def check_parameter(self, key: str, base: RunConfig) -> None:
        """Refuse a range of a parameter that has a value which no combination with the others makes possible."""
        name = key.partition(".")[0]
        nodes = self.ranges["graph.nodes"].values if "graph.nodes" in self.ranges else (base.graph.nodes,)
        others = {own: values for own, values in self._values(name).items() if own.startswith(f"{name}.")}
        for value in _some(self.ranges[key].values):
            columns = [(value,) if own == key else _some(values) for own, values in others.items()]
            problem: ValueError | None = None
            for count, *chosen in islice(product((nodes[-1], nodes[0]), *columns), MAX_CHECKED):
                try:
                    values = dict(zip((own.partition(".")[2] for own in others), chosen, strict=True))
                    graphs.parse(space.spec(name, values)).check(count)
                    break
                except ValueError as error:
                    problem = problem or error
            else:
                raise ConfigError(f"--space: {key}: {one_line(problem)}")

    def _values(self, name: str) -> dict[str, Sequence[Any]]:
        """The values of the parameters of a generator and of further keys, by key."""
        domains = {f"{name}.{key}": domain for key, domain in space.kind(name).domains.items()}
        own = {key: self.ranges[key].values if key in self.ranges else domains[key].values() for key in domains}
        return {**own, **{one.key: one.values for one in self.further}}

    def _size_of(self, name: str) -> int:
        return math.prod(map(len, self._values(name).values()))


@dataclass(frozen=True)
class _Given:
    """Suggests what is given, as an Optuna trial does.

    Raises ValueError, KeyError or TypeError for what that could not suggest.
    """

    values: Mapping[str, Any]

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        return choices[choices.index(self.values[name])]

    def suggest_int(self, name: str, low: int, high: int, *, step: int) -> int:
        return range(low, high + 1, step)[range(low, high + 1, step).index(self.values[name])]

    def suggest_float(self, name: str, low: float, high: float, *, step: float) -> float:
        value = float(self.values[name])
        steps = (value - low) / step
        if not low <= value <= high or abs(steps - round(steps)) > GRID_TOLERANCE:
            raise ValueError(f"{name} is {value}")
        return value


def _check_key(key: str, parameters: Sequence[str], generators: Sequence[str]) -> None:
    """Refuse a key that is no parameter of these generators and no key of the configuration that may vary."""
    section, _, name = key.partition(".")
    if section in space.names():
        if section not in generators:
            raise ConfigError(f"--space: {key}: {section} is no generator of this study (--generators)")
        raise ConfigError(f"--space: {key}: {section} has no parameter {name!r}{_close(key, parameters)}")
    if section == "runtime":
        raise ConfigError(f"--space: {key}: runtime keys change no result")
    if reason := NOT_SEARCHED.get(key):
        raise ConfigError(f"--space: {key}: {reason}")
    if key in EXCLUDED or key in HASHES or key in HASHES.values():
        raise ConfigError(f"--space: {key}: files are not searched")
    known = configuration.keys()
    if key not in known:
        raise ConfigError(f"--space: {key}: unknown key{_close(key, [*parameters, *known])}")


def _close(key: str, known: Sequence[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; write one of {', '.join(known[:3])}, ..."


def _taken(one: Range, base: RunConfig) -> Range:
    """A range of a key with its values as the configuration has them. Raises ConfigError for one that it refuses."""
    values = []
    for value in one.values if one.step is None else _some(one.values):
        try:  # of any number of nodes there is such a graph
            config = base.override({one.key: value, "graph.generator": "er:p=0.5"})
        except ConfigError as error:
            raise ConfigError(f"--space: {error}") from None
        values.append(_value_of(config, one.key))
    return one if one.step is not None else Range.of(one.key, values)


def _value_of(config: RunConfig, key: str) -> Any:
    """The value of a dotted key, as JSON has it."""
    section, _, name = key.partition(".")
    return getattr(config, section).model_dump(mode="json")[name]


def _some(values: Sequence[Any]) -> Sequence[Any]:
    """All values, or of very many the first, the second and the last."""
    return values if len(values) <= MAX_CHECKED else (*values[:2], values[-1])
