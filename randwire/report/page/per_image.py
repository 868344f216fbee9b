"""Uncertainty by graphs and by images, disagreement of networks, and what the networks of a setting do together."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from randwire.pages.html import dot, panel, table, without_dashes
from randwire.pages.text import interval_text
from randwire.report.facts.per_image import ImageFacts, Uncertain, image_facts
from randwire.report.facts.study import Section
from randwire.statistics.intervals import LEVEL

TITLE = "Graphs and images"
ERRORS = ("std error, graphs", "std error, images", f"{LEVEL:.0%} interval, graphs", "graphs and images")
DISAGREEMENT = "disagreement (%)"
UNCERTAIN = (
    "n is the number of graphs, or of trainings where a setting has one graph. The standard error over images is that "
    "of these networks."
)
ALONE = " Each interval is for its row alone: the best of many has been lucky, too."
DIFFERENCES = (
    "Images that are hard for both cancel in a difference. Disagreement: images that a network of the one gets right "
    "and one of the other wrong, or the reverse."
)
TOGETHER = (
    "Disagreement is that of two networks of different graphs (of two trainings, where a setting has one graph), the "
    "mean over all pairs."
)
UNCORRECTED = " Each interval is for its row alone, without a correction: the tests above are what separates."
VOTE = (
    " A plurality vote of all networks is right on at least the images that more than half of them get right, and on "
    "none that no network gets right."
)


def per_image(section: Section) -> str:
    """The panel of a section; empty where no record says which images were right."""
    facts = image_facts(section)
    if facts is None:
        return ""
    text = f"<p>{escape(' '.join(facts.sentences))}</p>"
    return panel(TITLE, text + _means(section, facts) + _differences(facts) + _together(section, facts))


def _means(section: Section, facts: ImageFacts) -> str:
    rows = [[_name(section, name, facts), str(mean.n[0]), *_cells(mean)] for name, mean in facts.means.items()]
    note = UNCERTAIN + ALONE * any(mean.by_graphs or mean.by_both for mean in facts.means.values())
    return _note(note) + _table([f"mean of a {facts.noun}", "n", "top-1 (%)", *ERRORS], rows)


def _differences(facts: ImageFacts) -> str:
    rows = [
        [
            escape(" over ".join(names)),
            " and ".join(map(str, dict.fromkeys(difference.n))),
            *_cells(difference),
            _percent(difference.disagreement),
        ]
        for names, difference in facts.differences.items()
    ]
    heads = ["mean difference", "n", "points", *ERRORS, DISAGREEMENT]
    note = DIFFERENCES + UNCORRECTED * any(one.by_graphs or one.by_both for one in facts.differences.values())
    if facts.noun == "variant":
        return _part("Differences of variants, graph by graph", f"On graphs that both have. {note}", heads, rows)
    return _part("Differences of the best settings", note, heads, rows)


def _together(section: Section, facts: ImageFacts) -> str:
    rows = [
        [
            _name(section, name, facts),
            str(one.networks),
            _percent(facts.means[name].disagreement),
            f"{one.every:.2f}",
            f"{one.most:.2f}" if one.networks > 2 else "-",  # more than half of two are all
            f"{one.some:.2f}",
        ]
        for name, one in facts.together.items()
    ]
    heads = ["networks of a " + facts.noun, "networks", DISAGREEMENT, "all right (%)", "more than half right (%)"]
    note = TOGETHER + VOTE * any(one.networks > 2 for one in facts.together.values())
    return _part("Networks together", note, [*heads, "at least one right (%)"], rows)


def _cells(found: Uncertain) -> list[str]:
    return [
        f"{found.value:.2f}",
        "-" if found.graph_error is None else f"{found.graph_error:.2f}",
        f"{found.image_error:.2f}",
        interval_text(found.by_graphs),
        interval_text(found.by_both),
    ]


def _name(section: Section, name: str, facts: ImageFacts) -> str:
    of_variant = facts.noun == "variant"
    return dot(name if of_variant else section.group.generator(name), section.kinds.number(name)) + escape(name)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns that would be dashes alone."""
    return table(*without_dashes(heads, rows), kind="sortable")


def _part(title: str, note: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A further table of the panel with its heading; empty without rows."""
    return f'<h3 class="above">{title}</h3>{_note(note)}{_table(heads, rows)}' if rows else ""


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
