"""Is it right? Steps on the device against steps in fp64 on the CPU.

A step with SGD, without momentum and decay, of learning rate 1 changes the parameters by their gradient. Arithmetic of
few digits is wrong in the last ones on every device: what is allowed is some times the error that the same step has on
the CPU in the same precision, a measure that holds for every network.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.training import PRECISIONS, Given, Precision, Way, computing, network_of, normaliser, training
from randwire import registry
from randwire.config import RunConfig
from randwire.model.ops import PACKAGE
from randwire.training.augment import Augment
from randwire.training.evaluate import evaluate
from randwire.training.optim import make_optimizer
from randwire.training.step import train_step

SEEDS = (1, 2, 3)
"""Of the batches. A number next to zero, whose sign is another on another device, makes a large error now and then: the
median over the batches is compared with the largest of the CPU's."""
SLACK, LEAST = 3.0, 1e-5
"""What is allowed: so many times the CPU's error, and an error that is none."""
BANDS = {"fp32": (0.0, 1e-5), "tf32": (2e-5, 2e-3), "bf16": (2e-4, 2e-2)}
"""Between which the error of a product is, of numbers of 24, 11 and 8 binary digits."""
OPS = sorted(registry.names(PACKAGE), key=lambda op: op != "sepconv")
"""The one of the presets first."""
WAYS = (
    Way("fp32"), Way("tf32"), Way("bf16"), Way("fp32", recompute=True), Way("bf16", recompute=True),
    Way("fp32", "captured"), Way("bf16", "captured"), Way("fp32", linear=True), Way("bf16", linear=True),
    Way("fp32", multiple=8), Way("bf16", multiple=8), Way("bf16", "captured", linear=True, multiple=8),
)  # fmt: skip
PARTS = ("loss", "gradients", "statistics")
PLAIN_SGD = {"train.optimizer": "sgd", "train.lr": 1.0, "train.momentum": 0.0, "train.weight_decay": 0.0}
AUGMENTED = {
    "data.rotate": 10.0, "data.translate": 0.1, "data.scale": (0.9, 1.1), "data.shear": 5.0,
    "data.brightness": 0.2, "data.contrast": 0.2, "data.saturation": 0.2,
}  # fmt: skip
Step = dict[str, Tensor]
"""What a step has made, by PARTS: the loss, the change of the parameters, and the running statistics."""


def measure(bench: Bench) -> None:
    """The arithmetic itself; every operation in every precision; then the augmentation and the evaluation."""
    for precision in PRECISIONS:
        with bench.case(f"arithmetic, {precision}"):
            _arithmetic(bench, precision)
    for op in OPS:
        if bench.time_left(op):
            with bench.case(op):
                _operation(bench, op)
    with bench.case("augmentation"):
        _augmentation(bench)
    with bench.case("evaluation"):
        _evaluation(bench)


def _arithmetic(bench: Bench, precision: Precision) -> None:
    """Is a precision what it says? PyTorch takes TF32 for fp32 unless told otherwise."""
    stream = torch.Generator().manual_seed(0)
    images, weights = (torch.randn(shape, generator=stream) for shape in ((8, 64, 16, 16), (64, 64, 3, 3)))
    passes: tuple[tuple[str, Callable[..., Tensor], tuple[Tensor, Tensor]], ...] = (
        ("convolution", functional.conv2d, (images, weights)),
        ("product", functional.linear, (images[0, 0].repeat(4, 8), weights[0].reshape(-1)[:512].reshape(4, 128))),
    )
    low, high = BANDS[precision]
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    found: dict[str, float] = {}
    for name, function, arguments in passes:
        with computing(Way(precision), bench.device):
            out = function(*(value.to(bench.device, kind) for value in arguments))
        found[name] = error(out.double().cpu(), function(*(value.double() for value in arguments)))
        if not found[name] <= high:
            bench.wrong(f"{name} in {precision}: off by {found[name]:.1e} of fp64, not by {high:g} at most")
        elif bench.cuda and found[name] < low:
            bench.note(f"{name} in {precision}: off by {found[name]:.1e} of fp64: the kernel has more digits")
    bench.row(f"arithmetic, {precision}", **found)


