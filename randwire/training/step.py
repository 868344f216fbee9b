"""One step of a training: from images on the device to changed parameters.

`EagerStep` lets DistributedDataParallel exchange gradients while they are computed. `FlatStep` computes them into one
buffer, exchanges that, and then updates: the same numbers but for rounding, in parts that CUDA graphs can hold, which
`CapturedStep` replays. All of its arithmetic is that of `FlatStep`, which runs anywhere.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from randwire.config import StepKind, TrainConfig
from randwire.errors import ConfigError
from randwire.model.drop_edge import DropEdge
from randwire.training.optim import set_learning_rate

DDP_OPTIONS: dict[str, Any] = {"forward_sync_buffers": False, "gradient_as_bucket_view": True}
"""BN's running statistics are averaged once an epoch (`loop.average_buffers`) instead of sent with every step."""
ALIGNMENT = 16
"""Bytes by which gradients in the flat buffer are aligned: kernels read so many at once."""

Normalising = Callable[[Tensor], Tensor]


def check_step(choice: StepKind, device: torch.device) -> None:
    """Raise ConfigError if steps of this kind cannot be done on the device."""
    if choice == "captured" and device.type != "cuda":
        raise ConfigError(f"runtime.step: is captured, which needs a CUDA device, and this one is {device}; use eager")


class Step(Protocol):
    """A step of a training, made for one network and its optimizer; every rank does the same ones."""

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> Tensor:
        """Train on this rank's images (B, 3, H, W) in 0..255 units, and labels (B,), both on the device.

        Returns the loss of these images, on the device: the host does not wait.
        """
        ...

    def close(self) -> None:
        """Free what the steps hold; there are no more of them."""


