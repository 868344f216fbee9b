"""A PyTorch that is a little older than ours, from 2.11 on: it lacks some arguments."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch


def known(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the function takes."""
    taken = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in taken}


@contextmanager
def compiling() -> Iterator[None]:
    """While the block lasts, torch.compile leaves out what it does not know."""
    compile_: Any = torch.compile
    with mock.patch.object(torch, "compile", lambda function, **given: compile_(function, **known(compile_, given))):
        yield
