"""The report of a study: one HTML page that needs nothing but itself, made from the records alone."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from randwire.records import Row
from randwire.report.facts import provenance, rates
from randwire.report.facts.epochs import Course
from randwire.report.facts.paired import paired as paired_variants
from randwire.report.page import comparison, correlations, sections, tables
from randwire.report.page.rates import check_text
from randwire.report.page.writer import write_page
from randwire.report.plots import (
    early_epochs,
    error_distributions,
    learning_curves,
    learning_rates,
    measures,
    pairs,
    parallel_coordinates,
    scores,
    variants,
)
from randwire.report.style import Figure
from randwire.report.text import many
from randwire.statistics.pairs import compare
from randwire.study.design import failures_of
from randwire.study.results import Broken, Group, Trial, design_of, groups, load
from randwire.study.setting import Setting
from randwire.tracking import runs

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of the study in `folder` to `output` (default: report.html in it) and return its path.

    Only finished trials enter statistics, and trials of different budgets never the same one. A study that is not
    complete, or has damaged records, gets a report that says so. Raises RecordError if the folder holds no record.
    """
    page = _page(folder)
    target = output or folder / "report.html"
    return write_page(target, f"randwire: {page.name}", page.parts, _rounded(page.figures))


def figures(folder: Path) -> "dict[str, PlotlyFigure]":
    """The figures of the report by title, as plotly's own objects: to show elsewhere, such as with `wandb.log`.

    What the page offers to select is a menu of the figure here. Raises RecordError if the folder holds no record.
    """
    from plotly.graph_objects import Figure as PlotlyFigure

    found: dict[str, PlotlyFigure] = {}
    for figure in _page(folder).figures.values():
        menu = [
            {"label": choice["label"], "method": "update", "args": [choice["data"], choice["layout"]]}
            for choice in figure.get("choices", [])
        ]
        menus = [{"buttons": menu, "x": 1, "y": 1, "xanchor": "right", "yanchor": "bottom"}] * (len(menu) > 1)
        title, same = figure["label"], 1
        while title in found:
            same += 1
            title = f"{figure['label']} ({same})"
        found[title] = PlotlyFigure(figure["data"], {**figure["layout"], "updatemenus": menus})
    return found


def _page(folder: Path) -> "_Page":
    trials, broken = load(folder)
    page = _Page(folder.resolve().name)
    page.write(design_of(folder), trials, broken, runs.of_study(folder), failures_of(folder))
    return page


def _rounded(value: Any) -> Any:
    """The value with numbers of seven digits: no eye sees more, and the page is half as large."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


class _Page:
    """The page while it is written: pieces of HTML, and the figures that its script draws into them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[str] = []
        self.figures: dict[str, Figure] = {}

    def write(
        self,
        study: Row | None,
        trials: Sequence[Trial],
        broken: Sequence[Broken],
        tracked: Mapping[str, str],
        failures: Mapping[Setting, tuple[float, str]],
    ) -> None:
        budgets = groups(trials, study)
        checks = [rates.check(budget) for budget in budgets]
        generated = datetime.now(UTC).isoformat(sep=" ", timespec="minutes")
        status = sections.counts(trials, broken)
        count = len(trials) + len(broken)
        self.parts += [
            f"<header><h1>{escape(self.name)}</h1>",
            f'<p class="lead">A study of randomly wired neural networks: {many(count, "trial")}, {status}.</p>',
            "</header>",
            "<noscript>The figures of this page need JavaScript; its tables do not.</noscript>",
            sections.cards(trials, broken),
            sections.warnings(study, budgets, checks, trials, broken, failures),
            provenance.provenance(study, trials, status, generated),
        ]
        inside = sum(budget.origin != "outside" for budget in budgets)
        for place, (budget, check) in enumerate(zip(budgets, checks, strict=True), 1):
            heading = "Results" if inside == 1 else f"Budget {place} of {inside}"
            if budget.origin == "outside":
                heading = "Outside the fixed grid"
            self.parts += [f"<section><h2>{heading}</h2>", sections.budget_text(budget, budgets)]
            self.group(budget, check)
            self.parts.append("</section>")
        if trials:
            self.parts += ["<h2>All trials</h2>", tables.trial_table(budgets, tracked)]
        self.parts += [
            tables.exclusions(trials, broken),
            "<footer>Top-1 is the accuracy on the validation data after the last epoch, not the best of all epochs. "
            "std is the sample standard deviation (n - 1). Graph measures are those of the undirected graph, "
            "averaged over the random stages.</footer>",
        ]

    def group(self, budget: Group, check: rates.Check) -> None:
        """The results of trials that may be compared."""
        self.parts.append(sections.group_cards(budget))
        paired = paired_variants(budget)
        if paired is not None:
            self.figure(variants.figure(paired) if paired.shared else None)
            self.parts.append(comparison.paired_comparison(paired))
        if budget.counted:
            self.figure(scores.scores(budget))
            self.parts.append(tables.statistics_tables(budget))
            tested = compare(budget.values) if budget.tested else []
            self.parts.append(comparison.comparison(budget, tested))
            self.figure(pairs.matrix(budget, tested), pairs.MATRIX)
            self.figure(error_distributions.distributions(budget), error_distributions.distributions_note(budget))
            self.parts += [comparison.variance(budget), comparison.power(budget, tested)]
        if any(trial.rows for trial in budget.trials):
            self.figure(learning_curves.learning_curves(budget))
            self.figure(learning_rates.learning_rates(budget, check), after=check_text(budget, check))
        if budget.counted:
            course = Course(budget)
            self.figure(early_epochs.early(course), early_epochs.early_note(budget), correlations.early_table(course))
        self.figure(measures.measures(budget), after=correlations.measure_table(budget))
        self.figure(parallel_coordinates.parallel(budget))
        if budget.counted:
            self.parts.append(sections.gallery(budget))

    def figure(self, figure: Figure | None, note: str = "", after: str = "") -> None:
        """Make room for a figure, if there is one, with a control where it offers choices."""
        if figure is None:
            return
        name = f"figure-{len(self.figures) + 1}"
        self.figures[name] = figure
        choices = figure.get("choices", [])
        control = ""
        if len(choices) > 1:
            options = "".join(
                f'<option value="{k}">{escape(choice["label"])}</option>' for k, choice in enumerate(choices)
            )
            control = f'<label class="control">Show <select data-figure="{name}">{options}</select></label>'
        note = note or figure.get("note", "")
        title, kind = escape(figure["label"]), "figure wide" if figure.get("wide") else "figure"
        self.parts += [
            f'<div class="panel scroll chart">{control}<h3>{title}</h3>',
            f'<p class="note">{escape(note)}</p>' if note else "",
            f'<div class="{kind}" id="{name}" role="img" aria-label="{title}"></div>{after}</div>',
        ]
