"""The networks of PyPI's pytorchcv, by their function's name, such as `resnet50b` or `nasnet_4a1056`.

Only `pytorchcv.models.<module>` is imported: its list of all models imports torchvision.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from randwire.errors import ConfigError, one_line
from randwire.model.references._base import Provider

if TYPE_CHECKING:
    from torch import nn

_FUNCTION = re.compile(r"^def (\w+)\(.*?(?=^\S)", re.MULTILINE | re.DOTALL)
"""A function, without the rest of its signature's last line."""


class PytorchCV(Provider):
    """Networks of pytorchcv. Pooling over the whole image is by windows of fixed size there, and not here."""

    classifier = "output."

    @classmethod
    def names(cls) -> Collection[str]:
        return _modules().keys()

    @classmethod
    def build(cls, name: str, classes: int, resolution: int) -> nn.Module:
        from torch import nn

        pools = _global_pools(name)
        try:
            network: nn.Module = _function(name)(num_classes=classes, in_size=(resolution, resolution))
        except (AssertionError, TypeError):  # it has one size, by its name; whether it takes others shows in use
            network = _plain(name, classes)
        for path in pools:
            network.set_submodule(path, nn.AdaptiveAvgPool2d(1))
        return network

    @classmethod
    def free(cls, layer: nn.Module) -> bool:
        # Activations, shuffles, interpolations, identities: those of the package that have parameters are no layers.
        return type(layer).__module__.startswith("pytorchcv.") and not list(layer.parameters())


@cache
def _modules() -> Mapping[str, str]:
    """The module of every network, read off the sources: to import them all takes seconds, and torchvision."""
    spec = find_spec("pytorchcv")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("network.reference: pytorchcv is not installed; `pip install -r requirements.txt`")
    modules = {}
    for path in sorted(Path(spec.submodule_search_locations[0], "models").glob("*.py")):
        for function in _FUNCTION.finditer(path.read_text(encoding="utf-8")):
            if f'model_name="{function[1]}"' in function[0]:
                modules[function[1]] = path.stem
    return modules


def _function(name: str) -> Any:
    return getattr(import_module(f"pytorchcv.models.{_modules()[name]}"), name)


def _plain(name: str, classes: int) -> nn.Module:
    """The network for images of its own size. Raises ValueError if it admits no such number of classes."""
    try:
        network: nn.Module = _function(name)(num_classes=classes)
    except TypeError:
        raise ValueError("is no classifier of images") from None
    except AssertionError:
        raise ValueError(f"cannot be built for {classes} classes") from None
    return network


@cache
def _global_pools(name: str) -> tuple[str, ...]:
    """The poolings whose window is all of what they see of an image of the network's own size.

    Raises ValueError if the network is none of images alone.
    """
    import torch
    from torch import nn

    found = []

    def look(path: str, pool: nn.AvgPool2d, images: torch.Tensor) -> None:
        sides = (pool.kernel_size,) * 2 if isinstance(pool.kernel_size, int) else tuple(pool.kernel_size)
        if tuple(images.shape[2:]) == sides:
            found.append(path)

    try:
        with torch.device("meta"), torch.no_grad():
            network = _function(name)().eval()
            for path, module in network.named_modules():
                if isinstance(module, nn.AvgPool2d):
                    module.register_forward_pre_hook(lambda pool, inputs, path=path: look(path, pool, inputs[0]))
            network(torch.empty(1, 3, *network.in_size))
    except (AttributeError, TypeError):
        raise ValueError("is no classifier of images") from None
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"does not run on the meta device, where networks are counted ({one_line(error)[:100]})"
        ) from None
    return tuple(found)
