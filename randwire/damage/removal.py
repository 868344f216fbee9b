"""Graph damage: a trained network without one node or one edge of its random graphs (paper, section 4.1, Figure 5).

The paper removes one node or one edge after the training and evaluates without any further training (certainty B). On
the rest it is silent, as far as we know it, and this is our reading:

- One stage is damaged at a time, also where stages share a graph. The input and the output node of a stage are not of
  the random graph: neither they nor their edges are removed.
- Damage only takes away. A removed input is missing from the weighted sum, and the other weights are not scaled up. A
  node without any input left sums nothing: it computes on zeros, so its output is a constant, that of its BN. It does
  not become a source, for it has no weights for the input of the stage.
- The output node averages the sinks that are left, and gives zeros if there are none. A node that loses its only
  successor does not become a sink: what it computes is lost.

So a damaged network has the weights of the whole one, and nothing is copied: hooks put zeros in the place of what is
gone. Batch norm keeps the statistics of the whole network, as in the paper, unless they are recalibrated.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from randwire.dag import DAG
from randwire.model.network import RandWire
from randwire.model.stage import Stage
from randwire.training.evaluate import full_precision

Kind = Literal["node", "edge"]


@dataclass(frozen=True)
class Damage:
    """What is removed from one stage: a node (`part` holds its number) or an edge (`part` holds both its nodes)."""

    stage: str
    part: tuple[int, ...]

    @property
    def kind(self) -> Kind:
        return "node" if len(self.part) == 1 else "edge"

    def degree(self, dag: DAG) -> int:
        """What Figure 5 shows the loss against: a node's out-degree, or the in-degree of an edge's target.

        Both are those of the whole graph of the stage, `dag`; edges from the input and to the output node are not
        counted.
        """
        return len(dag.successors[self.part[0]] if self.kind == "node" else dag.predecessors[self.part[1]])


def stage_dags(network: nn.Module) -> dict[str, DAG]:
    """The graphs of a network by random stage, in the order of the stages; a published one has none."""
    return {name: stage.dag for name, stage in _stages(network).items()}


def _stages(network: nn.Module) -> dict[str, Stage]:
    stages = network.stages.items() if isinstance(network, RandWire) else ()
    return {name: stage for name, stage in stages if isinstance(stage, Stage)}


def damages(dags: Mapping[str, DAG], kind: Kind) -> list[Damage]:
    """Every node or every edge that can be removed."""
    if kind == "node":
        return [Damage(stage, (node,)) for stage, dag in dags.items() for node in range(dag.nodes)]
    return [Damage(stage, edge) for stage, dag in dags.items() for edge in dag.edges]


def sample(candidates: list[Damage], count: int | None, stream: random.Random) -> list[Damage]:
    """`count` of the damages in their order, uniform without replacement; all of them with None or too large a count.

    Of one seed of the stream, a larger sample contains the smaller ones: a study can be extended.
    """
    chosen = set(stream.sample(candidates, len(candidates))[:count])
    return [damage for damage in candidates if damage in chosen]


@contextmanager
def damaged(network: nn.Module, damage: Damage) -> Iterator[None]:
    """The network without a node or an edge while the block lasts; its parameters and buffers stay as they are.

    Raises ValueError if the network has no such part.
    """
    stage = _stages(network).get(damage.stage)
    if stage is None or damage not in damages({damage.stage: stage.dag}, damage.kind):
        raise ValueError(f"the network has no {damage.kind} {damage.part} in a stage {damage.stage}")
    with ExitStack() as hooks:
        if damage.kind == "edge":
            source, target = damage.part
            zeros = _without_input(stage.dag.predecessors[target].index(source))
            hooks.enter_context(stage.nodes[target].register_forward_pre_hook(zeros))
        else:
            node = damage.part[0]
            hooks.enter_context(stage.nodes[node].register_forward_hook(_zeros))
            sinks = stage.dag.sinks
            if node in sinks and len(sinks) > 1:
                hooks.enter_context(stage.register_forward_hook(_scaled(len(sinks) / (len(sinks) - 1))))
        yield


def _zeros(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return torch.zeros_like(output)


def _scaled(factor: float) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    """The stage has divided by the number of all sinks."""
    return lambda module, inputs, output: output * factor


def _without_input(index: int) -> Callable[[nn.Module, Any], Any]:
    def hook(module: nn.Module, arguments: Any) -> Any:
        values = list(arguments[0])
        values[index] = torch.zeros_like(values[index])
        return (values, *arguments[1:])

    return hook


@contextmanager
def recalibrated(network: nn.Module, batches: Iterable[Tensor]) -> Iterator[None]:
    """The network, in evaluation mode, with BN statistics of its own while the block lasts; then its old ones, exactly.

    `batches` are normalised training images (B, 3, H, W). Statistics are the means over the batches of each batch's
    mean and unbiased variance, as torch.optim.swa_utils.update_bn takes them, in fp32 as in evaluation; dropout and
    drop edge stay off. Raises ValueError if there is no batch.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    momenta = [norm.momentum for norm in norms]
    seen = 0
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.training = True
        with torch.no_grad():
            for seen, images in enumerate(batches, 1):
                for norm in norms:
                    norm.momentum = 1 / seen  # as None does, for which a GPU is asked how many there were
                with full_precision(images.device):
                    network(images)
        if not seen:
            raise ValueError("no batch to recalibrate with")
        for norm in norms:
            norm.training = False
        yield
    finally:
        for norm, buffers, momentum in zip(norms, before, momenta, strict=True):
            norm.load_state_dict(buffers, strict=False)
            norm.momentum, norm.training = momentum, False
