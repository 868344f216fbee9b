"""The size of a published network, by its outer parts, counted with the same rule as that of a random one."""

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from randwire.model import references
from randwire.model.complexity import Complexity, StageComplexity
from randwire.model.counting import Shape, activations_by_part, by_layer

FEATURES = "features"
"""The name of all that is before the classifier, by custom: its parts are shown one by one."""


@lru_cache(maxsize=256)
def complexity(reference: str, classes: int, resolution: int) -> Complexity:
    """Counts for images of `resolution` x `resolution` pixels, as it is evaluated; without building its weights.

    Raises ConfigError if there is no such network for such images, and ValueError, naming the module, if it cannot be
    counted.
    """
    references.check_resolutions(reference, classes, resolution)
    with torch.device("meta"):
        network = references.build(reference, classes, resolution)
    parts, outputs = outer_parts(network), dict[str, Shape]()
    for path, part in parts.items():
        part.register_forward_hook(lambda _, __, out, path=path: outputs.update({path: _shape(out)}))
    try:
        products = by_layer(network, (3, resolution, resolution), references.provider(reference).free)
        saved = activations_by_part(network, (3, resolution, resolution), parts)
    except (RuntimeError, NotImplementedError):
        raise ValueError("does not run on the meta device, where networks are counted") from None
    params = {name: parameter.numel() for name, parameter in network.named_parameters()}
    stages = [
        StageComplexity(
            path.removeprefix(f"{FEATURES}."),
            _inside(params, path),
            _inside(products, path),
            saved[path],
            outputs.get(path, (0, 0, 0)),  # of a part that evaluation does without
        )
        for path in parts
        if path in outputs or _inside(params, path)
    ]
    rest = [sum(values.values()) - sum(_inside(values, path) for path in parts) for values in (params, products)]
    if any(rest) or saved[""]:
        stages.append(StageComplexity("between", rest[0], rest[1], saved[""], (classes, 1, 1)))
    return Complexity(tuple(stages))


@lru_cache(maxsize=256)
def size(reference: str, classes: int, resolution: int) -> tuple[int, int]:
    """Parameters and multiply-adds of `complexity`, alone and sooner. Raises as it does."""
    references.check_resolutions(reference, classes, resolution)
    with torch.device("meta"):
        network = references.build(reference, classes, resolution)
    products = by_layer(network, (3, resolution, resolution), references.provider(reference).free)
    return sum(parameter.numel() for parameter in network.parameters()), sum(products.values())


def outer_parts(network: nn.Module) -> dict[str, nn.Module]:
    """The parts of a network by their path, none inside of another."""
    parts: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        if name == FEATURES and list(child.children()):
            parts |= {f"{FEATURES}.{inner}": part for inner, part in child.named_children()}
        else:
            parts[name] = child
    return parts


def _inside(values: Mapping[str, int], path: str) -> int:
    """The sum of what has a name inside of a part."""
    return sum(value for name, value in values.items() if name == path or name.startswith(f"{path}."))


def _shape(out: object) -> Shape:
    """Channels, height and width of an output; of several, the first."""
    while isinstance(out, tuple | list):
        out = out[0]
    sizes = [*out.shape[1:], 1, 1] if isinstance(out, Tensor) else [0, 0, 0]
    return sizes[0], sizes[1], sizes[2]
