"""The W&B report of a study from its first block to its last: words and tables from the records, panels between."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr

from randwire.errors import one_line
from randwire.metrics import VAL_TOP1
from randwire.pages.text import interval_text, p_text
from randwire.records import Row
from randwire.report.facts import race, recommended
from randwire.report.facts.answer import answer
from randwire.report.facts.budgets import budget_text
from randwire.report.facts.checklist import checklist
from randwire.report.facts.confirmed import longer_sentences, sentences
from randwire.report.facts.designs import names_of
from randwire.report.facts.exclusions import Exclusion, exclusions
from randwire.report.facts.families import ADDED_LATER, may_be_best
from randwire.report.facts.growth import chosen_later
from randwire.report.facts.leading import leading, loss_head, loss_text, top1_head
from randwire.report.facts.next_steps import proposal, proposal_text
from randwire.report.facts.per_image import image_facts
from randwire.report.facts.provenance import provenance
from randwire.report.facts.study import Section, StudyFacts
from randwire.report.facts.warnings import warnings
from randwire.report.publishing import panels
from randwire.statistics.describe import describe
from randwire.statistics.pairs import ALPHA
from randwire.study.results import mean
from randwire.tracking.runs import in_own_groups

MAX_TITLE_LENGTH = 128
"""Characters of a title that W&B takes."""
FINAL = (("epoch", "epoch"), (VAL_TOP1.wandb, VAL_TOP1.key))
"""What a run on W&B and the last row of its record have in common, by W&B's key and ours."""


TEXT = ("best setting", "of", "range")
"""Columns of the tables that are no numbers."""


def report(facts: StudyFacts, entity: str, uploaded: Mapping[str, Row]) -> wr.Report:
    """The report of a study whose runs are `entity`'s; `uploaded` has the summaries of those that W&B has."""
    return wr.Report(
        project=next(iter(panels.ids_by_project(facts.trials))),
        entity=entity,
        title=f"{names_of(facts.design).title} {facts.name}"[:MAX_TITLE_LENGTH],
        description=_description(facts),
        blocks=[
            *_opening(facts),
            *_compared(facts),
            *(block for section in facts.sections for block in _results(section, facts, entity)),
            *_checks(facts, entity),
            *_networks(facts, entity),
            *_next(facts),
            *_review(facts, uploaded),
        ],
        width="fluid",
    )


def _description(facts: StudyFacts) -> str:
    """How to read the report, design, budget and number of trials, in one line."""
    origin = provenance(facts)
    reading = "Read it as a search, not as a comparison."
    if facts.fixed:
        reading = "Its settings were fixed before any result."
    elif chosen_later(facts.design):
        reading = ADDED_LATER
    note = "; only finished trials enter a mean" if facts.excluded else ""
    return (
        f"{reading} Design: {origin['design']}. Budget: {origin['budget']}. Trials: n = {len(facts.counted)} of "
        f"{facts.records} ({facts.statuses}{note})."
    )


def _opening(facts: StudyFacts) -> list[Any]:
    """The answer of the study."""
    told = answer(facts)
    return [wr.MarkdownBlock(" ".join(told))] if told else []


def _compared(facts: StudyFacts) -> list[Any]:
    """What was compared, and where the numbers come from."""
    origin = "\n".join(f"- **{name}**: {one_line(value)}" for name, value in provenance(facts).items())
    told = [wr.MarkdownBlock(sentence) for sentence in (*sentences(facts), *longer_sentences(facts))]
    return [wr.H2("What was compared"), wr.MarkdownBlock(origin), *told]


def _results(section: Section, facts: StudyFacts, entity: str) -> list[Any]:
    """What came out of one budget."""
    named = f": {section.heading}" if len(facts.sections) > 1 else ""
    blocks: list[Any] = [wr.H2(f"What came out{named}"), wr.P(budget_text(section.group, facts.groups))]
    if section.group.counted:
        blocks += [wr.MarkdownBlock(_race(section))] if section.rounds else []
        blocks.append(wr.MarkdownBlock(_tables(section)))
        told = [_questions(section), " ".join(recommended.sentences(section)), _images(section)]
        blocks += [wr.MarkdownBlock(text) for text in filter(None, told)]
        blocks.append(panels.results(section.group, entity, in_own_groups(facts.folder)))
    return blocks


