"""Counts of any module, by running it on the meta device: multiply-adds, parameters, activations.

A module whose counts would be too low is refused: one with a layer that is not known here, or with matrix products
outside of convolutions and fully connected layers.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from randwire.model.drop_edge import DropEdge

COUNTED = (nn.Conv2d, nn.Linear)
"""Layers whose multiply-adds are counted."""
FREE = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Softmax,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.PixelShuffle,
    nn.ChannelShuffle,
    nn.Upsample,
    nn.Flatten,
    nn.Identity,
    DropEdge,
)
"""Layers without multiply-adds, as the paper counts them: what works on each number alone, or adds up a few."""

_aten = torch.ops.aten
UNCOUNTED: Mapping[Any, Callable[..., int]] = dict.fromkeys(
    (
        *(_aten.mv, _aten.addmv, _aten.dot, _aten.vdot, _aten.addbmm, _aten._trilinear, _aten._cdist_forward),
        *(_aten.im2col, _aten.unfold),  # windows, whose products with weights follow one by one
        *(_aten._fft_r2c, _aten._fft_c2c, _aten._fft_c2r),
    ),
    lambda *_, **__: 1,
)
"""Operations of multiply-adds that PyTorch's registry lacks; one is enough, as they are never those of layers."""

Shape = tuple[int, int, int]


def measure(module: nn.Module, shape: Shape) -> tuple[int, int]:
    """Parameters, and multiply-adds in evaluation on one image (C, H, W), of a module on the meta device.

    Raises ValueError, naming the module at fault, if there are multiply-adds that cannot be counted.
    """
    mult_adds = sum(by_layer(module, shape).values())
    return sum(parameter.numel() for parameter in module.parameters()), mult_adds


def by_layer(module: nn.Module, shape: Shape, free: Callable[[nn.Module], bool] = lambda _: False) -> dict[str, int]:
    """The multiply-adds of `measure` by the names of layers. `free` are layers without any, beside those of FREE.

    Raises ValueError as `measure` does.
    """
    layers = [(name, layer) for name, layer in module.named_modules() if not list(layer.children())]
    for name, layer in layers:
        if not isinstance(layer, (*COUNTED, *FREE)) and type(layer) is not nn.Sequential and not free(layer):
            raise ValueError(f"{_title(module, name)}: the multiply-adds of a {type(layer).__name__} are not known")
    counted = dict.fromkeys((name for name, _ in layers), 0)

    def count(name: str, layer: nn.Module, out: object) -> None:
        if not isinstance(out, Tensor):
            return  # what it multiplies is missing below
        if isinstance(layer, nn.Conv2d):
            counted[name] += out.numel() * layer.weight[0].numel()  # of one image, however it is shaped
        elif isinstance(layer, nn.Linear):
            counted[name] += out.numel() * layer.in_features

    hooks = [
        layer.register_forward_hook(lambda layer, _, out, name=name: count(name, layer, out)) for name, layer in layers
    ]
    x, was_training = torch.empty(1, *shape, device="meta"), module.training
    try:
        with torch.no_grad(), _Products() as products:
            module.eval()(x)
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    total = sum(counted.values())
    if products.flops != 2 * total:
        name = _uncounted(module, x, counted)
        raise ValueError(
            f"{_title(module, name)}: has multiply-adds outside of Conv2d and Linear layers, which are not counted"
        )
    return counted


def activations(module: nn.Module, shape: Shape) -> int:
    """Floating-point numbers that one image (C, H, W) leaves for the backward pass of a module on the meta device."""
    return sum(activations_by_part(module, shape, {}).values())


def activations_by_part(module: nn.Module, shape: Shape, parts: Mapping[str, nn.Module]) -> dict[str, int]:
    """The activations of `module` by the names of parts of it, none inside of another; those of no part under ''."""
    # By the difference that an image makes: what there is once, such as parameters and statistics, falls out.
    three, two = (_saved(module, shape, parts, images) for images in (3, 2))
    return {name: three[name] - two[name] for name in ("", *parts)}


def _saved(module: nn.Module, shape: Shape, parts: Mapping[str, nn.Module], images: int) -> Counter[str]:
    """Numbers in the storages that a training pass over so many images saves for its backward pass, by part."""
    storages: dict[int, tuple[torch.UntypedStorage, int, str]] = {}
    inside = [""]

    def note(value: Tensor) -> Tensor:
        if value.is_floating_point():
            storage = value.untyped_storage()
            # They are kept alive, so that no other one gets the same address.
            storages.setdefault(storage._cdata, (storage, storage.nbytes() // value.element_size(), inside[-1]))
        return value

    x = torch.empty(images, *shape, device="meta").requires_grad_().clone()  # no leaf: a layer may work in place
    hooks = [
        hook
        for name, part in parts.items()
        for hook in (
            part.register_forward_pre_hook(lambda *_, name=name: inside.append(name)),
            part.register_forward_hook(lambda *_: inside.pop() and None),
        )
    ]
    was_training = module.training
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            module.train()(x)
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    numbers = Counter[str]()
    for _, count, name in storages.values():
        numbers[name] += count
    return numbers


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The operations of all convolutions and matrix products, as FlopCounterMode counts them but in less time.

    Those of UNCOUNTED are in it as one each.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        flops = flop_registry.get(func.overloadpacket) or UNCOUNTED.get(func.overloadpacket)
        if flops is not None:
            self.flops += flops(*args, **(kwargs or {}), out_val=out)
        return out


def _uncounted(module: nn.Module, x: Tensor, counted: Mapping[str, int]) -> str:
    """The name of the innermost module with other products than those of its layers."""
    was_training = module.training
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=dict(UNCOUNTED)) as products:
        module.eval()(x)
    module.train(was_training)
    innermost = ""
    for name, _ in module.named_modules():
        inside = sum(value for layer, value in counted.items() if layer == name or layer.startswith(f"{name}."))
        flops = products.get_flop_counts().get(f"{type(module).__name__}.{name}", {})
        if name and sum(flops.values()) != 2 * inside:
            innermost = name
    return innermost


def _title(module: nn.Module, name: str) -> str:
    """What a message calls a module inside of `module`."""
    kind = type(module.get_submodule(name)).__name__
    return f"{name} ({kind})" if name else kind
