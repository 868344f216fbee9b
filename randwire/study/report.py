"""The report of a study: one HTML page that needs nothing but itself, made from the records alone."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from randwire import records
from randwire.records import Record, RecordError, Row, atomic
from randwire.study import _report_curves as curves
from randwire.study import _report_figures as figures
from randwire.study import _report_sections as sections
from randwire.study import _report_tables as tables
from randwire.study._report_figures import Figure
from randwire.study._report_trials import Broken, Group, Trial, groups, in_order, read

TEMPLATE = Path(__file__).with_name("report.html")


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of the study in `folder` to `output` (default: report.html in it) and return its path.

    Only finished trials enter statistics, and trials of different budgets never the same one. A study that is not
    complete, or has damaged records, gets a report that says so. Raises RecordError if the folder holds no record.
    """
    found = [read(record) for record in records.find(folder)]
    if not found:
        raise RecordError(f"{folder}: holds no record of a trial to report on")
    trials = in_order([trial for trial in found if isinstance(trial, Trial)])
    broken = [trial for trial in found if isinstance(trial, Broken)]
    page = _Page(folder.resolve().name)
    page.write(_study(folder), trials, broken)

    from plotly.offline import get_plotlyjs

    parts = {
        "title": escape(f"randwire: {page.name}"),
        "plotly": get_plotlyjs(),
        "body": "\n".join(page.parts),
        "figures": json.dumps(page.figures, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    # One pass: nothing that a record says is taken for a place of the template.
    text = re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], TEMPLATE.read_text())
    target = output or folder / "report.html"
    with atomic(target) as file:
        file.write(text.encode())
    return target


class _Page:
    """The page while it is written: pieces of HTML, and the figures that its script draws into them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[str] = []
        self.figures: dict[str, Figure] = {}

    def write(self, study: Row | None, trials: Sequence[Trial], broken: Sequence[Broken]) -> None:
        budgets = groups(trials)
        generated = datetime.now(UTC).isoformat(sep=" ", timespec="minutes")
        status = sections.counts(trials, broken)
        count = len(trials) + len(broken)
        self.parts += [
            f"<header><h1>{escape(self.name)}</h1>",
            f'<p class="lead">A study of randomly wired neural networks: {tables.many(count, "trial")}, {status}.</p>',
            "</header>",
            "<noscript>The figures of this page need JavaScript; its tables do not.</noscript>",
            sections.cards(trials, broken),
            sections.warnings(study, budgets, trials, broken),
            sections.provenance(study, trials, status, generated),
        ]
        for place, budget in enumerate(budgets, 1):
            heading = f"Budget {place} of {len(budgets)}" if len(budgets) > 1 else "Results"
            self.parts += [f"<section><h2>{heading}</h2>", sections.budget_text(budget, budgets)]
            self.group(budget)
            self.parts.append("</section>")
        if trials:
            self.parts += ["<h2>All trials</h2>", tables.trial_table(budgets)]
        self.parts += [
            tables.exclusions(trials, broken),
            "<footer>Top-1 is the accuracy on the validation data after the last epoch, not the best of all epochs. "
            "std is the sample standard deviation (n - 1). Graph measures are those of the undirected graph, "
            "averaged over the random stages.</footer>",
        ]

    def group(self, budget: Group) -> None:
        """The results of trials that may be compared."""
        self.parts.append(sections.group_cards(budget))
        if budget.counted:
            repeated = any(len(same) > 1 for same in budget.by_setting.values())
            spread = "bars show mean and standard deviation" if repeated else "one a setting, so there is no deviation"
            self.figure(figures.scores(budget), f"Each mark is a trial; {spread}.")
            self.parts.append(tables.statistics_tables(budget))
        if any(trial.rows for trial in budget.trials):
            note = "Dotted: trials that are excluded." if len(budget.counted) < len(budget.trials) else ""
            self.figure(curves.learning_curves(budget), note)
            self.figure(curves.learning_rates(budget), after=sections.lr_text(budget))
        measures, parallel = figures.measures(budget), figures.parallel(budget)
        if measures:
            self.figure(measures, "A correlation over few trials shows where to look, and proves nothing.")
        if parallel:
            self.figure(parallel, "One line a trial, from its setting to its top-1; strong lines are the best trials.")
        if budget.counted:
            self.parts.append(sections.gallery(budget))

    def figure(self, figure: Figure, note: str = "", after: str = "") -> None:
        """Make room for a figure, with a control where it offers choices."""
        name = f"figure-{len(self.figures) + 1}"
        self.figures[name] = figure
        choices = figure.get("choices", [])
        control = ""
        if len(choices) > 1:
            options = "".join(
                f'<option value="{k}">{escape(choice["label"])}</option>' for k, choice in enumerate(choices)
            )
            control = f'<label class="control">Show <select data-figure="{name}">{options}</select></label>'
        title, kind = escape(figure["label"]), "figure wide" if figure.get("wide") else "figure"
        self.parts += [
            f'<div class="panel scroll chart">{control}<h3>{title}</h3>',
            f'<p class="note">{escape(note)}</p>' if note else "",
            f'<div class="{kind}" id="{name}" role="img" aria-label="{title}"></div>{after}</div>',
        ]


def _study(folder: Path) -> Row | None:
    """The design of a study, or None if it was not recorded."""
    try:
        study = Record(folder).read_json("study.json")
    except RecordError:
        return None
    return study if isinstance(study, dict) else None
