"""The truth: expected top-1 over the whole search space, through the paper's Figure 4."""

import functools
import math
from collections.abc import Mapping

from scipy.interpolate import PchipInterpolator

from randwire import graphs
from randwire.study import space
from randwire.study.search_space import SearchSpace

FIGURE_4: Mapping[tuple[str, *tuple[float, ...]], Mapping[float, tuple[float, float | None]]] = {
    ("er",): {0.2: (73.36, 0.13), 0.4: (72.83, 0.25), 0.6: (72.74, 0.15), 0.8: (72.57, 0.44)},
    ("ba",): {1: (70.74, 0.15), 2: (72.62, 0.36), 3: (72.93, 0.15), 5: (73.24, 0.10), 7: (73.13, 0.15)},
    ("ws", 2): {0: (0.0, None), 0.25: (72.8, 0.83), 0.5: (73.1, 0.30), 0.75: (72.5, 0.52), 1: (72.1, 0.29)},
    ("ws", 4): {0: (68.8, None), 0.25: (72.6, 0.40), 0.5: (73.4, 0.35), 0.75: (73.76, 0.29), 1: (73.0, 0.18)},
    ("ws", 6): {0: (70.9, 0.21), 0.25: (72.7, 0.36), 0.5: (73.2, 0.37), 0.75: (73.2, 0.12), 1: (73.2, 0.12)},
    ("ws", 8): {0: (71.9, 0.12), 0.25: (72.6, 0.21), 0.5: (73.0, 0.20), 0.75: (72.9, 0.23), 1: (73.1, 0.26)},
}
"""Mean and standard deviation of ImageNet top-1 by the last parameter; a curve is named by what comes before it.

The means are printed in the figure, to one decimal: certain. A second decimal, and all standard deviations, were read
off its bars: about +-0.02. Two bars have no error bar; they have no graph randomness either.
"""
RUN_STD = 0.15
"""Between trainings of one graph: WS(6,0) and WS(8,0), which have one graph, show 0.21 and 0.12."""
GENERATORS = ("er", "ba", "ws")


def settings() -> list[str]:
    """All settings of the search space."""
    return [setting.spec for setting in SearchSpace(GENERATORS, {}).every()]


def mirror(spec: str) -> str:
    """The setting at the other end of every parameter's domain."""
    generator = graphs.parse(spec)
    values = generator.params().items()
    domains = generator.domains
    return space.spec(
        generator.name(), {key: round(domains[key].low + domains[key].high - value, 10) for key, value in values}
    )


@functools.cache
def truth(spec: str) -> tuple[float, float]:
    """Expected top-1 of a setting, and its standard deviation between graphs.

    Between the settings of Figure 4 by monotone cubics, which go through them and add no optimum; beyond, constant.
    """
    generator = graphs.parse(spec)
    *fixed, x = generator.params().values()
    points = FIGURE_4[(generator.name(), *fixed)]
    mean = _between({x: mean for x, (mean, _) in points.items()}, x)
    total = _between({x: std for x, (_, std) in points.items() if std is not None}, x)
    return mean, 0.0 if generator.deterministic else math.sqrt(max(0.0, total**2 - RUN_STD**2))


def _between(points: Mapping[float, float], x: float) -> float:
    xs = sorted(points)
    return float(PchipInterpolator(xs, [points[x] for x in xs])(min(max(x, xs[0]), xs[-1])))


@functools.cache
def best() -> float:
    """The highest truth of the space."""
    return max(truth(spec)[0] for spec in settings())
