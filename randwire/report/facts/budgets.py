"""What the trials of a budget have in common."""

from collections.abc import Sequence

from randwire.study.groups import TrialGroup


def budget_text(budget: TrialGroup, budgets: Sequence[TrialGroup]) -> str:
    """What the trials of a budget have in common; with several budgets, first what sets this one apart."""
    config = budget.trials[0].config
    graphs = "saved graphs"  # their nodes are their own
    if config.graph.path is None:
        graphs = f"{config.graph.nodes} nodes a stage ({config.graph.stages} graphs)"
    pieces = {
        "train.epochs": f"{config.train.epochs} epochs",
        "data.resolution": f"{config.data.source} at {config.data.resolution} pixels",
        **({"data.holdout": f"{config.data.holdout:,} images held out"} if config.data.holdout else {}),
        "network.regime": f"{config.network.regime} regime",
        "network.channels": f"C = {config.network.channels}",
        "graph.nodes": graphs,
        "network.op": config.network.op,
        "train.batch_size": f"batch {config.train.batch_size}",
        "train.lr": f"learning rate {config.train.lr:g}",
    }
    text = ", ".join(piece for key, piece in pieces.items() if key not in budget.trials[0].varied)
    differing = [key for key in budget.budget if len({str(other.budget.get(key)) for other in budgets}) > 1]
    if differing:
        text = "; ".join(f"{key} = {budget.budget[key]}" for key in differing) + ". Otherwise: " + text
    return f"{text}."
