"""The report of a study: one HTML page that needs nothing but itself, made from the records alone."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from randwire.errors import RecordError
from randwire.pages.style import Figure, as_plotly
from randwire.pages.writer import write_page
from randwire.report.facts.answer import answer
from randwire.report.facts.budgets import budget_text
from randwire.report.facts.correlations import MIN_SETTINGS
from randwire.report.facts.exclusions import exclusions
from randwire.report.facts.looks import look, looks_text
from randwire.report.facts.provenance import provenance
from randwire.report.facts.several import facts_of
from randwire.report.facts.study import Section, StudyFacts
from randwire.report.facts.warnings import warnings
from randwire.report.page import correlations, sections, tables
from randwire.report.page.confirmation import confirmation
from randwire.report.page.families import all_pairs, families_panel
from randwire.report.page.leaders import group_cards, leaders_table
from randwire.report.page.links import relinked
from randwire.report.page.paired import variants_comparison
from randwire.report.page.pareto import pareto_table
from randwire.report.page.per_image import per_image
from randwire.report.page.power import power
from randwire.report.page.race import race
from randwire.report.page.rates import check_text
from randwire.report.page.search import recommendation
from randwire.report.page.variance import variance
from randwire.report.plots.early_epochs import early_epochs, early_epochs_note
from randwire.report.plots.error_distributions import error_distributions, error_distributions_note
from randwire.report.plots.history import history
from randwire.report.plots.importance import importance
from randwire.report.plots.learning_curves import learning_curves
from randwire.report.plots.learning_rates import learning_rates
from randwire.report.plots.measures import measures
from randwire.report.plots.pairs import PAIRS_NOTE, pairs
from randwire.report.plots.parallel_coordinates import parallel_coordinates
from randwire.report.plots.pareto import pareto
from randwire.report.plots.rounds import rounds
from randwire.report.plots.scores import scores
from randwire.report.plots.variants import variants
from randwire.tracking import runs

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

FOOTER = (
    "<footer>Top-1 is the accuracy on the validation data after the last epoch, not the best of all epochs. "
    "std is the sample standard deviation (n - 1). Graph measures are averaged over the random "
    "stages; clustering, degree and the undirected mean shortest path ignore the directions of edges.{more}</footer>"
)
WITH_HOLDOUT = (
    " Which trials and settings are best, and all numbers by epoch, are by the images held out of training, which "
    "choose; all other top-1 is that of the validation data, which chose nothing."
)


def write_report(folder: Path | str, output: Path | None = None, others: Sequence[Path] = ()) -> Path:
    """Write the report of the study in `folder` to `output` (default: report.html in it) and return its path.

    With the folders of `others` it is of all these studies together, by default beside their folders. An `output` that
    does not end in .html is a folder. Where the folder of a study cannot be written, all but `output` still works.

    Only finished trials enter statistics, and trials of different budgets never the same one. A study that is not
    complete, or has damaged records, gets a report that says so. Raises RecordError if the folder holds no record.
    """
    facts = facts_of([Path(folder), *others])
    target = _target(facts, output)
    look(facts)
    page = _page(facts)
    parts = relinked(page.parts, facts, target.absolute().parent)
    try:
        return write_page(target, f"randwire: {page.name}", parts, _rounded(page.figures))
    except OSError as error:
        raise RecordError(f"{target}: cannot be written ({error.strerror}); choose a place with --output") from None


def _target(facts: StudyFacts, output: Path | None) -> Path:
    """Where the page is to be."""
    if output is None:
        name = facts.name.replace(" + ", "+")
        return facts.folder.parent / f"{name}.html" if facts.others else facts.folder / "report.html"
    if output.suffix == ".html" and not output.is_dir():
        return output
    return output / (f"{facts.name.replace(' + ', '+')}.html" if facts.others else "report.html")


def figures(folder: Path | str) -> "dict[str, PlotlyFigure]":
    """The figures of the report by title, as plotly's own objects: to show elsewhere, such as with `wandb.log`.

    What the page offers to select is a menu of the figure here. Raises RecordError if the folder holds no record.
    """
    drawn: dict[str, PlotlyFigure] = {}
    for figure in _page(StudyFacts.load(Path(folder))).figures.values():
        title, same = figure["label"], 1
        while title in drawn:
            same += 1
            title = f"{figure['label']} ({same})"
        drawn[title] = as_plotly(figure)
    return drawn


def _footer(facts: StudyFacts) -> str:
    return FOOTER.format(more=WITH_HOLDOUT if any(group.holdout for group in facts.groups) else "")


def _budget(section: Section, facts: StudyFacts) -> str:
    """What the trials of a section have in common."""
    named = f"<b>{section.heading}</b>: " if len(facts.sections) > 1 else ""
    return f'<p class="lead">{named}{escape(budget_text(section.group, facts.groups))}</p>'


def _wirings(section: Section) -> int:
    """How many settings of graphs there are: those of all variants are one."""
    if section.kinds.variants:
        return len({trial.config.label for trial in section.group.counted})
    return len(section.group.by_setting)


def _page(facts: StudyFacts) -> "_Page":
    page = _Page(facts.name)
    tracked: dict[str, str] = {}
    for folder in (*facts.others[::-1], facts.folder):
        for trial, run in runs.of_study(folder).items():
            tracked[trial] = (
                run if "://" in run else os.path.relpath((folder / run).absolute(), facts.folder.absolute())
            )
    page.write(facts, tracked)
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

    def write(self, facts: StudyFacts, tracked: Mapping[str, str]) -> None:
        """Write the whole page in the order of a reviewer's questions; `tracked` has W&B runs by the trials' folders.

        What was compared; what came out, and how sure; whether anything is wrong; which networks are good; what to run
        next; and in an appendix what explains more than it answers.
        """
        self.parts += [sections.header(facts), sections.answer(answer(facts))]
        self.compared(facts)
        self.each(facts, "What came out", self.results)
        self.checks(facts)
        self.each(facts, "Which networks are good", self.networks)
        self.each(facts, "What to run next", lambda section: self.parts.append(power(section, facts)))
        self.each(facts, "Appendix", self.appendix)
        if facts.trials:
            self.parts += ["<h2>All trials</h2>", tables.trial_table(facts.sections, tracked)]
        self.parts += [tables.exclusion_table(exclusions(facts)), _footer(facts)]

    def compared(self, facts: StudyFacts) -> None:
        """What was compared, with what budget and n."""
        generated = datetime.now(UTC).isoformat(sep=" ", timespec="minutes")
        self.parts += [
            "<h2>What was compared</h2>",
            *(_budget(section, facts) for section in facts.sections),
            sections.cards(facts),
            sections.facts_list({**provenance(facts), "report": f"generated {generated} from the records alone"}),
            confirmation(facts),
        ]

    def each(self, facts: StudyFacts, title: str, write: Callable[[Section], None]) -> None:
        """A part of the page, with a heading for each budget where there are several; nothing if it is empty."""
        before = len(self.parts)
        for section in facts.sections:
            start = len(self.parts)
            write(section)
            if len(facts.sections) > 1 and any(self.parts[start:]):
                # No two panels of a page share a title.
                self.parts[start:] = [
                    part.replace("</h3>", f" ({section.heading})</h3>") for part in self.parts[start:]
                ]
                self.parts.insert(start, f'<h3 class="budget">{section.heading}</h3>')
        if any(self.parts[before:]):
            self.parts.insert(before, f"<section><h2>{title}</h2>")
            self.parts.append("</section>")

    def results(self, section: Section) -> None:
        """What came out, and how sure that is."""
        group = section.group
        self.parts += [group_cards(section), leaders_table(section), race(section)]
        self.figure(rounds.draw(section))
        self.figure(variants.draw(section))
        if section.variants is not None:
            self.parts.append(variants_comparison(section.variants))
        if group.counted:
            self.figure(scores.draw(section))
            self.parts.append(families_panel(section))
            self.parts.append(recommendation(section))
        self.figure(pareto.draw(section), after=pareto_table(section.pareto))
        self.figure(importance.draw(section))
        self.figure(history.draw(section))
        if group.counted:
            self.parts += [tables.settings_table(section), per_image(section)]

    def checks(self, facts: StudyFacts) -> None:
        """Whether anything is wrong."""
        self.parts += [
            "<section><h2>Is anything wrong?</h2>",
            "".join(sections.warning(warned) for warned in warnings(facts)),
        ]
        self.note(looks_text(facts))
        for section in facts.sections:
            self.figure(learning_rates.draw(section), after=check_text(section.group, section.rates))
        self.parts.append("</section>")

    def networks(self, section: Section) -> None:
        """Which networks are good, and what they look like."""
        if not section.group.counted:
            return
        self.parts.append(sections.gallery(section))
        self.figure(parallel_coordinates.draw(section))
        if _wirings(section) >= MIN_SETTINGS:
            self.measures(section)

    def measures(self, section: Section) -> None:
        self.figure(measures.draw(section), after=correlations.measure_table(section.group))

    def appendix(self, section: Section) -> None:
        """What explains more than it answers."""
        group = section.group
        if group.counted:
            self.parts.append(all_pairs(section))
            self.figure(pairs.draw(section), PAIRS_NOTE)
            self.figure(error_distributions.draw(section), error_distributions_note(section))
            self.parts.append(variance(group))
        if group.counted and _wirings(section) < MIN_SETTINGS:
            self.measures(section)  # few settings say little of what graphs are good
        self.figure(learning_curves.draw(section))
        if group.counted:
            note = early_epochs_note(group)
            self.figure(early_epochs.draw(section), note, correlations.early_table(section.early_epochs))

    def note(self, text: str) -> None:
        if text:
            self.parts.append(f'<p class="note">{escape(text)}</p>')

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
