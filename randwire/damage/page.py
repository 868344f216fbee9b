"""The report of graph damage: one HTML page that needs nothing but itself, made from damage.jsonl alone."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from randwire.damage.figure import draw
from randwire.damage.removal import Kind
from randwire.damage.results import KINDS, Drop, Protocol, Result, count_parts, read, sections_of, select
from randwire.errors import RecordError
from randwire.pages.html import dot, table
from randwire.pages.writer import write_page
from randwire.statistics.describe import describe, group

HEADER = """<header><h1>Graph damage</h1>
<p class="lead">What trained networks lose with one node or one edge of one of their graphs, without further training
(Xie et al. 2019, Figure 5).</p></header>
<noscript>The figures of this page need JavaScript; its tables do not.</noscript>"""
FOOTER = """<footer>A drop is in percentage points of top-1 below the whole network. With recalibration, the statistics
of batch norm are computed anew from training images, for the damaged network and for the whole one that it is compared
with. n counts what was removed. std is the sample standard deviation, over networks in the first table and over what
was removed in the others. Damages of one network are not independent of each other: how sure one can be of a generator
depends on the number of networks. Rank correlations are
Spearman's, of the drop with the degree, with the statistics as trained.</footer>"""


def write_report(folder: Path | str) -> Path:
    """Write report.html of the results in `folder` and return its path.

    Networks of different sizes, or judged by different images, get a section each. Raises RecordError if there is no
    damaged network among the results.
    """
    sections = sections_of(read(Path(folder)))
    if not sections:
        raise RecordError(f"{folder}: holds no results of damaged networks to report on; `run` measures them")
    figures = {f"figure-{number}": draw(drops) for number, (*_, drops) in enumerate(sections, 1)}
    body = [HEADER, *(_section(*section, name) for section, name in zip(sections, figures, strict=True)), FOOTER]
    return write_page(Path(folder) / "report.html", "randwire: graph damage", body, figures)


def _section(protocol: Protocol, results: Sequence[Result], drops: Sequence[Drop], name: str) -> str:
    return (
        f'<section><p class="lead">{escape(str(protocol))}.</p><div class="panel scroll chart">'
        '<p class="note">Points: single damaged networks; boxes: quartiles and median; whiskers: at most 1.5 quartile '
        f"ranges; diamonds: means. One image is {100 / protocol.images:.2g} points.</p>"
        f'<div class="figure wide" id="{name}" role="img" aria-label="Drop in top-1 against degree"></div></div>'
        f'<h3 class="above">By generator, over networks</h3>{_generators(drops)}'
        f'<h3 class="above">By degree</h3>{_degrees(drops)}<h3 class="above">By network</h3>{_networks(results, drops)}'
        "</section>"
    )


def _generators(drops: Sequence[Drop]) -> str:
    """The mean drop of each network, described over networks: the damages of one are no independent sample."""
    lines = []
    for kind, generator, selected in _cases(drops):
        networks = group(selected, lambda drop: drop.result.subject.network)
        cells = [kind, _marked(generator), str(len(networks)), str(count_parts(selected))]
        for recalibrated in (False, True):
            each = [[drop.points for drop in select(same, recalibrated=recalibrated)] for same in networks.values()]
            cells += _spread([describe(points).mean for points in each if points])
        lines.append(cells)
    return _table(("removed", "generator", "networks", *DROP_HEADS), lines)


def _degrees(drops: Sequence[Drop]) -> str:
    lines = [
        [kind, _marked(generator), str(degree), *_cells(select(selected, degree=degree))]
        for kind, generator, selected in _cases(drops)
        for degree in sorted({drop.degree for drop in selected})
    ]
    return _table(("removed", "generator", "degree", *DROP_HEADS), lines)


def _networks(results: Sequence[Result], drops: Sequence[Drop]) -> str:
    lines: list[list[str]] = []
    by_setting = sorted(results, key=lambda result: result.subject.setting)
    for network, mine in group(by_setting, lambda result: result.subject.network).items():
        subject = mine[0].subject
        whole = {bool(result.recalibrate): result.top1 for result in mine if not result.damage}
        tops = [f"{whole[recalibrated]:.2f}" if recalibrated in whole else "-" for recalibrated in (False, True)]
        name = f"{dot(subject.generator)}{escape(subject.setting)}"
        record = f"<code>{escape(Path(subject.record).name)}</code>"
        by_kind = [(kind, select(drops, network=network, kind=kind)) for kind in KINDS]
        lines += [[name, record, " / ".join(tops), kind, *_cells(some)] for kind, some in by_kind if some]
    return _table(("network", "record", "whole (%) / recalibrated", "removed", *DROP_HEADS), lines)


DROP_HEADS = ("n", "mean drop ± std", "largest", "recalibrated ± std", "largest")


def _cases(drops: Sequence[Drop]) -> list[tuple[Kind, str, list[Drop]]]:
    """The drops by what was removed and by generator, where there are any."""
    generators = sorted({drop.result.subject.generator for drop in drops})
    cases = [(kind, name, select(drops, kind=kind, generator=name)) for kind in KINDS for name in generators]
    return [case for case in cases if case[2]]


def _marked(generator: str) -> str:
    return dot(generator) + escape(generator.upper())


def _cells(drops: Sequence[Drop]) -> list[str]:
    both = ([drop.points for drop in select(drops, recalibrated=recalibrated)] for recalibrated in (False, True))
    return [str(count_parts(drops)), *(cell for points in both for cell in _spread(points))]


def _spread(points: Sequence[float]) -> list[str]:
    """Mean with standard deviation, and the largest."""
    if not points:
        return ["-", "-"]
    description = describe(points)
    std = "" if description.std is None else f" ± {description.std:.2f}"
    mean, largest = (round(value, 2) + 0.0 for value in (description.mean, description.maximum))  # no negative zero
    return [f"{mean:.2f}{std}", f"{largest:.2f}"]


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return f'<div class="panel scroll">{table(heads, lines, text=("generator", "record", "removed"))}</div>'
