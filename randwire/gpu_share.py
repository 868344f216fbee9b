"""Parts of a GPU, where ranks of several trainings share one (`--gpus-per-worker`)."""

UNITS = 10_000
"""Ray counts a GPU in so many units, and rounds to them."""


def units(part: float) -> int:
    """The units of a part of a GPU, rounded down: three thirds are one GPU, and never a little more.

    Raises ValueError unless `part` is 1 or lies between 0 and 1: no rank trains on several GPUs.
    """
    counted = int(part * UNITS + 1e-6) if 0 < part <= 1 else 0
    if not counted:
        raise ValueError(f"must be 1, or a part of a GPU such as 0.25 and at least {1 / UNITS:.4f}, is {part:g}")
    return counted


def ranks_of_gpu(part: float) -> int:
    """How many ranks that take such a part each are on one GPU. Raises ValueError as `units` does."""
    return UNITS // units(part)


def share_of(part: float) -> float:
    """The share of a GPU that a rank has, when as many are there as fit. Raises ValueError as `units` does."""
    return 1 / ranks_of_gpu(part)
