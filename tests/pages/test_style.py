"""Colours and marks of generators."""

import pytest
from plotly.graph_objects import Scatter

from randwire import registry
from randwire.pages.style import COLOURS, PAPER_STYLES, SYMBOLS, style
from studies import baselines

PAPER = {"ba": ("#0072b2", "circle"), "er": ("#d55e00", "square"), "ws": ("#007a5a", "diamond")}
MORE = ("aa", "chain", "geometric", "hyperbolic", "kleinberg", "lattice", "regular", "tree", "zz")


def test_generators_keep_their_colours_and_marks_when_others_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    def styles(*names: str) -> dict[str, tuple[str, str]]:
        monkeypatch.setattr(registry, "names", lambda _: tuple(sorted(names)))
        return {name: style(name) for name in names}

    assert styles("ba", "er", "ws") == PAPER
    alone = {name: styles(*PAPER, name)[name] for name in MORE}
    assert styles(*PAPER, *MORE) == {**PAPER, **alone}
    assert len({*alone.values(), *PAPER.values()}) == len(alone) + len(PAPER), "all can be told apart"


def test_all_generators_can_be_told_apart() -> None:
    names = registry.names("randwire.graphs")
    assert len({style(name) for name in names}) == len(names)


@pytest.mark.parametrize("published", baselines.PUBLISHED.values(), ids=list(baselines.PUBLISHED))
def test_what_the_study_of_baselines_compares_differs_in_colour(published: tuple[str, ...]) -> None:
    names = [spec.partition(":")[0] for spec in (*baselines.WIRINGS, *baselines.PAPER)]
    assert len({style(name)[0] for name in (*names, *published)}) == len(names) + len(published)


def test_marks_of_others_are_none_of_the_papers_and_are_plotlys() -> None:
    colours, symbols = zip(*PAPER_STYLES.values(), strict=True)
    assert not {*colours} & {*COLOURS}
    assert not {*symbols, "x"} & {*SYMBOLS}
    for symbol in SYMBOLS:
        Scatter(marker={"symbol": symbol})  # raises ValueError for what it does not have


def test_saved_graphs_have_a_style_of_their_own() -> None:
    assert style("saved") == ("#1f2937", "x")
