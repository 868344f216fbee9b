"""What a search recommends, and by what: its settings with the means seen and those to expect."""

from __future__ import annotations

from randwire.pages.text import many
from randwire.report.facts.study import Section
from randwire.statistics.smooth import MIN_FITTED
from randwire.study.axes import UNORDERED
from randwire.study.tried import SEARCHES
from randwire.study.winners import Ranked

SHOWN = 10
"""Settings that are told, best first."""
NOTE = (
    "The highest of many means was lucky. What is expected takes that off: {how}. It is no result yet: confirm the "
    "best on fresh seeds (--confirm)."
)
SMOOTH = (
    "it is the mean of a Gaussian process over the parameters of each generator, to which settings with parameters "
    "near its own contribute, in the measure in which near ones are alike"
)
SHRUNKEN = "means are drawn towards that of all settings, the further the larger their noise is beside their spread"


def recommended(section: Section) -> list[Ranked]:
    """The best settings of a search, best first; none of any other study, and below two that have finished."""
    ranked = section.ranking
    if (section.design or {}).get("search") not in SEARCHES or section.group.origin != "search" or len(ranked) < 2:
        return []
    return ranked[:SHOWN]


def sentences(section: Section) -> list[str]:
    """Which setting is recommended, what is expected of it, and of that of the highest mean where it is another."""
    shown = recommended(section)
    if not shown:
        return []
    first, highest = shown[0], max(section.ranking, key=lambda one: one.mean)
    seen = f"{many(len(section.ranking), 'setting')} that have finished"
    if not first.smooth:
        expected = "" if first.fitted is None else f", of which {first.fitted:.2f}% are to be expected"
        return [
            f"Of {seen}, {first.setting} has the highest mean, {first.mean:.2f}% (n = {first.n}){expected}.",
            _unfitted(section),
        ]
    lines = [
        f"Of {seen}, {first.setting} is recommended by a smooth fit: {first.fitted:.2f}% are to be expected, and its "
        f"mean was {first.mean:.2f}% (n = {first.n})."
    ]
    if highest is not first and highest.fitted is not None:
        lines.append(
            f"The highest mean was that of {highest.setting}, {highest.mean:.2f}% (n = {highest.n}), of which "
            f"{highest.fitted:.2f}% are to be expected."
        )
    return lines


def note(section: Section) -> str:
    """What the expected means are; empty where there are none."""
    shown = recommended(section)
    if not shown or all(one.fitted is None for one in shown):
        return ""
    images = " All means are on the images held out of training." if section.group.holdout else ""
    return NOTE.format(how=SMOOTH if any(one.smooth for one in shown) else SHRUNKEN) + images


def _unfitted(section: Section) -> str:
    """Why no smooth fit recommends."""
    keys = {str(text).partition("=")[0] for text in (section.design or {}).get("space") or ()}
    if not keys.isdisjoint(UNORDERED):
        return "Seeds were searched, and these have no order that a smooth fit could follow."
    if len(section.ranking) < MIN_FITTED:
        return f"A smooth fit over the parameters needs {MIN_FITTED} settings."
    return "No smooth fit over the parameters explains these means better than none, so they recommend alone."
