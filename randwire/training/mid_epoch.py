"""What a checkpoint in the middle of an epoch holds beside the states of network and optimizer, and how it is resumed.

Most of a step is a function of the seed, the epoch and the step: images, crops, augmentations, the learning rate. What
is not: the running statistics of BN, which each rank has its own of until an epoch ends, random streams that are drawn
from step by step (dropout, drop edge), and the sum of the losses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from randwire import streams
from randwire.model.drop_edge import DropEdge
from randwire.training.worker import Worker

State = dict[str, Any]


@dataclass
class EpochPart:
    """What has been trained of an epoch; `losses` is the sum over its steps on this rank, on its device.

    Images are those of all ranks, seconds those of this one: in all, and in which it waited for images.
    """

    losses: Tensor
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    loading: float = 0.0


def state_of(network: nn.Module, part: EpochPart, steps: int, worker: Worker) -> State | None:
    """The state of a part of an epoch of `steps` steps, on the first rank; None on others. Called by every rank."""
    own = {
        "losses": part.losses.cpu(),
        "buffers": [buffer.cpu() for buffer in averaged(network)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(worker.device) if worker.device.type == "cuda" else None,
        "drop_edge": [module.state for module in _drop_edges(network)],
    }
    ranks: list[State | None] = [own]
    if worker.world_size > 1:
        ranks = [None] * worker.world_size
        distributed.gather_object(own, ranks if worker.rank == 0 else None)
    if worker.rank:
        return None
    return {
        "steps_done": part.steps,
        "steps": steps,
        "images": part.images,
        "seconds": part.seconds,
        "loading": part.loading,
        "ranks": ranks,
    }


def resume(state: Mapping[str, Any], network: nn.Module, worker: Worker, seed: int, epoch: int) -> EpochPart:
    """Bring this rank to where it was when `state` was made, and return the part of the epoch that was trained.

    On another number of ranks statistics and losses are the mean of what the ranks had, and random streams begin anew
    at this step. The network's own state must have been loaded.
    """
    ranks: Sequence[State] = state["ranks"]
    steps_done = int(state["steps_done"])
    same = len(ranks) == worker.world_size
    own = [ranks[worker.rank]] if same else ranks
    with torch.no_grad():
        for number, buffer in enumerate(averaged(network)):
            buffer.copy_(torch.stack([rank["buffers"][number] for rank in own]).mean(0))
    torch.manual_seed(streams.resumed_epoch_seed(seed, epoch, steps_done, worker.rank))
    if same:
        torch.set_rng_state(own[0]["torch"])
        if worker.device.type == "cuda" and own[0]["cuda"] is not None:
            torch.cuda.set_rng_state(own[0]["cuda"], worker.device)
    for number, module in enumerate(_drop_edges(network)):
        if same or module.ranks == "shared":
            module.state = own[0]["drop_edge"][number]
        else:
            module.seed(seed, epoch, worker.rank, steps_done)
    losses = torch.stack([rank["losses"] for rank in own]).mean(0).to(worker.device)
    return EpochPart(losses, steps_done, int(state["images"]), float(state["seconds"]), float(state["loading"]))


def check_same_place(place: tuple[str, int, int], worker: Worker) -> None:
    """Each rank reads the checkpoints by itself; `place` is where it goes on: trial, epochs and steps done.

    Raises RuntimeError, on all ranks, if they differ: shared storage has shown one of them an older folder. Tried
    again, the training goes on.
    """
    if worker.world_size == 1:
        return
    places: list[Any] = [None] * worker.world_size
    distributed.all_gather_object(places, place)
    if len(set(places)) > 1:
        raise RuntimeError(f"the ranks would go on at different places: {', '.join(map(str, places))}")


def averaged(network: nn.Module) -> list[Tensor]:
    """The buffers that are averaged over the ranks at the end of an epoch: floating-point ones of its state.

    What is drawn anew in each step, as the edges that are kept, is of no state.
    """
    state = network.state_dict(keep_vars=True)
    return [buffer for name, buffer in network.named_buffers() if name in state and buffer.is_floating_point()]


def _drop_edges(network: nn.Module) -> list[DropEdge]:
    return [module for module in network.modules() if isinstance(module, DropEdge)]
