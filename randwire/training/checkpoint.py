"""Checkpoints: one file an epoch, replaced atomically, the one before kept in case the newest is damaged.

A checkpoint holds the state of the network and of the optimizer, the epoch, the configuration, the graphs, and of the
data the names of the classes and what images are normalised by: a network can be used with nothing else at hand.
Schedule and random streams need no state: both are functions of the seed, the epoch and the rank (see
`loop.seed_epoch`).
"""

import warnings
from pathlib import Path
from typing import Any

import torch

from randwire.errors import CheckpointError
from randwire.header import SUFFIX
from randwire.records import NEWEST_CHECKPOINT, atomic
from randwire.training import weights

NEXT, PREVIOUS = ".next", "previous.pt"
KEYS = {"network", "optimizer", "epoch", "config", "graphs", "data"}


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (keys: KEYS) as the newest checkpoint. A kill at any moment leaves one whole checkpoint."""
    assert set(state) == KEYS
    with atomic(folder / NEXT) as file:
        torch.save(state, file)
    if (folder / NEWEST_CHECKPOINT).exists():
        (folder / NEWEST_CHECKPOINT).replace(folder / PREVIOUS)
    (folder / NEXT).replace(folder / NEWEST_CHECKPOINT)


def read(path: Path) -> dict[str, Any]:
    """The content of one checkpoint file, on the CPU. Nothing in it is executed (`weights_only`).

    A safetensors file, told by its suffix, has no state of the optimizer: it cannot be gone on with, all else it can.
    Raises CheckpointError for a file that is absent, damaged, foreign or holds more than data.
    """
    if path.suffix == SUFFIX:
        return weights.read(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can make the reader raise anything
        reason = error.strerror if isinstance(error, OSError) else "damaged, foreign, or holds more than data"
        raise CheckpointError(f"{path}: not a readable checkpoint: {reason}") from None
    if not isinstance(state, dict) or set(state) != KEYS:
        raise CheckpointError(f"{path}: not a checkpoint of randwire")
    return state


def newest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint of a folder, or None if it has none.

    Raises CheckpointError if there are checkpoints but none of them can be read.
    """
    failure: CheckpointError | None = None
    for name in (NEWEST_CHECKPOINT, NEXT, PREVIOUS):
        if (folder / name).exists():
            try:
                return read(folder / name)
            except CheckpointError as error:
                failure = failure or error
    if failure:
        raise failure
    return None
