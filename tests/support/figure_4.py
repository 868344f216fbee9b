"""The paper's Figure 4 as made-up trainings: 29 settings whose means and standard deviations are exactly its own."""

from pathlib import Path
from typing import Any

import numpy as np
from report_helpers import add_trial, write_design

from benchmarks.search.landscape import FIGURE_4, RUN_STD
from randwire import graphs

LEADERS = ("WS(4,0.75)", "ER(0.2)", "BA(5)")
"""The best setting of each generator, best first."""
POOLED_WS = "68.94"
"""The mean of all 20 settings of WS, which is that of none: two chains without random edges pull it down."""
LOSS_PER_ERROR = 0.04
"""Made-up cross entropy for a point of error."""
PARAMETERS = {"er": ("p",), "ba": ("m",), "ws": ("k", "p")}


def figure_4(n: int = 5, seed: int = 0) -> dict[str, list[float]]:
    """Top-1 (%) of n >= 2 networks of each setting, by spec.

    Normal draws, shifted and scaled so that mean and sample standard deviation are those of the figure. WS(2,0) did not
    train: all its values are 0. WS(4,0), whose error bar is cut off, varies as trainings of one graph do.
    """
    random, found = np.random.default_rng(seed), {}
    for (name, *fixed), points in FIGURE_4.items():
        for x, (mean, std) in points.items():
            draws = random.normal(size=n)
            spread = (RUN_STD if std is None else std) if mean else 0.0
            values = mean + spread * (draws - draws.mean()) / draws.std(ddof=1)
            parameters = zip(PARAMETERS[name], (*fixed, x), strict=True)
            found[f"{name}:" + ",".join(f"{key}={value:g}" for key, value in parameters)] = values.tolist()
    return found


def add_figure_4(study: Path, n: int = 5, search: str = "grid", **more: Any) -> Path:
    """Records of the figure, n networks of each setting, and their design (`more` of it as in `write_design`).

    Settings without random graphs, WS(K,0), have trainings with seeds of their own, as in a study. The validation loss
    of a network is LOSS_PER_ERROR times its error, so that settings come in one order by both.
    """
    for spec, values in figure_4(n).items():
        one_graph = graphs.parse(spec).deterministic
        for seed, top1 in enumerate(values):
            add_trial(study, spec, seed, top1, loss=LOSS_PER_ERROR * (100 - top1), train__seed=seed if one_graph else 0)
    write_design(study, search, settings=len(figure_4(n)), seeds=list(range(n)), **more)
    return study
