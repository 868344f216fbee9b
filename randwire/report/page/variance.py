"""How much of the spread is between graphs, and how much between training runs of one graph."""

from html import escape

from randwire.pages.html import dot, panel, table
from randwire.statistics.describe import describe
from randwire.statistics.intervals import LEVEL
from randwire.statistics.variance import VarianceSplit, split_variance
from randwire.study.groups import TrialGroup

TITLE = "Where the spread comes from"
NOTE = (
    "Analysis of variance, training runs within graphs within settings. The share is the part of a single run's "
    "variance that its graph decides. * The estimate of the variance between graphs was negative, and is set to 0."
)


def variance(budget: TrialGroup) -> str:
    """The split of the variance of each setting and of all, or what it takes to tell it."""
    runs = {
        name: [[trial.score for trial in same] for same in replicates]
        for name, replicates in budget.replicates.items()
        if not budget.by_setting[name][0].one_graph
    }
    whole = split_variance(list(runs.values()), [budget.graphs_of(name) for name in runs])
    trained = _by_training_alone(budget)
    if whole is None:
        text = (
            "Variance between graphs cannot be told from variance between training runs here. It takes settings with "
            f"two graphs, and graphs that were trained twice (--train-seeds 2). {trained}"
        )
        return panel(TITLE, f"<p>{escape(text)}</p>")
    splits = {name: split for name, same in runs.items() if (split := split_variance([same]))}
    rows = [_row(dot(budget.generator(name)) + escape(name), split) for name, split in splits.items()]
    if len(runs) > 1:
        rows.append(_row("all, within settings", whole))
    heads = ["setting", "graphs", "runs", "std between graphs", "std between runs", "share of graphs"]
    heads.append(f"{LEVEL:.0%} interval of the share")
    return panel(TITLE, table(heads, rows, len(runs) > 1) + f"<p>{escape(trained)}</p>" * bool(trained), NOTE)


def _by_training_alone(budget: TrialGroup) -> str:
    """How much settings with one graph vary, in a sentence; empty if there are none with two trainings."""
    values = {name: budget.values[name] for name, same in budget.by_setting.items() if same[0].one_graph}
    texts = [f"{describe(own).std:.2f} for {name} (n={len(own)})" for name, own in values.items() if len(own) > 1]
    return f"Settings with one graph vary by training alone: std {', '.join(texts)}." if texts else ""


def _row(name: str, split: VarianceSplit) -> list[str]:
    return [
        name,
        str(split.graphs),
        str(split.runs),
        f"{split.between_graphs:.2f}{'*' * split.negative}",
        f"{split.between_runs:.2f}",
        f"{split.share:.0%}",
        "-" if split.interval is None else f"{split.interval.low:.0%} to {split.interval.high:.0%}",
    ]
