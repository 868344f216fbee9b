"""What a generator is: a frozen dataclass of its parameters that samples connected DAGs from a seed."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from randwire.dag import DAG

MAX_REDRAWS = 1_000


@dataclass(frozen=True)
class Domain:
    """The values a search may give one parameter: low, low + step, ..., up to high."""

    low: float
    high: float
    step: float

    def values(self) -> tuple[float, ...]:
        """All of them, ascending."""
        steps = int((self.high - self.low) / self.step + 1e-9)  # so much is rounding
        return tuple(round(self.low + index * self.step, 10) for index in range(steps + 1))

    @property
    def middle(self) -> float:
        """The value in the middle; the lower one of two."""
        values = self.values()
        return values[(len(values) - 1) // 2]


@dataclass(frozen=True)
class SampledGraph:
    """A connected DAG, and how many disconnected ones were drawn before it from the same stream."""

    dag: DAG
    redraws: int


@dataclass(frozen=True)
class Generator(ABC):
    """Contract of a generator. A subclass is a frozen dataclass whose fields are its parameters.

    A parameter that is added later has a default, and is left out of the spec where it stands at it: runs keep their
    names.
    """

    domains: ClassVar[Mapping[str, Domain]] = {}
    """Search domain of every parameter, in the order of the fields."""
    paper: ClassVar[tuple[tuple[float, ...], ...]] = ()
    """The parameter values of the paper's Figure 4, in its order, the paper's best first; () if it has none."""
    default: ClassVar[bool] = True
    """Whether studies have this generator unless they name others."""
    order: ClassVar[int] = 100
    """Position in the default study: ascending, and by name where it is the same; those of the paper come first."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise ValueError(f"{field.name} must be a finite number, not {value}")
            if field.type in (int, "int") and (isinstance(value, bool) or value != int(value)):
                raise ValueError(f"{field.name} must be a whole number, not {value}")
            object.__setattr__(self, field.name, int(value) if field.type in (int, "int") else float(value))

    @abstractmethod
    def check(self, nodes: int) -> None:
        """Raise ValueError, saying what to change, if no graph with `nodes` nodes exists for these parameters."""

    @abstractmethod
    def draw(self, nodes: int, stream: random.Random) -> Iterable[tuple[int, int]]:
        """One random undirected graph on nodes 0..nodes-1, numbered as the paper orders them (section 3.2)."""

    def sample(self, nodes: int, stream: random.Random) -> SampledGraph:
        """A connected DAG; disconnected draws are drawn again from the same stream.

        Raises ValueError for impossible parameters or if MAX_REDRAWS draws in a row are disconnected.
        """
        self.check(nodes)
        for redraws in range(MAX_REDRAWS + 1):
            dag = DAG.orient(nodes, self.draw(nodes, stream))
            if dag.connected:
                return SampledGraph(dag, redraws)
        raise ValueError(f"{self}: no connected graph of {nodes} nodes in {MAX_REDRAWS + 1} draws; raise its density")

    @property
    def deterministic(self) -> bool:
        """Whether every seed gives the same graph: then only training can tell two trials apart."""
        return False

    @classmethod
    def name(cls) -> str:
        """The name of the generator: the name of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def settings(cls) -> tuple[Self, ...]:
        """The settings of the paper, its best first; without any, one: the middle of each domain."""
        return tuple(cls(*values) for values in cls.paper or [[domain.middle for domain in cls.domains.values()]])

    def params(self) -> dict[str, float]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        """The spec, such as `ws:k=4,p=0.75`, or `chain` without parameters; `parse` reads it back."""
        defaults = {field.name: field.default for field in fields(self)}
        values = ",".join(f"{key}={_exact(value)}" for key, value in self.params().items() if value != defaults[key])
        return f"{self.name()}:{values}" if values else self.name()

    @property
    def label(self) -> str:
        """The paper's notation, such as `WS(4,0.75)`, or `CHAIN` without parameters; others have another one."""
        values = ",".join(map(_short, self.params().values()))
        return f"{self.name().upper()}({values})" if values else self.name().upper()


def _short(value: float) -> str:
    """Six digits, or all if there are more: settings are grouped and told apart by their labels."""
    return short if float(short := f"{value:g}") == value else _exact(value)


def _exact(value: float) -> str:
    return repr(value).removesuffix(".0")
