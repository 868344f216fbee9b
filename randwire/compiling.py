"""Functions that numba compiles, once per machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numba
import numba.core.config

from randwire.cache import cache_folder

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def _numba_cache() -> Iterator[None]:
    """What is compiled in the block is cached below NUMBA_CACHE_DIR or in our own cache; nothing else is."""
    config: Any = numba.core.config
    before = config.CACHE_DIR
    config.CACHE_DIR = before or str(cache_folder() / "numba")
    try:
        yield
    finally:
        config.CACHE_DIR = before


def compiled(function: F, fastmath: bool | set[str] = False) -> F:
    """Compile at the first call, or load what an earlier process compiled; it runs without the GIL.

    `fastmath` are LLVM's flags that let it change sums and products. numba does not notice changes of other files: all
    that a function calls must stay in its own.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    with _numba_cache():
        try:
            dispatcher: Any = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder for a cache can be written: compile in every process
            dispatcher = numba.njit(**options)(function)
    return cast(F, dispatcher)
