"""The actor between drivers and workers. Its process starts fast: nothing heavy is imported here."""

import asyncio

from randwire.records import Row

PRUNER_NAME = "randwire-pruner"
SETTING_ENDED, USER_ERROR = "setting_ended", "user_error"
"""Keys of the rows that are not an epoch's: the number of a setting that has ended, and what its user must mend."""


class Channel:
    """An actor between a driver, its worker group and Train's controller: settings go one way, rows the other.

    Ray's own TuneReportCallback puts rows into a queue that Tune's thread empties into another one, of length one,
    where the end of the driver's function is announced too: if both come at once, they wait for each other for ever.
    """

    def __init__(self) -> None:
        self.rows: asyncio.Queue[Row] = asyncio.Queue()
        self.settings: list[str | None] = []
        self.sent = asyncio.Condition()

    async def send_setting(self, setting: str | None) -> None:
        """The next setting to train; None: there is no more."""
        async with self.sent:
            self.settings.append(setting)
            self.sent.notify_all()

    async def receive_setting(self, number: int) -> str | None:
        """The setting of that number, as soon as it is sent."""
        async with self.sent:
            await self.sent.wait_for(lambda: len(self.settings) > number)
        return self.settings[number]

    async def send_row(self, row: Row) -> None:
        self.rows.put_nowait(row)

    async def receive_row(self, timeout_s: float) -> Row | None:
        """The next row, or None if there is none in that time."""
        try:
            return await asyncio.wait_for(self.rows.get(), timeout_s)
        except TimeoutError:
            return None
