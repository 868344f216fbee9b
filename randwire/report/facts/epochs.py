"""Numbers of trials by epoch, and how early epochs compare with the last."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from randwire.metrics import VAL_TOP1
from randwire.report.facts.correlations import correlate, networks
from randwire.statistics.correlation import Correlation
from randwire.study.groups import TrialGroup
from randwire.study.pruner import FIRST_RUNG_EPOCHS, REDUCTION_FACTOR
from randwire.study.results import Trial, number


def by_epoch(trials: Sequence[Trial], key: str) -> tuple[list[int], npt.NDArray[np.float64]]:
    """The epochs that any of the trials has, and a number of each trial (row) after each epoch (column), or nan."""
    epochs = sorted({row["epoch"] for trial in trials for row in trial.rows})
    column = {epoch: k for k, epoch in enumerate(epochs)}
    values = np.full((len(trials), len(epochs)), np.nan)
    for k, trial in enumerate(trials):
        if trial.rows:
            values[k, [column[row["epoch"]] for row in trial.rows]] = [number(row, key) for row in trial.rows]
    return epochs, values


class EarlyEpochs:
    """Top-1 of every network after each epoch that all of them have, and which settings they are of.

    Of the images that choose, the final one too: successive halving sees no others.
    """

    def __init__(self, budget: TrialGroup) -> None:
        found = networks(budget, trainings=True)
        self.settings = [network.setting for network in found]
        self.final = [network.mean(lambda trial: trial.chosen_by) for network in found]
        self.top1: dict[int, list[float]] = {}
        if not found:
            return
        runs = [same for network in found for same in network.trials]
        epochs, scores = by_epoch([trial for same in runs for trial in same], VAL_TOP1.key)
        means = _means(_means(scores, [len(same) for same in runs]), [len(network.trials) for network in found])
        for epoch, column in zip(epochs, means.T, strict=True):
            if not np.isnan(column).any():
                self.top1[epoch] = column.tolist()
        self.top1.pop(budget.typical.config.train.epochs, None)  # the final one itself

    @property
    def rungs(self) -> list[int]:
        """The epochs after which successive halving decides."""
        rungs, rung = [], FIRST_RUNG_EPOCHS
        while rung <= max(self.top1, default=0):
            if rung in self.top1:
                rungs.append(rung)
            rung *= REDUCTION_FACTOR
        return rungs

    def correlation(self, epoch: int, within: bool) -> Correlation:
        """The rank correlation of top-1 after an epoch with the final one, between settings or within them."""
        return correlate(list(zip(self.settings, self.top1[epoch], self.final, strict=True)), within)


def _means(values: npt.NDArray[np.float64], sizes: Sequence[int]) -> npt.NDArray[np.float64]:
    """The mean of each group of successive rows."""
    starts = np.cumsum([0, *sizes])[:-1]
    return np.asarray(np.add.reduceat(values, starts) / np.array(sizes)[:, None])
