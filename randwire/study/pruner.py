"""Early stopping: which trials go on, by successive halving. No Ray here; a sweep makes an actor of the pruner."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from randwire.metrics import VAL_TOP1
from randwire.records import Row

if TYPE_CHECKING:
    pass

FIRST_RUNG_EPOCHS, REDUCTION_FACTOR = 2, 3
"""After epoch FIRST_RUNG_EPOCHS, and each time after REDUCTION_FACTOR times as many, the best 1/REDUCTION_FACTOR of the
trials go on."""


class Pruner:
    """Decides which trials stop early, by successive halving over final top-1, on trials of equal budget.

    `history` are the rows of the trials that ended in earlier sweeps, by digest: so a continued sweep decides as an
    uninterrupted one.
    """

    def __init__(self, history: Mapping[str, list[Row]]) -> None:
        import optuna  # here: the processes of actors start faster without it

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=FIRST_RUNG_EPOCHS, reduction_factor=REDUCTION_FACTOR
        )
        self.study = optuna.create_study(direction="maximize", pruner=pruner)
        self.trials: dict[str, optuna.Trial] = {}
        self.answers: dict[tuple[str, int], bool] = {}
        for digest, rows in history.items():
            for row in rows:
                self.should_stop(digest, row["epoch"], row[VAL_TOP1.key])

    def should_stop(self, digest: str, epoch: int, top1: float) -> bool:
        """Whether the trial should stop after this epoch. Asked again, it answers the same."""
        if (digest, epoch) not in self.answers:
            if digest not in self.trials:
                self.trials[digest] = self.study.ask()
            trial = self.trials[digest]
            trial.report(top1, epoch)
            self.answers[digest, epoch] = trial.should_prune()
        return self.answers[digest, epoch]
