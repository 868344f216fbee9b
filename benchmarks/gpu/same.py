"""Do all ways to train make the same network? Ten steps from the same weights on the same images, in each of them.

Rounding differs from way to way, and grows from step to step, faster for some optimizers than for others: what is
allowed is some times what becomes of parameters that are off by a rounding at the start.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.right import error
from benchmarks.gpu.training import Precision, Way, numbers_of, training

STEPS = 10
ROUNDING: Mapping[str, float] = {"fp32": 2**-22, "bf16": 2**-9}
"""How far the parameters are off at the start, as a share of each, by precision."""
SLACK, LEAST = 10.0, 1e-6
"""What is allowed: so many times what becomes of that, and an error that is none."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
CASES: dict[str, dict[str, object]] = {
    "sgd": {},
    "nesterov, clipping": {"train.nesterov": True, "train.clip_norm": 1.0},
    "adamw": {"train.optimizer": "adamw", "train.lr": 1e-3},
    "drop edge": {"network.drop_edge": 1.0},
}
OTHERS = (Way(step="flat"), Way(step="captured"), Way(recompute=True), Way(linear=True), Way(multiple=8))
"""Ways that are compared with the eager one."""


def measure(bench: Bench) -> None:
    """Each case in fp32 and in bf16, every way against the eager one."""
    for name, keys in CASES.items():
        for precision in PRECISIONS[:1] if bench.dry and keys else PRECISIONS:
            if bench.time_left(f"{name}, {precision}"):
                with bench.case(f"{name}, {precision}"):
                    _case(bench, f"{name}, {precision}", {"train.lr": 0.05, **keys}, precision)


def _case(bench: Bench, name: str, keys: dict[str, object], precision: Precision) -> None:
    reference = _trained(bench, keys, Way(precision))
    grown = _off(_trained(bench, keys, Way(precision), ROUNDING[precision]), reference)
    bench.row(f"{name}: off by a rounding at the start", **grown)
    for other in OTHERS[:2] if "train.optimizer" in keys or "train.nesterov" in keys else OTHERS:
        way = replace(other, precision=precision)
        off = _off(_trained(bench, keys, way), reference)
        bench.row(f"{name}: {way.name}", **off)
        for part, value in off.items():
            if not value <= SLACK * grown[part] + LEAST:  # so that NaN is wrong
                bench.wrong(f"{name}: {way.name}: {part} off by {value:.1e}, by rounding only {grown[part]:.1e}")


def _trained(bench: Bench, keys: dict[str, object], way: Way, rounding: float = 0.0) -> tuple[Tensor, Tensor]:
    """The losses of all steps, and what they have changed the parameters by."""
    steps = 3 if bench.dry else STEPS
    images, labels = bench.images(8 if bench.dry else 32, 32)
    with training(bench, bench.config("digits", keys), way) as trainee:
        _nudge(trainee.network, rounding)
        before = numbers_of(trainee.network)
        losses = torch.stack([trainee.step(images, labels).clone() for _ in range(steps)])
        changes = numbers_of(trainee.network) - before
    return losses.double().cpu(), changes


@torch.no_grad()
def _nudge(network: nn.Module, share: float) -> None:
    """Make each parameter larger or smaller by a share of it, at random."""
    stream = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        signs = torch.randint(0, 2, parameter.shape, generator=stream).mul_(2).sub_(1)
        parameter.mul_(1 + share * signs.to(parameter.device))


def _off(found: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> dict[str, float]:
    return {part: error(one, other) for part, one, other in zip(("losses", "changes"), found, reference, strict=True)}
