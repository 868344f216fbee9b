"""What a confirmation shows: the means that chose its settings beside those on seeds that had no part in choosing.

So it is shown of what was chosen and trained for longer: the means of the short training beside those of the long one.
"""

from dataclasses import dataclass

from randwire.pages.text import many
from randwire.records import Row
from randwire.report.facts.study import StudyFacts
from randwire.statistics.describe import Description, describe
from randwire.study.confirmation import Confirmation, Winner
from randwire.study.groups import TrialGroup
from randwire.study.setting import Setting


@dataclass(frozen=True)
class Confirmed:
    """A setting: what chose it, and its top-1 (%) here on the same images (None without a finished trial)."""

    name: str
    generator: str
    winner: Winner
    here: Description | None

    @property
    def change(self) -> float | None:
        """How much of the mean that chose is gone (below 0) on other seeds, in points."""
        return None if self.here is None else self.here.mean - self.winner.top1


def confirmation_of(design: Row | None) -> Confirmation | None:
    """What a recorded design (study.json) confirms; None if it confirms nothing, or that cannot be read."""
    try:
        return Confirmation.of_json((design or {})["confirm"])
    except (KeyError, TypeError, AttributeError):
        return None


def longer_of(design: Row | None) -> Confirmation | None:
    """What a recorded design trains for longer; None if it does not, or that cannot be read."""
    return confirmation_of({"confirm": (design or {}).get("longer")})


def confirmed(facts: StudyFacts) -> list[Confirmed]:
    """The settings of a confirmation, in the order of the means that chose; none of any other study."""
    group = next((group for group in facts.groups if group.tested), None)
    return _beside(confirmation_of(facts.design), group)


def longer(facts: StudyFacts) -> list[Confirmed]:
    """The settings that are trained for longer, in the order of the means that chose; none of any other study."""
    group = next((group for group in facts.groups if group.origin != "outside"), None)
    return _beside(longer_of(facts.design), group)


def _beside(confirmation: Confirmation | None, group: TrialGroup | None) -> list[Confirmed]:
    if confirmation is None or group is None:
        return []
    rows = []
    for winner in confirmation.winners:
        setting = Setting.parse(winner.setting)
        here = [trial for trial in group.counted if Setting.of(trial.config) == setting]
        values = group.choosing[here[0].setting] if here else []
        name = here[0].setting if here else setting.label
        rows.append(Confirmed(name, setting.family, winner, describe(values) if values else None))
    return rows


def longer_sentences(facts: StudyFacts) -> list[str]:
    """What was trained for longer, what chose it, and what its means are worth, in a sentence each."""
    chosen, rows = longer_of(facts.design), longer(facts)
    if chosen is None or not rows:
        return []
    images = (
        f"{many(chosen.holdout, 'training image')} that were held out" if chosen.holdout else "the validation split"
    )
    epochs = "" if chosen.epochs is None else f" after {many(chosen.epochs, 'epoch')}"
    return [
        f"{chosen.study} has chosen {many(len(rows), 'setting')} of {chosen.settings} by top-1 on {images}{epochs}; "
        "here the same graphs are trained again, on the same seeds, for longer.",
        "The settings and graphs were chosen for what they reached, so these means are no test of them, and too high "
        "for other graphs: confirm them on fresh seeds (--confirm).",
    ]


def sentences(facts: StudyFacts) -> list[str]:
    """What was confirmed, which images chose, and what became of the best, in a sentence each."""
    confirmation, rows = confirmation_of(facts.design), confirmed(facts)
    if confirmation is None or not rows:
        return []
    images = f"{many(confirmation.holdout, 'training image')} that were held out" * bool(confirmation.holdout)
    told = "the validation split told nothing then" if confirmation.holdout else "the same images tell below"
    best = rows[0]
    lines = [
        f"{confirmation.study} has chosen {many(len(rows), 'setting')} of {confirmation.settings} by top-1 on "
        f"{images or 'the validation split'} ({told}); the seeds here had no part in that."
    ]
    if best.change is not None and best.here is not None:
        fitted = best.winner.fitted
        expected = "" if fitted is None else f", of which {fitted:.2f}% were to be expected"
        lines.append(
            f"Its best, {best.name}, had a mean of {best.winner.top1:.2f}% (n = {best.winner.n}) then{expected}, "
            f"and has {best.here.mean:.2f}% (n = {best.here.n}) on fresh seeds."
        )
    return lines
