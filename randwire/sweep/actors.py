"""Ray actors beside drivers and workers. Their processes start fast: nothing heavy is imported here."""

import asyncio
from collections.abc import Mapping

from randwire.metrics import VAL_TOP1
from randwire.records import Row
from randwire.study.design import FIRST_RUNG, KEPT

PRUNER = "randwire-pruner"
ENDED, MISTAKE = "ended", "mistake"
"""Keys of the rows that are not an epoch's: the number of a setting that has ended, and what its user must mend."""


class Desk:
    """An actor between a driver, its worker group and Train's controller: settings go one way, rows the other.

    Ray's own TuneReportCallback puts rows into a queue that Tune's thread empties into another one, of one place, where
    the end of the driver's function is announced too: if both come at once, they wait for each other for ever.
    """

    def __init__(self) -> None:
        self.rows: asyncio.Queue[Row] = asyncio.Queue()
        self.settings: list[str | None] = []
        self.given = asyncio.Condition()

    async def give(self, setting: str | None) -> None:
        """The next setting to train; None: there is no more."""
        async with self.given:
            self.settings.append(setting)
            self.given.notify_all()

    async def setting(self, number: int) -> str | None:
        """The setting of that number, as soon as it is given."""
        async with self.given:
            await self.given.wait_for(lambda: len(self.settings) > number)
        return self.settings[number]

    async def add(self, row: Row) -> None:
        self.rows.put_nowait(row)

    async def row(self, seconds: float) -> Row | None:
        """The next row, or None if there is none in that time."""
        try:
            return await asyncio.wait_for(self.rows.get(), seconds)
        except TimeoutError:
            return None


class Pruner:
    """An actor that decides which trials stop early: successive halving over final top-1, on trials of equal budget.

    Told the rows of the trials that ended in earlier sweeps, so that a continued sweep decides as an uninterrupted one.
    """

    def __init__(self, history: Mapping[str, list[Row]]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=KEPT)
        self.study = optuna.create_study(direction="maximize", pruner=pruner)
        self.trials: dict[str, optuna.Trial] = {}
        self.seen: dict[tuple[str, int], bool] = {}
        for digest, rows in history.items():
            for row in rows:
                self.should_stop(digest, row["epoch"], row[VAL_TOP1.key])

    def should_stop(self, digest: str, epoch: int, top1: float) -> bool:
        """Whether the trial should stop after this epoch. Asked again, it answers the same."""
        if (digest, epoch) not in self.seen:
            if digest not in self.trials:
                self.trials[digest] = self.study.ask()
            trial = self.trials[digest]
            trial.report(top1, epoch)
            self.seen[digest, epoch] = trial.should_prune()
        return self.seen[digest, epoch]
