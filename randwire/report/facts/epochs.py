"""Numbers of trials by epoch, and how early epochs compare with the last."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from randwire.metrics import VAL_TOP1
from randwire.report.facts.correlations import Correlation, correlate
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
    """Top-1 of every replicate after each epoch that all of them have, and which settings they are of.

    Of the images that choose, the final one too: successive halving sees no others.
    """

    def __init__(self, budget: TrialGroup) -> None:
        self.settings = [name for name, values in budget.values.items() for _ in values]
        self.final = [value for values in budget.choosing.values() for value in values]
        runs = [same for replicates in budget.replicates.values() for same in replicates]
        epochs, scores = by_epoch([trial for same in runs for trial in same], VAL_TOP1.key)
        starts = np.cumsum([0, *map(len, runs)])[:-1]
        means = np.add.reduceat(scores, starts) / [[len(same)] for same in runs]
        self.top1: dict[int, list[float]] = {
            epoch: column.tolist() for epoch, column in zip(epochs, means.T, strict=True) if not np.isnan(column).any()
        }
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
        """The rank correlation of top-1 after an epoch with the final one, over all networks or within settings."""
        return correlate(self.settings, self.top1[epoch], self.final, within)
