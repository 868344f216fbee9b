"""Checkpoints: one file an epoch, replaced atomically, the one before kept in case the newest is damaged.

In the middle of an epoch there is one more, which is worth nothing any longer when the epoch has ended.

A checkpoint holds the state of the network and of the optimizer, the epoch, the configuration, the graphs, and of the
data the names of the classes and what images are normalised by: a network can be used with nothing else at hand.
Schedule and random streams need no state: both are functions of the seed, the epoch and the rank (see
`loop.seed_epoch`).
"""

import errno
import warnings
from collections.abc import Set
from pathlib import Path
from typing import Any

import torch

from randwire.errors import CheckpointError
from randwire.header import SUFFIX
from randwire.records import MID_EPOCH_CHECKPOINT, NEWEST_CHECKPOINT, atomic
from randwire.training import weights

NEXT, PREVIOUS = ".next", "previous.pt"
KEYS = {"network", "optimizer", "epoch", "config", "graphs", "data"}
MID_EPOCH_KEYS = {*KEYS, "part"}
"""`part` is what `mid_epoch.state_of` makes, `epoch` the one that has begun."""

PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM)
"""Errors of a storage that is away for a while: they say nothing of the file, and a sweep tries again."""


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (keys: KEYS) as the newest checkpoint. A kill at any moment leaves one whole checkpoint."""
    assert set(state) == KEYS
    with atomic(folder / NEXT) as file:
        torch.save(state, file)
    if (folder / NEWEST_CHECKPOINT).exists():
        (folder / NEWEST_CHECKPOINT).replace(folder / PREVIOUS)
    (folder / NEXT).replace(folder / NEWEST_CHECKPOINT)
    (folder / MID_EPOCH_CHECKPOINT).unlink(missing_ok=True)


def save_mid_epoch(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (keys: MID_EPOCH_KEYS) in place of the one before; a kill at any moment leaves one of them."""
    assert set(state) == MID_EPOCH_KEYS
    with atomic(folder / MID_EPOCH_CHECKPOINT) as file:
        torch.save(state, file)


def read(path: Path, keys: Set[str] = frozenset(KEYS)) -> dict[str, Any]:
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
        if isinstance(error, OSError) and error.errno in PASSING:
            raise
        reason = error.strerror if isinstance(error, OSError) else "damaged, foreign, or holds more than data"
        raise CheckpointError(f"{path}: not a readable checkpoint: {reason}") from None
    if not isinstance(state, dict) or set(state) != keys:
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


def to_go_on_from(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The newest state of a training, and what must be told of it; None if there is none.

    It is in the middle of an epoch if it has a `part`: of the epoch after the newest checkpoint of a whole one. A
    file of another epoch is left over; a damaged one costs the steps since the end of that epoch.
    Raises CheckpointError as `newest` does.
    """
    state = newest(folder)
    epoch = 1 if state is None else int(state["epoch"]) + 1
    if not (folder / MID_EPOCH_CHECKPOINT).exists():
        return state, ""
    try:
        part = read(folder / MID_EPOCH_CHECKPOINT, MID_EPOCH_KEYS)
    except CheckpointError as error:
        return state, f"{error}; epoch {epoch} begins anew"
    if part["epoch"] != epoch:
        return state, ""
    return part, f"epoch {epoch}: goes on after step {part['part']['steps_done']} of {part['part']['steps']}"
