"""Ray actors beside drivers and workers. Their processes start fast: nothing heavy is imported here."""

import asyncio

from randwire.records import Row

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
