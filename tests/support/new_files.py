"""Files that are added to a registry folder for one test."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest

from randwire import graphs, registry


def add(monkeypatch: pytest.MonkeyPatch, folder: Path, package: str, files: Mapping[str, str]) -> None:
    """Add modules, name -> source, to the registry `package` until `monkeypatch` is undone; they lie in `folder`."""
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)
        # So that it is removed at the end, whoever imports it.
        monkeypatch.setitem(sys.modules, f"{package}.{name}", None)
        monkeypatch.delitem(sys.modules, f"{package}.{name}")
    graphs.parse.cache_clear()  # it may hold generators of an earlier test's files
    original = registry.names
    monkeypatch.setattr(
        registry, "names", lambda asked: tuple(sorted([*original(asked), *(files if asked == package else ())]))
    )
    monkeypatch.setattr(import_module(package), "__path__", [*import_module(package).__path__, str(folder)])
