"""The actor between drivers and workers. Its process starts fast: nothing heavy is imported here."""

import asyncio

from randwire.records import Row

PRUNER_NAME = "randwire-pruner"
CHANNEL_NAME = "randwire-channel-"
"""Begins the names of channels."""
SETTING_ENDED, USER_ERROR, SAVED, TOLD = "setting_ended", "user_error", "saved", "told"
"""Keys of the rows that are not an epoch's: the number of a setting that has ended, what its user must mend, the step
of a checkpoint in the middle of an epoch, and what the user should know."""
Step = tuple[int, int, int]
"""How far a training is: epoch and step, both from 1, and the steps of an epoch."""


class Channel:
    """An actor between a driver, its worker group and Train's controller: settings go one way, rows the other.

    Ray's own TuneReportCallback puts rows into a queue that Tune's thread empties into another one, of length one,
    where the end of the driver's function is announced too: if both come at once, they wait for each other for ever.
    """

    def __init__(self) -> None:
        self.rows: asyncio.Queue[Row] = asyncio.Queue()
        self.settings: list[str | None] = []
        self.sent = asyncio.Condition()
        self.steps: dict[str, Step] = {}

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

    async def send_step(self, digest: str, step: Step) -> None:
        """How far the training of that digest is; nobody waits for it."""
        self.steps = {digest: step}

    async def receive_steps(self) -> dict[str, Step]:
        """How far the training is that sent last, by its digest."""
        return self.steps
