"""What a sweep shows while it runs: a bar where stderr is a terminal, a line for each ended trial where it is not."""

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tqdm import tqdm

from randwire.config import RunConfig
from randwire.metrics import VAL_TOP1
from randwire.records import Row
from randwire.stdio import is_screen


def note(line: str) -> None:
    """A line on stderr, beside any bar."""
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()


class Progress:
    """`epochs`: the epochs that are left, over all trials. `label` names the setting of a trial."""

    def __init__(self, epochs: int, label: Callable[[RunConfig], str]) -> None:
        self.label = label
        self.bar = tqdm(total=epochs, unit="epoch", disable=not is_screen(sys.stderr), leave=False, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def setting(self, label: str) -> None:
        note(f"{label}: started")

    def epoch(self, config: RunConfig, row: Row) -> None:
        self.bar.set_description(f"{self._name(config)} epoch {row['epoch']}/{config.train.epochs}", refresh=False)
        self.bar.update(1)

    def ended(self, config: RunConfig, summary: Row) -> None:
        top1, seconds = summary.get(VAL_TOP1.key), summary.get("seconds")
        shown = f"{top1:.2f}%" if isinstance(top1, int | float) else "-"
        took = f", {seconds:.0f} s" if isinstance(seconds, int | float) else ""
        cause = f" ({summary['cause']})" if summary.get("cause") else ""
        counts = f"top-1 {shown}, {summary.get('epochs')} epochs{took}"
        note(f"{self._name(config)}: {summary['status']}, {counts}{cause}")

    def lost(self, label: str, cause: str) -> None:
        note(f"{label}: {cause}; goes on from its last checkpoint")

    def error(self, label: str, cause: str) -> None:
        note(f"{label}: could not be run: {cause}")

    def _name(self, config: RunConfig) -> str:
        graph = "" if config.network.reference else f" g{config.graph.seed}"
        return f"{self.label(config)}{graph} t{config.train.seed}"
