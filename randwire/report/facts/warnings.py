"""What a reader must know before believing a mean."""

from dataclasses import dataclass

from randwire.pages.text import many
from randwire.report.facts.confirmed import longer_sentences
from randwire.report.facts.designs import names_of
from randwire.report.facts.growth import growth_warnings, outside_warning
from randwire.report.facts.images import HOLDOUT, same_images
from randwire.report.facts.provenance import mixed
from randwire.report.facts.several import several_text
from randwire.report.facts.study import StudyFacts

MAX_NAMED_FAILURES = 10
"""Settings that could not be run, and are named."""


@dataclass(frozen=True)
class Warned:
    """A warning."""

    text: str
    code: str = ""
    """The part of the text that is to be typed as it stands, if any."""


def warnings(facts: StudyFacts) -> list[Warned]:
    """All warnings, those that matter most first."""
    differing = [Warned(line) for line in mixed(facts.trials)]
    growth = [f"{name}: {text}" for name, one in facts.designs.items() for text in growth_warnings(one, counted=False)]
    grown = [Warned(text, code="--confirm" * ("--confirm" in text)) for text in growth or growth_warnings(facts.design)]
    outside = outside_warning(facts.design, facts.counted)
    several = several_text(facts.designs)
    return [
        *([Warned(several)] if several else []),
        *_exclusions(facts),
        *_budgets(facts),
        *_search(facts),
        *grown,
        *([Warned(outside)] if outside else []),
        *_schedules(facts),
        *differing,
    ]


def _exclusions(facts: StudyFacts) -> list[Warned]:
    """Trials without a part in statistics, and settings without trials."""
    warned = []
    if facts.excluded:
        warned.append(
            Warned(f"{many(facts.excluded, 'trial')} excluded from all statistics (listed at the end with the cause).")
        )
    warned += [Warned(again)] if (again := _begun_again(facts)) else []
    for setting, (_, cause) in list(facts.failures.items())[:MAX_NAMED_FAILURES]:
        warned.append(Warned(f"{setting.label} could not be run: {cause}."))
    more = len(facts.failures) - MAX_NAMED_FAILURES
    if more > 0:
        warned.append(Warned(f"{more} more settings could not be run (failures.jsonl)."))
    return warned


def _begun_again(facts: StudyFacts) -> str:
    """Which trials had failed before, and why; empty where none had."""
    again = [trial for trial in facts.trials if trial.earlier]
    if not again:
        return ""
    named = [f"{trial.name} ({trial.earlier[-1].get('cause') or 'unknown cause'})" for trial in again]
    more = len(again) - MAX_NAMED_FAILURES
    ending = f", and {more} more" if more > 0 else ""
    return (
        f"{many(len(again), 'trial')} failed before and had to be begun again (--retry): "
        f"{'; '.join(named[:MAX_NAMED_FAILURES])}{ending}. Where only failures are tried again, means may be too high."
    )


def _budgets(facts: StudyFacts) -> list[Warned]:
    """Trials that are not compared with each other."""
    warned = []
    budgets = len({str(group.budget) for group in facts.groups})
    if budgets > 1:
        warned.append(
            Warned(
                f"The trials have {budgets} different budgets. Each budget has its own section below; "
                "results of unequal budgets are never pooled."
            )
        )
    foreign = sum(len(group.trials) for group in facts.groups if group.origin == "outside")
    if foreign:
        noun = names_of(facts.design).noun
        warned.append(
            Warned(
                f"{many(foreign, 'trial')} of settings that are not of the study's {noun}: they have a section of "
                f"their own at the end, and no part in any figure or test of the {noun.removeprefix('fixed ')}."
            )
        )
    return warned


def _search(facts: StudyFacts) -> list[Warned]:
    """How the choice of settings and their numbers of trials bear on means."""
    warned = []
    if facts.search == "tpe":
        unequal = any(len({len(same) for same in group.by_generator.values()}) > 1 for group in facts.groups)
        text = (
            "The search is adaptive (TPE): it tries more settings where earlier ones did well, so "
            f"{'n is unequal and ' if unequal else ''}the means are biased by adaptivity. "
            "To compare generators, confirm their best on fresh seeds with --confirm."
        )
        warned.append(Warned(text, code="--confirm"))
    elif chosen := longer_sentences(facts):
        warned.append(Warned(chosen[-1], code="--confirm"))
    elif facts.search == "race":
        text = (
            "A race is a search: n is unequal, since the better half of each round got further graphs, and means of "
            "those that went on are biased upwards. Confirm the best on fresh seeds with --confirm."
        )
        warned.append(Warned(text, code="--confirm"))
        if facts.race[1]:
            warned.append(Warned(f"The rounds of the race cannot be told: {facts.race[1]}."))
    elif any(len({len(same) for same in group.by_setting.values()}) > 1 for group in facts.groups):
        warned.append(Warned("n differs between settings: the means are not equally certain."))
    if same := same_images(facts):
        warned.append(Warned(same, code=HOLDOUT))
    if (facts.design or {}).get("early_stopping"):
        warned.append(
            Warned(
                "Early stopping was on: trials that looked weak were pruned and are excluded, so the means are those "
                "of the survivors."
            )
        )
    if facts.design is None:
        warned.append(Warned("There is no study.json: how the settings were chosen is not known."))
    return warned


def _schedules(facts: StudyFacts) -> list[Warned]:
    wrong = sum(len(section.rates.wrong) for section in facts.sections)
    if not wrong:
        return []
    text = f"The logged learning rates of {many(wrong, 'trial')} are not those of the schedule (see below)."
    return [Warned(text)]