def _questions(section: Section) -> str:
    """The families of tests, each as a list in Markdown, and the settings that may be the best."""
    parts = []
    for family in section.families:
        lines = [
            f"- {pair}: {pair.difference:.2f} points apart ({interval_text(pair.interval)}), corrected p "
            f"{p_text(pair.adjusted)}"
            for pair in family.pairs
        ]
        held = f"Welch's test over graphs; the chance of even one false difference here is held at {ALPHA:.0%}."
        parts.append("\n".join([f"**{family.title}** {held} {family.note}", "", *lines]))
    if names := may_be_best(section.group):
        parts.append(f"**Settings that may be the best**: {', '.join(names)}.")
    return "\n\n".join(parts)


def _images(section: Section) -> str:
    """What an image is worth; empty where it is not known which images were right."""
    found = image_facts(section)
    return "" if found is None else found.sentences[0]


def _checks(facts: StudyFacts, entity: str) -> list[Any]:
    """Whether anything is wrong: what a reader must know before believing a mean, exclusions, learning rates."""
    known = [warned.text for warned in warnings(facts)]
    left_out = [wr.MarkdownBlock("\n".join(map(_exclusion, exclusions(facts))))] if facts.excluded else []
    return [
        wr.H2("Is anything wrong?"),
        *map(wr.CalloutBlock, known),
        *left_out,
        panels.training(facts.trials, entity),
    ]


def _networks(facts: StudyFacts, entity: str) -> list[Any]:
    """The pictures of all networks, and in what their runs differ."""
    return [
        wr.H2("Which networks are good"),
        panels.pictures(facts.trials, entity),
        wr.H2("Runs side by side"),
        panels.side_by_side(facts.trials, entity),
    ]


def _next(facts: StudyFacts) -> list[Any]:
    """The confirmation that is proposed, and what it costs."""
    proposed = [(section, one) for section in facts.sections if (one := proposal(section, facts)) is not None]
    texts = [f"`{one.command}`\n\n{proposal_text(one, section)}" for section, one in proposed]
    return [wr.H2("What to run next"), *map(wr.MarkdownBlock, texts)] if texts else []


def _exclusion(excluded: Exclusion) -> str:
    """A line of Markdown; the cause is code, so that nothing in it is taken for Markdown."""
    cause = excluded.cause.replace("`", "'") or "no cause recorded"
    return f"- `{excluded.folder}` {excluded.name} {excluded.status}: `{cause}`"


def _review(facts: StudyFacts, uploaded: Mapping[str, Row]) -> list[Any]:
    checks = checklist(facts, uploaded, FINAL)
    return [
        wr.H2("Review"),
        wr.CheckedList([wr.CheckedListItem(check.text, check.holds) for check in checks]),
    ]


def _tables(section: Section) -> str:
    """The best setting of each generator, or the variants, and all settings, in Markdown.

    Of a study of variants first the sentences on pairs.
    """
    parts = []
    if section.variants is not None:
        parts.append("\n".join(f"- {sentence}" for sentence in section.variants.sentences))
    shown = leading(section)
    if shown.rows:
        parts += [f"**{shown.title}**", _table(shown.heads, [row.cells for row in shown.rows])]
    parts += [shown.note, "**All settings**", _settings(section)]
    note = (
        "Top-1 after the last epoch, from the records, over graphs; std is the sample standard deviation (n - 1). "
        "Panels are W&B's."
    )
    return "\n\n".join([*parts, note])


def _settings(section: Section) -> str:
    """Top-1 and loss of each setting over its graphs, as a table in Markdown."""
    group = section.group
    apart, lossy = bool(group.holdout), bool(group.losses)
    heads = ["setting", "n", top1_head(section), "std", "range"]
    heads += ["mean by the images that choose (%)"] * apart + [loss_head(section)] * lossy
    rows = []
    for name, values in group.values.items():
        top1 = describe(values)
        std = "-" if top1.std is None else f"{top1.std:.2f}"
        cells = [name, str(top1.n), f"{top1.mean:.2f}", std, f"{top1.minimum:.2f} to {top1.maximum:.2f}"]
        cells += [f"{mean(group.choosing[name]):.2f}"] * apart
        rows.append(cells + [loss_text(group.losses.get(name, ()))] * lossy)
    return _table(heads, rows)


def _race(section: Section) -> str:
    """How a race stands, in sentences, and its rounds as a table in Markdown."""
    heads = race.heads(section.rounds)
    rows = [race.cells(standing, section.rounds) for standing in race.standings(section.rounds)]
    table = _table(heads, rows, text=("end",))
    return "\n\n".join([" ".join(race.sentences(section.rounds)), table, race.NOTE])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], text: Collection[str] = TEXT) -> str:
    """A table in Markdown; columns but the first are numbers, unless `text` names them."""
    rule = ["---" if not k or head in text else "---:" for k, head in enumerate(heads)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])
