"""Ranks as threads of this process, each with a gloo group of its own; processes of their own take seconds to start."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import pytest
from torch import distributed
from torch.distributed import HashStore, ProcessGroupGloo  # type: ignore[attr-defined]

T = TypeVar("T")
TIMEOUT = timedelta(seconds=60)


def on_ranks(world_size: int, function: Callable[[int], T]) -> list[T]:
    """The results of a function of the rank, which may sum by `all_reduce`, and ask for its rank and their number."""
    groups, store = threading.local(), HashStore()

    def run(rank: int) -> T:
        groups.own, groups.rank = ProcessGroupGloo(store, rank, world_size, TIMEOUT), rank
        return function(rank)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(world_size) as threads:
        patch.setattr(distributed, "is_initialized", lambda: True)
        patch.setattr(distributed, "get_rank", lambda: groups.rank)
        patch.setattr(distributed, "get_world_size", lambda: world_size)
        patch.setattr(distributed, "all_reduce", lambda value: groups.own.allreduce([value]).wait())
        return list(threads.map(run, range(world_size)))