def _operation(bench: Bench, op: str) -> None:
    config = bench.config("digits", {"network.op": op, **PLAIN_SGD})
    host = replace(bench, device=torch.device("cpu"))
    weights = network_of(bench, config, Way()).state_dict()
    seeds = SEEDS[:1] if bench.dry else SEEDS
    references = [_in_fp64(bench, config, seed) for seed in seeds]

    def errors(where: Bench, way: Way) -> dict[str, list[float]]:
        found = [_step(where, config, way, weights, seed) for seed in seeds]
        pairs = list(zip(found, references, strict=True))
        return {part: [error(one[part], other[part]) for one, other in pairs] for part in PARTS}

    usual: dict[str, dict[str, float]] = {
        way.precision: {part: max(all_) for part, all_ in errors(host, way).items()}
        for way in (Way("fp32"), Way("bf16"))
    }
    # Products in TF32 have more digits than in bf16, and all else has those of fp32.
    usual["tf32"] = usual["bf16"]
    for way in WAYS[2:4] if bench.dry and op != "sepconv" else WAYS:
        if not bench.time_left(f"{op}, {way.name}"):
            continue
        with bench.case(f"{op}, {way.name}"):
            found = {part: median(all_) for part, all_ in errors(bench, way).items()}
            bench.row(f"{op}, {way.name}", **found)
            _judge(bench, f"{op}, {way.name}", found, usual[way.precision])


def _judge(bench: Bench, name: str, found: Mapping[str, float], usual: Mapping[str, float]) -> None:
    for part, error in found.items():
        if not error <= SLACK * usual[part] + LEAST:  # so that NaN is wrong
            bench.wrong(f"{name}: {part} off by {error:.1e} of fp64, on a CPU by {usual[part]:.1e}")


def _in_fp64(bench: Bench, config: RunConfig, seed: int) -> Step:
    network = network_of(bench, config, Way()).double().train()
    before = copy.deepcopy(network)
    images, labels = _batch(bench, seed)
    normalised = normaliser(torch.device("cpu"))(images).double()
    loss = train_step(network, make_optimizer(network, config.train), normalised, labels, config.train)
    return _made(loss, before, network)


def _step(where: Bench, config: RunConfig, way: Way, weights: dict[str, Tensor], seed: int) -> Step:
    images, labels = _batch(where, seed)
    with training(where, config, way, weights) as trainee:
        before = copy.deepcopy(trainee.network)
        loss = trainee.step(images.to(where.device), labels.to(where.device))
        return _made(loss, before, trainee.network)


def _batch(bench: Bench, seed: int) -> tuple[Tensor, Tensor]:
    """On the CPU."""
    return replace(bench, device=torch.device("cpu")).images(4 if bench.dry else 16, 32, seed=seed)


def _made(loss: Tensor, before: nn.Module, after: nn.Module) -> Step:
    old, new = (dict(network.named_parameters()) for network in (before, after))
    statistics = [value for name, value in after.named_buffers() if "running" in name]
    made = {
        "loss": [loss],
        "gradients": [new[name].double() - old[name].double() for name in new],
        "statistics": statistics,
    }
    return {part: torch.cat([value.detach().double().flatten().cpu() for value in made[part]]) for part in PARTS}


def error(found: Tensor, reference: Tensor) -> float:
    """The difference of two tensors as a share of the second, by their norms."""
    return float((found - reference).norm() / reference.norm().clamp_min(1e-30))


def _augmentation(bench: Bench) -> None:
    """The draws are the host's: the images are those of a CPU."""
    config = bench.config("digits", AUGMENTED)
    augment = Augment(config.data, 0)
    images, _ = _batch(bench, 1)
    found, reference = (augment(value, 1, 0).double().cpu() for value in (images.to(bench.device), images))
    off = error(found, reference)
    bench.row("augmentation", images=off)
    _judge(bench, "augmentation", {"images": off}, {"images": 0.0})


def _evaluation(bench: Bench) -> None:
    """The counts of the device are those of the CPU."""
    config = bench.config("digits", {})
    host = replace(bench, device=torch.device("cpu"))
    totals = []
    for where in (host, bench):
        network = network_of(bench, config, Way()).to(where.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        scores = evaluate(network, Given(where, 8, 32, 3), normaliser(where.device))
        totals.append(torch.tensor(list(scores.totals.values())).double())
    off = error(totals[1], totals[0])
    bench.row("evaluation", totals=off)
    _judge(bench, "evaluation", {"totals": off}, {"totals": 0.0})
