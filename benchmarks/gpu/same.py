"""Do all ways to train make the same network? Twenty steps from the same weights on the same images, in each of them.

Rounding differs, and grows from step to step: what is allowed is a multiple of what two runs of one way may differ by.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.right import error
from benchmarks.gpu.training import Precision, Way, training

STEPS = 20
ALLOWED: Mapping[str, float] = {"fp32": 1e-3, "bf16": 5e-2}
"""How far the losses, and the parameters, may be off after STEPS, by precision."""
CASES: dict[str, dict[str, object]] = {
    "sgd": {},
    "nesterov, clipping": {"train.nesterov": True, "train.clip_norm": 1.0},
    "adamw": {"train.optimizer": "adamw", "train.lr": 1e-3},
    "drop edge": {"network.drop_edge": 1.0},
}
OTHERS: tuple[Way, ...] = (Way(recompute=True),)
"""Ways that are compared with the eager one."""


def measure(bench: Bench) -> None:
    """Each case in fp32 and in bf16, every way against the eager one."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for name, keys in CASES.items():
        for precision in precisions:
            if bench.time_left(f"{name}, {precision}"):
                with bench.case(f"{name}, {precision}"):
                    _case(bench, f"{name}, {precision}", {"train.lr": 0.05, **keys}, precision)


def _case(bench: Bench, name: str, keys: dict[str, object], precision: Precision) -> None:
    reference = _trained(bench, keys, Way(precision))
    again = _trained(bench, keys, Way(precision))
    bench.row(f"{name}: the same again", **_off(again, reference))
    for other in OTHERS:
        way = Way(precision, recompute=other.recompute)
        off = _off(_trained(bench, keys, way), reference)
        bench.row(f"{name}: {way.name}", **off)
        for part, value in off.items():
            if not value <= ALLOWED[precision]:
                bench.wrong(f"{name}: {way.name}: {part} off by {value:.1e} of those of the eager step")


def _trained(bench: Bench, keys: dict[str, object], way: Way) -> tuple[Tensor, Tensor]:
    """The losses of all steps, and the parameters after them."""
    steps = 3 if bench.dry else STEPS
    images, labels = bench.images(8 if bench.dry else 32, 32)
    with training(bench, bench.config("digits", keys), way) as trainee:
        losses = torch.stack([trainee.step(images, labels).clone() for _ in range(steps)])
        parameters = torch.cat([p.detach().flatten() for p in trainee.network.parameters()])
    return losses.double().cpu(), parameters.double().cpu()


def _off(found: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> dict[str, float]:
    return {
        part: error(one, other) for part, one, other in zip(("losses", "parameters"), found, reference, strict=True)
    }
