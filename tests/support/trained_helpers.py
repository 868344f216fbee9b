"""What tests of trained networks share; `trained` and `pictures` are fixtures of conftest.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import commands
import torch

from randwire import config as configuration
from randwire.config import RunConfig
from randwire.records import checkpoint_file
from randwire.training import checkpoint
from randwire.training.worker import ProcessWorker

CPU = torch.device("cpu")
SMALL: Mapping[str, object] = {
    "graph.nodes": 6,
    "network.channels": 6,
    "network.head": 24,
    "train.epochs": 3,
    "runtime.wandb": "disabled",
}


class Interrupting(ProcessWorker):
    """Ctrl-C after some epochs."""

    def __init__(self, after: int) -> None:
        super().__init__(CPU)
        self.after = after

    def report(self, row: Mapping[str, Any]) -> bool:
        if row["epoch"] == self.after:
            raise KeyboardInterrupt
        return False


def settings(folder: Path, **keys: object) -> RunConfig:
    dotted = {key.replace("__", "."): value for key, value in keys.items()}
    return configuration.load("digits", {**SMALL, "runtime.output": str(folder), **dotted})


def weights(record: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = checkpoint.read(checkpoint_file(record))["network"]
    return tensors


def refused(*arguments: str) -> str:
    """The one line of a command that must not work."""
    done = commands.call("train.py", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def with_classes(record: Path, target: Path, classes: list[str]) -> Path:
    """The checkpoint of a record, as if it had been trained on other classes."""
    state = checkpoint.read(checkpoint_file(record))
    last = "stages.classifier.fc."
    count = min(len(classes), len(state["data"]["classes"]))
    for name in ("weight", "bias"):
        value = state["network"][last + name]
        state["network"][last + name] = torch.cat([value[:count], value[: len(classes) - count]])
    state["data"]["classes"] = classes
    torch.save(state, target)
    return target
