"""The result of the check of learning rates, and the trials that disagree."""

from html import escape

from randwire.pages.html import link, table
from randwire.pages.text import many
from randwire.report.facts.rates import Check, by_schedule
from randwire.study.groups import TrialGroup

MAX_LISTED = 12
"""Trials that disagree and are listed."""
SCHEDULES = {"cosine": "half a cosine", "step": "steps", "exponential": "exponential decay"}


def check_text(budget: TrialGroup, result: Check) -> str:
    """The result of the check, and the trials that disagree."""
    if not result.epochs:
        return '<p class="note">No learning rate was logged.</p>'
    names = dict.fromkeys(SCHEDULES[same[0].config.train.schedule] for same in by_schedule(budget).values())
    form = f"the closed form (linear warm-up, {' or '.join(names)})"
    missing = f" {many(result.unlogged, 'epoch')} without a logged rate." if result.unlogged else ""
    if not result.wrong:
        extent = f"{result.epochs:,} logged rates of {many(result.trials, 'trial')}"
        text = f"Agrees: all {extent} are those of {form}; largest deviation {result.largest:.2g}.{missing}"
        return f'<p class="note">{escape(text)}</p>'
    text = (
        f"Not the schedule in {len(result.wrong):,} of {many(result.trials, 'trial')}: logged rates are not those of "
        f"{form}; largest deviation {result.largest:.2g}.{missing}"
    )
    rows = [
        [
            f'<a href="{link(item.trial)}"><code>{escape(item.trial.folder)}</code></a> {escape(item.trial.name)}',
            str(item.epochs),
            str(item.epoch),
            f"{item.logged:.6g}",
            f"{item.expected:.6g}",
        ]
        for item in result.wrong[:MAX_LISTED]
    ]
    heads = ["trial", "epochs that disagree", "worst epoch", "logged", "closed form"]
    return f'<p class="warning" role="note">{escape(text)}</p>{table(heads, rows)}'
