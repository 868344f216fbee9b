"""Which images chose in a study, and which tell."""

from collections.abc import Sequence

from randwire.metrics import TEST_IMAGES
from randwire.pages.text import many
from randwire.report.facts.confirmed import confirmation_of
from randwire.report.facts.study import StudyFacts
from randwire.study.fixed import FIXED
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial, number

SAME = (
    "The same images chose and tell: {by} chose settings by their top-1 on the validation images, and that is what "
    "this report tells. What is best there has been lucky there, too, and would do less well on others. In a study "
    "with --data.holdout, images of the training split choose in their place."
)
HOLDOUT = "--data.holdout"
MANY_IMAGES = 10_000
"""From so many on, one image is within what rounding to 0.01 points hides."""


def images(trials: Sequence[Trial]) -> str:
    """Which images choose among trials with holdouts, and which tell, with their numbers; empty if none has one."""
    held = {trial.config.data.holdout: trial for trial in trials if trial.config.data.holdout}
    return "; ".join(_of(count, trial, trials) for count, trial in sorted(held.items()))


def same_images(facts: StudyFacts) -> str:
    """A warning where a study reports on the images by which its settings were chosen; empty where it does not."""
    by = _chooser(facts)
    return "" if by is None else SAME.format(by=by)


def worth_of_an_image(group: TrialGroup) -> str:
    """How many points of top-1 one image is, where few images tell; empty where they are many, or not recorded."""
    count = _telling(group)
    if count is None or count >= MANY_IMAGES:
        return ""
    return f"One of the {count:,} images that top-1 is counted on is {100 / count:.2f} points."


def _telling(group: TrialGroup) -> int | None:
    """The number of images that tell, by the first trial that has recorded it; None if none has."""
    if group.holdout:
        return next((int(n) for trial in group.counted if (n := number(trial.summary, TEST_IMAGES))), None)
    return next((len(trial.correct.bits) for trial in group.counted if trial.correct), None)


def _of(count: int, example: Trial, trials: Sequence[Trial]) -> str:
    seeds = sorted({t.config.data.holdout_seed for t in trials if t.config.data.holdout == count})
    seed = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    told = {n for t in trials if t.config.data.holdout == count and (n := number(t.summary, TEST_IMAGES))}
    tell = f"the {many(int(told.pop()), 'image')}" if len(told) == 1 else "the images"
    return (
        f"{many(count, 'image')} of the training split, held out of training ({seed}), choose; {tell} of the "
        "validation split tell: evaluated once for each trial, at its end, they chose nothing here"
    )


def _chooser(facts: StudyFacts) -> str | None:
    """What has chosen the settings of a study by the images that tell; None if nothing has, or it is not known.

    A holdout of a confirmation comes too late: it changes nothing of what its parent has chosen by.
    """
    if confirmation := confirmation_of(facts.design):
        return None if confirmation.holdout else f"the study {confirmation.study}"
    held = any(trial.config.data.holdout for trial in facts.trials)
    return "the search" if not held and facts.search is not None and facts.search not in FIXED else None
