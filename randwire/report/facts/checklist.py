"""What a reviewer of a study checks, as far as it can be found out without a person."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from randwire.records import NEWEST_CHECKPOINT, Row
from randwire.report.facts import rates
from randwire.report.facts.growth import chosen_later, growth_text
from randwire.report.facts.images import images, same_images
from randwire.report.facts.provenance import provenance, trained_by
from randwire.report.facts.study import StudyFacts
from randwire.study.groups import groups
from randwire.study.results import Trial


class Check(NamedTuple):
    """An entry of the checklist, and whether it holds."""

    text: str
    holds: bool


BY_A_PERSON = (
    Check("The panels show what the tables say: W&B draws the runs that it has, the tables are of the records", False),
    Check("n and the standard deviations allow the conclusions that are drawn", False),
    Check("The pictures look like the graphs that their generators should give", False),
)
"""What only a person can tell."""


def checklist(facts: StudyFacts, uploaded: Mapping[str, Row], final: tuple[tuple[str, str], ...]) -> list[Check]:
    """All checks.

    `uploaded` has the summaries of the runs that W&B has, by their ids. `final` pairs the keys of such a summary with
    those of the last row of a record, which must be equal where W&B has the last epoch.
    """
    origin = provenance(facts)
    return [
        Check(_fixed(facts, origin["design"]), facts.fixed),
        *_images(facts),
        *_numbers(facts),
        _learning_rates(facts),
        _commits(facts, origin.get("commit", "unknown")),
        _data(facts),
        _uploads(facts, uploaded, final),
        *BY_A_PERSON,
    ]


def _fixed(facts: StudyFacts, design: str) -> str:
    text = f"The settings were fixed before any result: {design}"
    return f"{text}; grown: {growth_text(facts.design)}" if chosen_later(facts.design) else text


def _images(facts: StudyFacts) -> list[Check]:
    """Whether those that chose are not those that tell; nothing where nothing was chosen."""
    apart, same = images(facts.trials), same_images(facts)
    text = f"The images that chose are not those that tell{f': {apart}' if apart else ''}"
    return [Check(text, not same)] if apart or same else []


def _numbers(facts: StudyFacts) -> list[Check]:
    """Whether all cells have the same number of trials, of one budget, and all of them count."""
    budgets = groups(facts.trials)
    cells = {len(same) for budget in budgets for same in budget.by_setting.values()}
    return [
        Check(f"n is equal in all cells: n = {', '.join(map(str, sorted(cells))) or 'none'}", len(cells) == 1),
        Check(f"All trials have one budget: {len(budgets)} found", len(budgets) == 1),
        Check(f"No trial is failed, pruned, unfinished or unreadable: {facts.statuses}", not facts.excluded),
    ]


def _learning_rates(facts: StudyFacts) -> Check:
    checks: list[rates.Check] = [section.rates for section in facts.sections]
    logged, largest = sum(check.epochs for check in checks), max((check.largest for check in checks), default=0.0)
    extent = f"largest deviation {largest:.2g} over {logged} epochs" if logged else "none was logged"
    agrees = logged > 0 and not any(check.wrong for check in checks)
    return Check(f"The logged learning rate is the schedule's closed form: {extent}", agrees)


def _commits(facts: StudyFacts, named: str) -> Check:
    parts = [part for trial in facts.trials for part in trained_by(trial) or [{}]]
    commits = {part.get("commit") for part in parts}
    clean = all(part.get("dirty") is False for part in parts)
    text = f"All trials ran at one commit, without other changes: {named}"
    return Check(text, len(commits) == 1 and None not in commits and clean)


def _data(facts: StudyFacts) -> Check:
    files = {_files(facts.folder, trial) for trial in facts.counted}
    text = f"All trials that count read the same data files: {'; '.join(sorted(files)) or 'none counts'}"
    return Check(text, len(files) == 1 and not any(digests.startswith("unknown") for digests in files))


def _files(folder: Path, trial: Trial) -> str:
    """The digests of the data files that a trial has read, by split; they stand in its checkpoint alone."""
    import torch

    path = folder / trial.folder / "checkpoint" / NEWEST_CHECKPOINT
    try:
        # Mapped, so that the weights are not read.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return ", ".join(f"{split} {digest[:12]}" for split, digest in sorted(state["data"]["sha256"].items()))
    except Exception:  # damaged bytes can make the reader raise anything
        return "unknown for lack of a checkpoint"


def _uploads(facts: StudyFacts, uploaded: Mapping[str, Row], final: tuple[tuple[str, str], ...]) -> Check:
    complete = sum(
        bool(trial.rows) and all(uploaded.get(trial.run, {}).get(key) == trial.rows[-1].get(own) for key, own in final)
        for trial in facts.trials
    )
    text = f"W&B has the last epoch of every trial: of {complete} of {facts.records}"
    return Check(text, complete == facts.records)
