"""Numbers, intervals and means as the words of a report."""

from collections.abc import Sequence

from randwire.statistics.describe import Description
from randwire.statistics.intervals import LEVEL, Interval


def many(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: `3, 5 and 10`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def first_of(words: Sequence[str], most: int) -> str:
    """The first words, and how many more there are: `BA(5), ER(0.2) and 3 more`."""
    more = f" and {len(words) - most} more" * (len(words) > most)
    return f"{', '.join(words[:most])}{more}"


def short(value: float) -> str:
    """A number in few characters: 0.125, 12.5, 43.2 k, 5.61 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / min(size, 1e3 if unit == ' k' else size):.4g}{unit}"
    return f"{value:.4g}"


def interval_text(interval: Interval | None, form: str = ".2f") -> str:
    """An interval in words; a dash if there is none."""
    return "-" if interval is None else f"{interval.low:{form}} to {interval.high:{form}}"


def p_text(value: float) -> str:
    """A p value in words."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def mean_text(name: str, values: Description, interval: Interval | None) -> str:
    """A mean with its deviation and, if there is one, its interval, for the text beside the pointer."""
    std = f"std {values.std:.2f}" if values.std is not None else "no std"
    told = f"<br>{LEVEL:.0%} interval {interval_text(interval)}" if interval else ""
    return f"{name}: mean {values.mean:.2f}%, {std}, n = {values.n}{told}"
