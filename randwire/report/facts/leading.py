"""What a report leads with, in words: the best setting of each generator, or the variants of a study; never a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from randwire.pages.style import title_of
from randwire.pages.text import interval_text, many
from randwire.report.facts.confirmed import confirmation_of
from randwire.report.facts.leaders import Leader, unfinished
from randwire.report.facts.paired import on_all_variants
from randwire.report.facts.study import Section
from randwire.statistics.describe import Description, describe
from randwire.statistics.intervals import LEVEL, t_interval
from randwire.study.confirmation import Confirmation
from randwire.study.results import mean

MAX_NAMED = 10
"""Settings that are left out, and are named."""


@dataclass(frozen=True)
class Row:
    """A setting or a variant that a report leads with."""

    name: str
    generator: str
    """Empty for a variant."""
    top1: Description
    """Over its graphs, or trainings of its one graph, as it is told."""
    chosen_by: float
    """Mean top-1 (%) on the images that choose."""
    cells: Sequence[str]


@dataclass(frozen=True)
class Leading:
    """The table that a report leads with, as text."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Row]
    note: str
    best: Row | None
    """Of the rows; None without any."""


def leading(section: Section) -> Leading:
    """The best setting of each generator, best first; of a study of variants all variants, in the order of its figure.

    There are no rows where no setting has finished, or no graph under all variants.
    """
    return _variants(section) if section.of_variants else _leaders(section)


def top1_head(section: Section) -> str:
    return f"mean {'test ' * bool(section.group.holdout)}top-1 (%)"


def loss_head(section: Section) -> str:
    return "test loss" if section.group.holdout else "validation loss"


def loss_text(losses: Sequence[float]) -> str:
    """Mean and standard deviation of losses; a dash without any."""
    if not losses:
        return "-"
    loss = describe(losses)
    return f"{loss.mean:.3f}" if loss.std is None else f"{loss.mean:.3f} ± {loss.std:.3f}"


def _leaders(section: Section) -> Leading:
    leaders, apart = section.leaders, bool(section.group.holdout)
    confirmation = confirmation_of(section.design)
    # Where nothing was chosen from, there is no luck of the best to take off.
    fitted = any(leader.ranked.fitted is not None for leader in leaders) and any(leader.of > 1 for leader in leaders)
    heads = ["generator", "best setting", "of", "n", top1_head(section), "std", f"{LEVEL:.0%} interval"]
    heads += ["fitted (%)"] * fitted + ["choosing (%)"] * apart + [loss_head(section)]
    heads += ["mean that chose (%)"] * (confirmation is not None)
    rows = [_leader(leader, fitted, apart, confirmation) for leader in leaders]
    note = _note(section, confirmation, fitted)
    return Leading("Best setting of each generator", heads, rows, note, rows[0] if rows else None)


def _leader(leader: Leader, fitted: bool, apart: bool, confirmation: Confirmation | None) -> Row:
    ranked, top1 = leader.ranked, describe(leader.values)
    cells = [
        title_of(leader.generator),
        leader.setting,
        many(leader.of, "setting"),
        str(top1.n),
        f"{top1.mean:.2f}",
        "-" if top1.std is None else f"{top1.std:.2f}",
        interval_text(t_interval(leader.values)),
    ]
    cells += ["-" if ranked.fitted is None else f"{ranked.fitted:.2f}"] * fitted
    cells += [f"{ranked.mean:.2f}"] * apart + [loss_text(leader.losses)]
    if confirmation is not None:
        then = next((winner for winner in confirmation.winners if winner.setting == ranked.spec), None)
        cells.append("-" if then is None else f"{then.top1:.2f} (n = {then.n})")
    return Row(leader.setting, leader.generator, top1, ranked.mean, cells)


def _note(section: Section, confirmation: Confirmation | None, fitted: bool) -> str:
    group, leaders = section.group, section.leaders
    where = " on the images that choose" * bool(group.holdout)
    lines = [f"Best: with the highest mean top-1{where} over its graphs."]
    smooth = any(leader.ranked.smooth for leader in leaders)
    if smooth:
        lines = [f"Best: with the highest fitted mean of top-1{where}."]
    if section.rounds:
        lines = ["Best: in the race longest, and of those with the highest mean top-1 over its graphs."]
    if confirmation is not None:
        lines.append(
            f"The settings were chosen by {confirmation.study}, which had {many(confirmation.settings, 'setting')}, "
            "by other graphs than these."
        )
    if any(leader.of > 1 for leader in leaders):
        lines.append("The best of several settings has been lucky, too: on fresh graphs it is expected to be lower.")
    by = "a smooth fit over all settings" if smooth else "the spread of all settings"
    lines += [f"Fitted: its true mean{where} as {by} lets it expect, without that luck."] * fitted
    lines += unfinished(group, section.ranking, section.design, MAX_NAMED)
    return " ".join(lines)


def _variants(section: Section) -> Leading:
    cells, apart = on_all_variants(section.group), bool(section.group.holdout)
    order = list(section.variants.cells) if section.variants else list(cells)
    heads = ["variant", "n", top1_head(section), "std", *["choosing (%)"] * apart, loss_head(section)]
    rows = []
    for name in order:
        graphs = list(cells.get(name, {}).values())
        if not graphs:
            continue
        top1 = describe([mean([trial.score for trial in same]) for same in graphs])
        chosen_by = mean([mean([trial.chosen_by for trial in same]) for same in graphs])
        losses = [[trial.loss for trial in same] for same in graphs]
        known = [[loss for loss in same if loss is not None] for same in losses]
        shown = [name, str(top1.n), f"{top1.mean:.2f}", "-" if top1.std is None else f"{top1.std:.2f}"]
        shown += [f"{chosen_by:.2f}"] * apart
        shown.append(loss_text([mean(same) for same in known] if known == losses else []))
        rows.append(Row(name, "", top1, chosen_by, shown))
    note = "No graph has been trained with all variants yet."
    if rows:
        specs = {same[0].config.label for same in next(iter(cells.values())).values()}
        same = ", told by their seeds," * (section.variants is None or not section.variants.same_graphs)
        note = (
            f"Over the {many(rows[0].top1.n, 'graph')} of {many(len(specs), 'setting')}{same} that every variant was "
            "trained on. The standard deviation is that between these graphs; differences between variants are told "
            "graph by graph."
        )
    best = max(rows, key=lambda row: row.chosen_by, default=None)
    return Leading("Top-1 by variant", heads, rows, note, best)
