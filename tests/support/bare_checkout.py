"""Runs a module as a bare checkout would, with few packages installed: python bare_checkout.py [--older] MODULE ...

Every other third-party package is absent. With `--older`, PyTorch lacks the arguments that are newer than 2.11. Both
before anything of this repository is imported.
"""

import importlib.abc
import importlib.metadata
import re
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

INSTALLED = ("torch", "pydantic", "PyYAML", "networkx")
"""What is there, with what it needs."""


class Installed(importlib.abc.MetaPathFinder):
    """Finds what Python's own finder of files finds, but no module of other distributions."""

    def __init__(self) -> None:
        there = {*_with_requirements(INSTALLED), "randwire"}
        distributions = importlib.metadata.packages_distributions()
        self.absent = {module for module, of in distributions.items() if not {_normal(name) for name in of} & there}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self.absent:
            return None
        return PathFinder.find_spec(fullname, path, target)

    def find_distributions(self, *arguments: Any) -> Any:
        """For the versions of packages."""
        return PathFinder.find_distributions(*arguments)


def _with_requirements(names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    left = [*names]
    while left:
        name = _normal(left.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        left += [re.split(r"[^\w.-]", need)[0] for need in needs if "extra ==" not in need]
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def make_older() -> None:
    """PyTorch without `isolate_recompiles` of torch.compile and `forward_sync_buffers` of DistributedDataParallel."""
    import torch
    from torch.nn import parallel

    patched: Any = torch
    compile_ = patched.compile

    def older_compile(model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None) -> Any:
        return compile_(model, fullgraph=fullgraph, dynamic=dynamic)

    class Older(parallel.DistributedDataParallel):
        def __init__(
            self, module: Any, broadcast_buffers: bool = True, find_unused_parameters: bool = False,
            gradient_as_bucket_view: bool = False,
        ) -> None:  # fmt: skip
            super().__init__(
                module, broadcast_buffers=broadcast_buffers, find_unused_parameters=find_unused_parameters,
                gradient_as_bucket_view=gradient_as_bucket_view,
            )  # fmt: skip

    patched.compile = older_compile
    patched.nn.parallel.DistributedDataParallel = Older


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    older = sys.argv[0] == "--older"
    sys.argv = sys.argv[older:]
    sys.path[0] = ""
    sys.meta_path[sys.meta_path.index(PathFinder)] = Installed()
    if older:
        make_older()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
