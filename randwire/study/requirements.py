"""What a trial must be to be trained: bounds on its size and on its graphs, checked before anything runs."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache

from randwire.config import RunConfig, RuntimeConfig, TrainConfig
from randwire.dag import Measures
from randwire.errors import ConfigError

MEASURES = tuple(field.name for field in fields(Measures))
QUANTITIES = ("params", "mult_adds", "activations", *MEASURES)

MIN_EXCESS = 1e-9
"""Of a quantity that is at a bound which it must not reach."""

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, order=True)
class Requirement:
    """A bound on one of QUANTITIES, such as `mult_adds<=600000000`."""

    name: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """The requirement of a text such as `mult_adds <= 600e6`. Raises ConfigError, in one line, for any other."""
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)([^<>=]+)", text)
        if match is None:
            raise ConfigError(f"--require: {text!r} is no bound; write NAME<=NUMBER, with <, <=, > or >=")
        name, sign, bound = match.groups()
        if name not in QUANTITIES:
            raise ConfigError(f"--require: unknown name {name!r}; known: {', '.join(QUANTITIES)}")
        try:
            number = float(bound)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ConfigError(f"--require: {text!r}: {bound.strip()!r} is no finite number")
        return cls(name, sign, number)

    @classmethod
    def all_of(cls, bounds: "Iterable[Requirement | str]") -> "tuple[Requirement, ...]":
        """Requirements and their texts as requirements, sorted, each once. Raises ConfigError as `parse` does."""
        return tuple(sorted({cls.parse(bound) if isinstance(bound, str) else bound for bound in bounds}))

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{repr(self.bound).removesuffix('.0')}"

    def met(self, values: Mapping[str, float]) -> bool:
        """Whether the quantities of a trial keep the bound; one that the trial does not have is not kept."""
        return self.name in values and _OPERATORS[self.sign](values[self.name], self.bound)

    def breach(self, values: Mapping[str, float]) -> str | None:
        """What a trial breaks, as a plan tells it; None if its quantities keep the bound."""
        if self.met(values):
            return None
        return str(self) if self.name in values else f"{self} (a published network has no graphs)"

    def excess(self, values: Mapping[str, float]) -> float:
        """How far the quantities of a trial are beyond the bound, as a share of it: above 0 where it is broken."""
        beyond = values[self.name] - self.bound
        share = (beyond if self.sign.startswith("<") else -beyond) / (abs(self.bound) or 1.0)
        return share if self.met(values) else max(share, MIN_EXCESS)


def quantities(config: RunConfig) -> Mapping[str, float]:
    """QUANTITIES of a run's network: parameters, multiply-adds, activations, and graph measures.

    Measures are means over the random stages, as in the report; a published network has none. Raises ConfigError if a
    stage admits no graph.
    """
    return _quantities(config.model_copy(update={"train": _TRAIN, "runtime": _RUNTIME}))


_TRAIN, _RUNTIME = TrainConfig(), RuntimeConfig()


@lru_cache(maxsize=2**16)
def _quantities(config: RunConfig) -> Mapping[str, float]:
    from randwire.wiring import count, sample_graphs  # here: most uses of a design need neither torch nor graphs

    samples = sample_graphs(config)
    counted = count(config, samples)
    dags = [sample.dag for sample in samples.values()]
    sizes = {"params": counted.params, "mult_adds": counted.mult_adds, "activations": counted.activations}
    if not samples:
        return sizes
    by_dag = {dag: dag.measures() for dag in set(dags)}  # stages share graphs
    measured = [by_dag[dag] for dag in dags]
    means = {name: math.fsum(getattr(one, name) for one in measured) / len(measured) for name in MEASURES}
    return {**sizes, **means}
