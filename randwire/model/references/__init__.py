"""Published networks, to compare random ones with: one file for each package that has some.

`build("pytorchcv:resnet50b", 1000, 224)` gives one. Importing this imports neither torch nor the packages.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

from randwire import registry
from randwire.errors import ConfigError
from randwire.model.references._base import Provider

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Provider", "build", "check", "check_resolutions", "is_one", "is_trained_whole", "provider"]

PACKAGE = "randwire.model.references"
MAX_SUGGESTED = 5


def provider(reference: str) -> type[Provider]:
    """The provider of a reference, `PROVIDER:NAME`. Raises ValueError for an unknown one."""
    return registry.load(PACKAGE, reference.partition(":")[0], Provider)  # type: ignore[type-abstract]


def is_one(text: str) -> bool:
    """Whether a text has the form of a reference to a package that is known here; there may be no such network."""
    package, colon, _ = text.partition(":")
    return bool(colon) and package in registry.names(PACKAGE)


def check(reference: str) -> None:
    """Raise ConfigError, in one line, if there is no such network here. Imports nothing of the network's package."""
    package, _, name = reference.partition(":")
    names = provider(reference).names()
    if name not in names:
        close = get_close_matches(name, names, MAX_SUGGESTED)
        hint = f"; close: {', '.join(close)}" if close else ""
        raise ConfigError(f"network.reference: {package} has no network {name!r}{hint}")


def build(reference: str, classes: int, resolution: int) -> nn.Module:
    """The network, on the current default device: images (B, 3, `resolution`, `resolution`) to logits (B, `classes`).

    It is drawn from PyTorch's global stream, as its package initialises it. Raises ConfigError, in one line, if there
    is no such network, or none for so many classes.
    """
    check(reference)
    try:
        return provider(reference).build(reference.partition(":")[2], classes, resolution)
    except ValueError as error:
        raise ConfigError(f"network.reference: {reference}: {error}") from None


@cache
def check_resolutions(reference: str, classes: int, resolution: int, others: tuple[int, ...] = ()) -> None:
    """Raise ConfigError, in one line, unless the network built for a resolution gives logits at it and at others.

    It runs on the meta device, which knows shapes alone, and once in a process: replicates ask for the same.
    """
    import torch

    with torch.device("meta"):
        network = build(reference, classes, resolution).eval()
        for side in dict.fromkeys((resolution, *others)):
            try:
                with torch.no_grad():
                    out = network(torch.empty(2, 3, side, side))
            except Exception as error:  # each layer has its own
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise ConfigError(
                    f"data.resolution: {reference} does not work on images of {side} pixels ({reason[:160]})"
                ) from None
            if not isinstance(out, torch.Tensor) or out.shape != (2, classes):
                raise ConfigError(
                    f"network.reference: {reference} gives no logits of {classes} classes for an image of {side} pixels"
                )


@cache
def is_trained_whole(reference: str, classes: int, resolution: int) -> bool:
    """Whether a step trains every parameter; not if some belong to outputs that are left aside, or if it is not known.

    It runs on the meta device, where a network that draws which of its parts it uses cannot be run.
    """
    import torch

    try:
        with torch.device("meta"):
            network = build(reference, classes, resolution).train()
            network(torch.empty(2, 3, resolution, resolution)).sum().backward()
    except (RuntimeError, NotImplementedError):
        return False
    return all(parameter.grad is not None for parameter in network.parameters())
