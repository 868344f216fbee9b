"""The picture of regrets."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.search.cases import DEFAULT_SEEDS, SEARCHES, SEEDS, Result, interval
from benchmarks.search.simulation import Case

COLOURS = {"random": "#0072b2", "tpe": "#d55e00"}
STOPPED_COLOURS = {0.5: "#b0508f", 0.7: "#3d8fc4", 0.9: "#007a5a"}


def draw(results: Sequence[Result], repetitions: int, trials: int) -> Figure:
    """Regret against trainings, at the end by seeds, and with early stopping."""
    by_case = {result.case: result for result in results}
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    cost = np.arange(1, trials + 1)
    for search, side in zip(SEARCHES, (-0.08, 0.08), strict=True):
        low, median, high = by_case[Case(search, DEFAULT_SEEDS)].quartiles()
        left.step(cost, median, where="post", color=COLOURS[search], linewidth=2, label=f"{search}, median")
        for row in (low, high):
            left.step(cost, row, ":", where="post", color=COLOURS[search])
        ends = np.array([interval(by_case[Case(search, seeds)].ends) for seeds in SEEDS])
        middle.errorbar(
            np.arange(len(SEEDS)) + side,
            ends[:, 0],
            np.abs(ends[:, 1:] - ends[:, :1]).T,
            fmt="o",
            color=COLOURS[search],
            capsize=4,
            label=f"{search}, mean and 95 % interval",
        )
    left.plot([], [], ":", color="grey", label="quartiles")
    right.step(cost, by_case[Case("random", 1)].quartiles()[1], where="post", color="#1f2937", label="without")
    for result in results:
        correlation = result.case.correlation
        if correlation is not None and result.case.seeds == 1:
            label = f"rank correlation {correlation}"
            right.step(cost, result.quartiles()[1], where="post", color=STOPPED_COLOURS[correlation], label=label)
    left.set_title(f"TPE or random? ({DEFAULT_SEEDS} seeds a setting)")
    middle.set_title(f"More settings or more seeds? ({trials} trainings)")
    right.set_title("Early stopping? (random, 1 seed, median)")
    middle.set_xticks(range(len(SEEDS)), [f"{trials // seeds} x {seeds}" for seeds in SEEDS])
    middle.set_xlabel("settings x seeds")
    left.set_ylabel("regret, points of top-1")
    for axes in (left, right):
        axes.set_xlabel("cost in trainings")
        axes.set_xlim(0, trials)
        axes.set_ylim(0, 1.05)
    middle.set_ylim(0, 1.2 * middle.get_ylim()[1])
    for axes in (left, middle, right):
        axes.grid(color="#e3e7ed")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left" if axes is middle else "upper right")
        axes.title.set_fontsize(11)
    figure.suptitle(f"Simulated studies on a landscape through Figure 4: n = {repetitions}, start without hints")
    return figure
