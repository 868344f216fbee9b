"""What a sweep shows while it runs: a bar where stderr is a terminal, a line for each ended trial where it is not."""

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm

from randwire import graphs
from randwire.config import RunConfig
from randwire.records import Row


class Progress:
    """`epochs`: the epochs that are left, over all trials."""

    def __init__(self, epochs: int) -> None:
        self.bar = tqdm(total=epochs, unit="epoch", disable=not sys.stderr.isatty(), leave=False, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def note(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()

    def setting(self, spec: str) -> None:
        self.note(f"{graphs.parse(spec).label}: started")

    def epoch(self, config: RunConfig, row: Row) -> None:
        self.bar.set_description(f"{_name(config)} epoch {row['epoch']}/{config.train.epochs}", refresh=False)
        self.bar.update(1)

    def ended(self, config: RunConfig, summary: Row) -> None:
        top1 = summary["val_top1"]
        shown = "-" if top1 is None else f"{top1:.2f}%"
        cause = f" ({summary['cause']})" if summary["cause"] else ""
        counts = f"top-1 {shown}, {summary['epochs']} epochs, {summary['seconds']:.0f} s"
        self.note(f"{_name(config)}: {summary['status']}, {counts}{cause}")

    def error(self, spec: str, cause: str) -> None:
        self.note(f"{graphs.parse(spec).label}: could not be run: {cause}")


def _name(config: RunConfig) -> str:
    return f"{config.label} g{config.graph.seed} t{config.train.seed}"
