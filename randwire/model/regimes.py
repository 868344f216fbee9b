"""The regimes: which stages a network has (paper, Table 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class StagePlan:
    """One row of Table 1: output channels as a multiple of C, the stride, and the nodes as a share of N (0: a conv)."""

    name: str
    width: Fraction
    stride: int
    share: Fraction

    def channels(self, base: int) -> int:
        return int(base * self.width)

    def nodes(self, base: int) -> int:
        return max(1, int(base * self.share))


def _plan(*rows: tuple[str, Fraction | int, int, Fraction | int]) -> tuple[StagePlan, ...]:
    return tuple(StagePlan(name, Fraction(width), stride, Fraction(share)) for name, width, stride, share in rows)


_HALF = Fraction(1, 2)

REGIMES: Mapping[str, tuple[StagePlan, ...]] = {
    # Table 1 (A). The convolutions of the stem are dense: only so do the multiply-adds of Table 2 come out (I).
    "small": _plan(
        ("conv1", _HALF, 2, 0), ("conv2", 1, 2, 0), ("conv3", 1, 2, 1), ("conv4", 2, 2, 1), ("conv5", 4, 2, 1)
    ),
    "regular": _plan(
        ("conv1", _HALF, 2, 0), ("conv2", 1, 2, _HALF), ("conv3", 2, 2, 1), ("conv4", 4, 2, 1), ("conv5", 8, 2, 1)
    ),
    # Ours, for images of 28 to 32 pixels: the small regime with a stem that keeps the resolution.
    "tiny": _plan(
        ("conv1", _HALF, 1, 0), ("conv2", 1, 1, 0), ("conv3", 1, 2, 1), ("conv4", 2, 2, 1), ("conv5", 4, 2, 1)
    ),
}


def random_stages(regime: str, nodes: int) -> dict[str, int]:
    """The number of nodes of each random stage of a regime, by the stage's name."""
    return {plan.name: plan.nodes(nodes) for plan in REGIMES[regime] if plan.share}
