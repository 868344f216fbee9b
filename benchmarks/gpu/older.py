"""A PyTorch that is a little older than ours, from 2.11 on: it lacks some arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def known(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the function takes."""
    taken = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in taken}