def loss_of(network: nn.Module, images: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    """The loss of normalised images (B, 3, H, W) and labels (B,), computed in at least fp32 from the logits."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        logits = network(images)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)


def train_step(network: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    """One step on normalised images (B, 3, H, W) and labels (B,); returns the loss, on the device."""
    loss = loss_of(network, images, labels, config)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if config.clip_norm:
        nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimizer.step()
    return loss.detach()


class EagerStep:
    """Operation by operation; on several ranks `network` is in a DistributedDataParallel."""

    def __init__(self, network: nn.Module, optimizer: Optimizer, normalise: Normalising, config: TrainConfig) -> None:
        self._network, self._optimizer, self._normalise, self._config = network, optimizer, normalise, config

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> Tensor:
        set_learning_rate(self._optimizer, lr)
        return train_step(self._network, self._optimizer, self._normalise(images), labels, self._config)

    def close(self) -> None:
        pass


class FlatStep:
    """`prepare`, `gradients`, `exchange` and `update`, of a network that is in no DistributedDataParallel.

    Parameters that the loss does not depend on keep no gradient, and are not updated.
    """

    def __init__(
        self, network: nn.Module, optimizer: Optimizer, normalise: Normalising, config: TrainConfig, ranks: int = 1
    ) -> None:
        """On several ranks all of them make theirs at once, and get the first one's parameters and buffers."""
        self.network, self.optimizer, self.config, self._ranks = network, optimizer, config, ranks
        self._normalise = normalise
        self._flat: Tensor | None = None
        self._parts: list[Tensor] = []
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._used: Sequence[bool] = ()
        self._drop_edges = [module for module in network.modules() if isinstance(module, DropEdge)]
        for module in self._drop_edges:
            module.manual = True
        if ranks > 1:
            with torch.no_grad():
                for value in (*network.parameters(), *network.buffers()):
                    first = value.contiguous()
                    distributed.broadcast(first, 0)
                    value.copy_(first)

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> Tensor:
        self.prepare(lr)
        loss = self.gradients(images, labels)
        self.exchange()
        self.update()
        return loss

    def close(self) -> None:
        for module in self._drop_edges:
            module.manual = False

    def prepare(self, lr: float) -> None:
        """Write where the next step reads them: the learning rate, and the edges that it does without."""
        set_learning_rate(self.optimizer, lr)
        for module in self._drop_edges:
            if module.probability:
                module.redraw()

    def gradients(self, images: Tensor, labels: Tensor) -> Tensor:
        """Compute the gradients of the loss of this rank's images, divided by the number of ranks. Returns the loss.

        They lie in one buffer, of which the gradients of the parameters are parts.
        """
        loss = loss_of(self.network, self._normalise(images), labels, self.config)
        found = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        used = [gradient is not None for gradient in found]
        if self._flat is None:
            self._lay_out(used)
        if used != self._used or self._flat is None:
            raise RuntimeError("the loss depends on other parameters than in the first step")
        torch._foreach_copy_(self._parts, [gradient for gradient in found if gradient is not None])
        if self._ranks > 1:
            self._flat.mul_(1 / self._ranks)
        return loss.detach()

    def exchange(self) -> None:
        """Sum the gradients over the ranks."""
        if self._ranks > 1:
            distributed.all_reduce(self._flat)

    def update(self) -> None:
        """Clip the gradients as configured, and change the parameters."""
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self._parameters, self.config.clip_norm)
        self.optimizer.step()

    def _lay_out(self, used: Sequence[bool]) -> None:
        """Make the buffer, and of its parts the gradients of the parameters that are used, laid out as these are."""
        parameters = [parameter for parameter, needed in zip(self._parameters, used, strict=True) if needed]
        unit = ALIGNMENT // parameters[0].element_size()
        sizes = [-(-parameter.numel() // unit) * unit for parameter in parameters]
        self._used, self._flat = used, parameters[0].new_zeros(sum(sizes))
        self._parts = [
            part.as_strided(parameter.size(), parameter.stride())
            for parameter, part in zip(parameters, torch.split(self._flat, sizes), strict=True)
        ]
        self.optimizer.zero_grad(set_to_none=True)
        for parameter, part in zip(parameters, self._parts, strict=True):
            parameter.grad = part


class CapturedStep:
    """A `FlatStep` whose gradients and update are CUDA graphs: the host launches two instead of thousands of kernels.

    The first step of each resolution waits: it is tried on these images, without a trace, and captured. Its optimizer
    must be one to be captured. Nothing may put other tensors in the place of parameters, buffers or state afterwards.
    """

    def __init__(self, step: FlatStep) -> None:
        from randwire.training.graphs import Graphs

        self._step, self._graphs = step, Graphs()
        self._gradients: dict[tuple[object, ...], Callable[[Tensor, Tensor], Tensor]] = {}
        self._update: Callable[[], None] | None = None

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> Tensor:
        kind = images.shape, images.dtype, images.stride()
        if kind not in self._gradients:
            self._capture(kind, images, labels)
        assert self._update is not None
        self._step.prepare(lr)
        loss = self._gradients[kind](images, labels).clone()  # the next step overwrites it
        self._step.exchange()
        self._update()
        return loss

    def close(self) -> None:
        self._gradients, self._update = {}, None
        self._graphs.close()
        self._step.close()

    def _capture(self, kind: tuple[object, ...], images: Tensor, labels: Tensor) -> None:
        step = self._step

        def whole() -> None:
            step.gradients(images, labels)
            step.update()

        with untouched(step.network, step.optimizer):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
                self._graphs.warm_up(whole)
            self._gradients[kind] = self._graphs.capture(step.gradients, images, labels)
            if self._update is None:
                self._update = self._graphs.capture(step.update)


def make_step(
    network: nn.Module,
    optimizer: Optimizer,
    normalise: Normalising,
    config: TrainConfig,
    captured: bool = False,
    ranks: int = 1,
    whole: bool = True,
) -> Step:
    """How a network on its device is trained; every rank calls it. `whole`: the loss depends on all parameters."""
    if captured:
        return CapturedStep(FlatStep(network, optimizer, normalise, config, ranks))
    if ranks > 1:
        network = DistributedDataParallel(network, find_unused_parameters=not whole, **DDP_OPTIONS)
    return EagerStep(network, optimizer, normalise, config)


@contextmanager
def untouched(network: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Steps within the block leave no trace in parameters, buffers, the optimizer's state and random generators.

    Their tensors stay the same ones. State that the optimizer makes in the block is zero afterwards: as if at no step.
    """
    before = [*network.parameters(), *network.buffers(), *_state(optimizer)]
    values = [tensor.detach().clone() for tensor in before]
    known = {id(tensor) for tensor in before}
    device = before[0].device
    generator = torch.get_rng_state()
    of_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(before, values, strict=True):
                tensor.copy_(value)
            for tensor in _state(optimizer):
                if id(tensor) not in known:
                    tensor.zero_()
        torch.set_rng_state(generator)
        if of_device is not None:
            torch.cuda.set_rng_state(of_device, device)


def _state(optimizer: Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
