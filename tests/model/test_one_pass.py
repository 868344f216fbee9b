"""Sums in one pass are those of PyTorch's operations, and are taken only where nothing else sees the numbers."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from randwire.model import aggregation, kernels
from randwire.model.gathering import forked, joined

SHAPES = {"one number": (1, 1, 1, 1), "less than a block": (2, 3, 5, 7), "blocks and a rest": (3, 7, 31, 17)}
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(kernels, "LEAST", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _images(number: int, shape: Sequence[int], layout: str) -> list[Tensor]:
    stream = torch.Generator().manual_seed(number)
    drawn = [torch.randn(tuple(shape), generator=stream) for _ in range(number)]
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0, 0.0, 1e-39, 3e38])
    for place, image in enumerate(drawn):
        for index, value in enumerate(special[: max(0, image.numel() - place)]):
            image.view(-1)[place + index] = value
    return [image.to(torch.bfloat16, memory_format=LAYOUTS[layout]) for image in drawn]


def _without_kernels(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], *given: Any) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(aggregation, "_kernels", lambda: None)
        return function(*given)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("number", [1, 2, 5])
def test_sums_are_those_of_pytorch(
    number: int, shape: tuple[int, ...], layout: str, rectified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = _images(number, shape, layout)
    before = [value.clone() for value in values]
    weights: list[Tensor | None] = [*torch.rand(number, generator=torch.Generator().manual_seed(0))]
    for given in (weights, [*weights[1:], None]):
        assert aggregation.one_pass(values) is kernels
        found = aggregation.weighted_sum(given, values, rectified)
        expected = _without_kernels(monkeypatch, aggregation.weighted_sum, given, values, rectified)
        assert (found.dtype, found.stride()) == (torch.bfloat16, values[0].stride())
        # Where a CPU has no fused multiply-add, PyTorch rounds once more.
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=0, equal_nan=True)
    for value, old in zip(values, before, strict=True):
        torch.testing.assert_close(value, old, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("number", [0, 1, 4])
def test_the_gradient_is_masked_as_pytorch_does_and_multiplied_exactly(
    number: int, shape: tuple[int, ...], layout: str
) -> None:
    stream = torch.Generator().manual_seed(number)
    drawn = [torch.randn(shape, generator=stream) for _ in range(number + 2)]
    grad, out, *inputs = (image.to(torch.bfloat16, memory_format=LAYOUTS[layout]) for image in drawn)
    out = out.relu()
    masked, products = kernels.masked_gradient(grad, out, inputs)
    expected = torch.ops.aten.threshold_backward(grad, out, 0)
    assert torch.equal(masked, expected)
    assert masked.stride() == grad.stride()
    assert products.dtype == torch.float32
    exact = [(expected.double() * value.double()).sum() for value in inputs]
    assert products.tolist() == pytest.approx([float(value) for value in exact], rel=1e-5, abs=1e-4)


def test_a_nan_passes_the_relu_both_ways() -> None:
    (image,) = _images(1, (1, 1, 2, 4), "NCHW")
    out = aggregation.weighted_sum([None], [image], rectified=True)
    assert out.isnan().flatten().tolist() == image.isnan().flatten().tolist()
    masked, _ = kernels.masked_gradient(torch.ones_like(out), out, ())
    assert torch.equal(masked, torch.ops.aten.threshold_backward(torch.ones_like(out), out, 0))


def test_gradients_of_a_sum_are_those_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients() -> tuple[Tensor, ...]:
        stream = torch.Generator().manual_seed(3)
        inputs = [torch.randn(2, 3, 40, 40, generator=stream).bfloat16().requires_grad_() for _ in range(3)]
        weights = torch.rand(3, generator=stream).requires_grad_()
        copies = [forked(x, [w])[0] for x, w in zip(inputs, weights.detach().unbind(), strict=True)]
        out = joined(weights, copies)
        return torch.autograd.grad(out, [weights, *inputs], torch.ones_like(out))

    found, expected = gradients(), _without_kernels(monkeypatch, gradients)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


def test_who_watches_operations_sees_those_of_pytorch() -> None:
    values = _images(2, (2, 3, 5, 7), "NHWC")
    assert aggregation.one_pass(values) is kernels
    with _Watching():  # type: ignore[no-untyped-call]
        assert aggregation.one_pass(values) is None
    with FakeTensorMode() as fake:
        assert aggregation.one_pass([fake.from_tensor(value) for value in values]) is None
    taken = []

    def traced(*images: Tensor) -> Tensor:
        taken.append(aggregation.one_pass(images))
        return images[0]

    torch.jit.trace(traced, tuple(values), check_trace=False)  # type: ignore[no-untyped-call]
    torch.vmap(traced)(*values)
    assert set(taken) == {None}


def test_other_images_are_added_up_by_pytorch() -> None:
    one, two = _images(2, (2, 3, 5, 7), "NHWC")
    assert aggregation.one_pass([one.float(), two.float()]) is None
    assert aggregation.one_pass([one, two.contiguous()]) is None
    assert aggregation.one_pass([one, two.float()]) is None
    assert aggregation.one_pass([one[..., ::2], two[..., ::2]]) is None
    assert aggregation.one_pass([one.to("meta"), two.to("meta")]) is None


def test_without_numba_pytorch_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    values = _images(2, (2, 3, 5, 7), "NHWC")
    monkeypatch.setitem(sys.modules, "randwire.model.kernels", None)
    monkeypatch.delattr("randwire.model.kernels")
    aggregation._kernels.cache_clear()
    try:
        assert aggregation.one_pass(values) is None
    finally:
        aggregation._kernels.cache_clear()
