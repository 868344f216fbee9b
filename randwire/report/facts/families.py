"""The questions of a study as families of tests, each with a correction of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from randwire.report.facts.paired import paired
from randwire.statistics import equivalence, subset
from randwire.statistics.best import Group, compare_best
from randwire.statistics.contrast import Estimate
from randwire.statistics.describe import group as grouped
from randwire.statistics.pairs import Pair, compare_means, testable
from randwire.study.groups import TrialGroup
from randwire.study.winners import Ranked

Response = Literal["top1", "loss"]
"""What is compared: top-1, or the cross entropy, of which less is better."""
Kind = Literal["random", "ring", "hand-made"]
FIXED_BEFORE = "The settings that are compared were fixed before these results."
ADDED_LATER = "Settings were added when results were known, so that not all were fixed before these."


@dataclass(frozen=True)
class Family:
    """The tests that answer one question; the chance of any false difference among them is held at ALPHA."""

    key: str
    """generators, randomness or hand_made."""
    title: str
    pairs: Sequence[Pair]
    """Each is a question of its own; the correction is for all of them."""
    tests: int
    """How many pairs of settings were compared: more than there are questions, where the data chose the best."""
    note: str
    against: str = ""
    """The setting that all pairs have in common, if that is what is asked."""

    @property
    def excluded(self) -> float:
        """The size of a difference that no pair exceeds, by equivalence tests at ALPHA for all pairs together."""
        return equivalence.excluded(self.pairs)


def families(
    group: TrialGroup, ranking: Sequence[Ranked], response: Response = "top1", grown: bool = False
) -> list[Family]:
    """The families of a group whose settings may be tested: those that have a pair; none of any other group.

    The best settings are those of the ranking, by top-1, whatever the response. A setting that is not in it, for lack
    of a trial, is no best one, and none that a best one is held against: the table of leaders leaves it out, too. Where
    the best cannot be tested, no second best takes its place. Of the loss, too, the better setting of a pair is the
    first, and the difference is how far the loss of the other is above its own. Variants have no families: they are
    tested graph by graph. `grown`: some settings were added when results were known, and notes say so.
    """
    means = _means(group, response)
    if not means:
        return []
    order = [one.setting for one in ranking]
    found = [_generators(group, means, order), _randomness(group, means), _hand_made(group, means, order)]
    known = [family for family in found if family is not None]
    return [replace(one, note=one.note.replace(FIXED_BEFORE, ADDED_LATER)) for one in known] if grown else known


def may_be_best(group: TrialGroup) -> list[str]:
    """The settings that may be the best (subset selection), from the highest mean down; empty where none is tested."""
    means = _means(group, "top1")
    return subset.may_be_best(means) if len(means) > 1 else []


def excluded(pairs: Sequence[Pair]) -> float | None:
    """The same of pairs that were not chosen by their results; None without pairs."""
    return equivalence.excluded(pairs) if pairs else None


def kind_of(group: TrialGroup, name: str) -> Kind:
    """What its networks are: of random graphs, of the ring that rewiring starts from, or made by hand."""
    trial = group.by_setting[name][0]
    if trial.reference:
        return "hand-made"
    if not trial.config.generator.deterministic:
        return "random"
    return "ring" if _rewiring(group, name) is not None and trial.config.generator.params()["p"] == 0 else "hand-made"


def _means(group: TrialGroup, response: Response) -> dict[str, Estimate]:
    """The means of the settings that can be tested; more is better."""
    if not group.tested or paired(group) is not None:
        return {}
    values = group.values if response == "top1" else group.losses
    means = {name: Estimate.of(replicates) for name, replicates in values.items() if testable(replicates)}
    return means if response == "top1" else {name: -one for name, one in means.items()}


def _generators(group: TrialGroup, means: Mapping[str, Estimate], order: Sequence[str]) -> Family | None:
    """The best setting of each generator against each other."""
    wired = [name for name in order if kind_of(group, name) != "hand-made"]
    cells = [
        Group(names[0], [name for name in names if name in means])
        for names in grouped(wired, group.generator).values()
        if names[0] in means
    ]
    if len(cells) < 2:
        return None
    questions = list(combinations(cells, 2))
    note = f"{_chosen(cells)}{_holm(len(questions))}"
    title = "Do the best settings of the generators differ?"
    return Family("generators", title, compare_best(means, questions), _compared(questions), note)


def _randomness(group: TrialGroup, means: Mapping[str, Estimate]) -> Family | None:
    """Each ring against the mean of the settings that are randomly rewired from it."""
    cells = grouped(
        (name for name in means if kind_of(group, name) != "hand-made"), lambda name: _rewiring(group, name)
    )
    contrasts, sides, averaged = [], dict[str, Estimate](), []
    for key, names in cells.items():
        rings = [name for name in names if kind_of(group, name) == "ring"]
        rewired = [name for name in names if kind_of(group, name) == "random"]
        if key is None or not rings or not rewired:
            continue
        (ring,) = rings
        other = rewired[0] if len(rewired) == 1 else ring.replace(",0)", ",P>0)", 1)
        if len(rewired) > 1:
            averaged.append(f"{other} is the mean over {', '.join(rewired)}, of which each counts alike.")
        sides |= {ring: means[ring], other: Estimate.average([means[name] for name in rewired])}
        contrasts.append((ring, other))
    if not contrasts:
        return None
    note = " ".join(["A ring is one network, and its n counts trainings.", *averaged]) + _holm(len(contrasts))
    tested = compare_means(sides, contrasts)
    return Family("randomness", "Does rewiring the ring at random matter?", tested, len(tested), note)


def _hand_made(group: TrialGroup, means: Mapping[str, Estimate], order: Sequence[str]) -> Family | None:
    """Published networks and wirings made by hand against the best random setting."""
    kinds = {name: kind_of(group, name) for name in order}
    made = [name for name, kind in kinds.items() if kind == "hand-made" and name in means]
    random = [name for name, kind in kinds.items() if kind == "random"]
    if not made or not random or random[0] not in means:
        return None
    best = Group(random[0], [name for name in random if name in means])
    questions = [(Group(name, [name]), best) for name in made]
    note = (
        f"A network made by hand is one network, and its n counts trainings. {_chosen([best])}{_holm(len(questions))}"
    )
    title = "Does the best random setting differ from networks made by hand?"
    return Family("hand_made", title, compare_best(means, questions), _compared(questions), note, against=best.best)


def _rewiring(group: TrialGroup, name: str) -> tuple[object, ...] | None:
    """What a setting of a rewired ring has in common with the ring itself; None of any other setting."""
    trial = group.by_setting[name][0]
    if trial.reference or set(trial.config.generator.params()) != {"k", "p"}:
        return None
    return trial.generator, trial.config.generator.params()["k"], trial.variant


def _compared(questions: Sequence[tuple[Group, Group]]) -> int:
    return sum(len(one.names) * len(two.names) for one, two in questions)


def _chosen(groups: Sequence[Group]) -> str:
    """How it was settled which settings are compared, and what that means for the tests."""
    several = [group for group in groups if len(group.names) > 1]
    if not several:
        return FIXED_BEFORE
    chosen = ", ".join(f"{group.best} (of {len(group.names)} tested)" for group in several)
    return (
        f"These results chose the best settings: {chosen}. So each is held against every setting of the other side, at "
        "a level divided by how many it is the best of. The intervals are those of the difference of the true bests."
    )


def _holm(tests: int) -> str:
    return f" Holm's correction and the intervals are for all {tests} questions." * (tests > 1)
