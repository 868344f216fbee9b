"""What the trials of a budget have in common."""

from collections.abc import Sequence

from randwire.pages.text import many
from randwire.study.groups import TrialGroup
from randwire.study.results import OF_NETWORKS


def budget_text(budget: TrialGroup, budgets: Sequence[TrialGroup]) -> str:
    """What the trials of a budget have in common; with several budgets, first what sets this one apart."""
    typical = budget.typical
    config = typical.config
    graphs = "saved graphs"  # their nodes are their own
    if config.graph.path is None:
        graphs = f"{config.graph.nodes} nodes a stage ({config.graph.stages} graphs)"
    pieces = {
        "train.epochs": many(config.train.epochs, "epoch"),
        "data.resolution": f"{config.data.source} at {config.data.resolution} pixels",
        **({"data.holdout": f"{config.data.holdout:,} images held out"} if config.data.holdout else {}),
        "network.regime": f"{config.network.regime} regime",
        "network.channels": f"C = {config.network.channels}",
        "graph.nodes": graphs,
        "network.op": config.network.op,
        "train.batch_size": f"batch {config.train.batch_size}",
        "train.lr": f"learning rate {config.train.lr:g}",
    }

    def comparable(key: str) -> list[TrialGroup]:
        """The budgets that say anything of a key: one of published networks alone says nothing of random ones."""
        return [other for other in budgets if not (other.typical.reference and key.startswith(OF_NETWORKS))]

    left_out = OF_NETWORKS if typical.reference else ()
    text = ", ".join(
        piece for key, piece in pieces.items() if key not in typical.varied and not key.startswith(left_out)
    )
    differing = [key for key in budget.budget if len({str(other.budget.get(key)) for other in comparable(key)}) > 1]
    if differing:
        text = "; ".join(f"{key} = {budget.budget[key]}" for key in differing) + ". Otherwise: " + text
    if not typical.reference and (names := published(budget)):
        text += f"; beside it, with the same data and training, the published {', '.join(names)}"
    return f"{text}."


def published(budget: TrialGroup) -> list[str]:
    """The names of the published networks of a budget, each once."""
    return list(dict.fromkeys(trial.generator for trial in budget.trials if trial.reference))
