"""Limits of the shell or scheduler under which Ray's processes end while they start, with lines that name no cause."""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from randwire import machine
from randwire.errors import ConfigError


class _Least(NamedTuple):
    """What a process needs at least, in the unit of the system and in that of `ulimit`."""

    limit: int
    option: str
    least: int
    unit: int
    raised: bool = False
    """Whether Ray raises it as far as it may be raised."""


LEAST = (
    _Least(resource.RLIMIT_NOFILE, "-n", 256, 1, raised=True),
    _Least(resource.RLIMIT_NPROC, "-u", 512, 1),
    _Least(resource.RLIMIT_AS, "-v", 8 << 30, 1 << 10),
    _Least(resource.RLIMIT_FSIZE, "-f", 2 << 30, 1 << 10),
)
MEMORY = 1 << 30
"""Bytes that Ray's own processes fill before the first training."""


def check_limits() -> None:
    """Raises ConfigError if a cluster cannot be started under the limits of this process."""
    for needed in LEAST:
        soft, hard = resource.getrlimit(needed.limit)
        limit = hard if needed.raised else soft
        if needed.limit == resource.RLIMIT_NPROC and not os.getuid():
            continue  # does not hold for root
        if limit != resource.RLIM_INFINITY and limit < needed.least:
            raise ConfigError(
                f"Ray cannot be started on this machine: `ulimit {needed.option}` is {limit // needed.unit}, and its "
                f"processes need {needed.least // needed.unit}; raise it"
            )
    if (memory := machine.memory()) < MEMORY:
        raise ConfigError(
            f"Ray cannot be started on this machine: this process may use {memory / 2**30:.1f} GiB of memory, and "
            f"Ray alone takes {MEMORY / 2**30:g}; ask the container or scheduler for more"
        )
