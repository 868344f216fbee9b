"""The registry: a file added to a folder is an entry, and nothing else is."""

from pathlib import Path

import pytest

from randwire import registry
from randwire.graphs import Generator
from randwire.model.ops._base import NodeOp

BASE = "class Thing:\n    pass\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> tuple[str, Path]:
    """An empty registry folder in a package of its own, as seen from that package's registry.py."""
    name = f"pkg_{abs(hash(request.node.name))}"
    folder = tmp_path / name / "things"
    folder.mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "_base.py").write_text(BASE)
    monkeypatch.setattr(registry, "__file__", str(tmp_path / name / "registry.py"))
    monkeypatch.syspath_prepend(tmp_path)
    return f"{name}.things", folder


def _base(package: str) -> type:
    import importlib

    base: type = importlib.import_module(f"{package}._base").Thing
    return base


def _entry(package: str, body: str) -> str:
    return f"from {package}._base import Thing\n{body}"


def test_names_are_the_public_files_sorted(package: tuple[str, Path]) -> None:
    name, folder = package
    for file in ("zeta.py", "alpha.py", "_hidden.py", "notes.txt", "alpha.pyc"):
        (folder / file).touch()
    (folder / "folder").mkdir()
    assert registry.names(name) == ("alpha", "zeta")


def test_the_folder_is_read_once(package: tuple[str, Path]) -> None:
    name, folder = package
    (folder / "early.py").touch()
    assert registry.names(name) == ("early",)
    (folder / "late.py").touch()
    assert registry.names(name) == ("early",)
    registry.names.cache_clear()
    assert registry.names(name) == ("early", "late")


def test_names_imports_nothing(package: tuple[str, Path]) -> None:
    name, folder = package
    (folder / "bomb.py").write_text("raise SystemExit('imported')\n")
    assert registry.names(name) == ("bomb",)


def test_a_new_file_is_a_new_entry(package: tuple[str, Path]) -> None:
    name, folder = package
    (folder / "fresh.py").write_text(_entry(name, "class Fresh(Thing):\n    pass\n"))
    entry: type = registry.load(name, "fresh", _base(name))
    assert entry.__name__ == "Fresh"
    assert entry is registry.load(name, "fresh", _base(name))


def test_imported_classes_and_foreign_classes_are_not_entries(package: tuple[str, Path]) -> None:
    name, folder = package
    (folder / "first.py").write_text(_entry(name, "class First(Thing):\n    pass\n"))
    body = f"from {name}.first import First\nclass Other:\n    pass\nclass Second(First):\n    pass\n"
    (folder / "second.py").write_text(_entry(name, body))
    assert registry.load(name, "second", _base(name)).__name__ == "Second"


@pytest.mark.parametrize("body", ["", "class A(Thing):\n    pass\nclass B(Thing):\n    pass\n"], ids=["none", "two"])
def test_not_exactly_one_entry_is_a_programming_error(package: tuple[str, Path], body: str) -> None:
    name, folder = package
    (folder / "odd.py").write_text(_entry(name, body))
    with pytest.raises(TypeError, match="exactly one subclass of Thing"):
        registry.load(name, "odd", _base(name))


@pytest.mark.parametrize("unknown", ["nothing", "_base", "__init__", "", "../er", "er.py"])
def test_an_unknown_name_lists_the_known_ones_in_one_line(unknown: str) -> None:
    with pytest.raises(ValueError, match="unknown name") as caught:
        registry.load("randwire.graphs", unknown, Generator)  # type: ignore[type-abstract]
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(f"known: {', '.join(registry.names('randwire.graphs'))}")


@pytest.mark.parametrize(("package_name", "base"), [("randwire.graphs", Generator), ("randwire.model.ops", NodeOp)])
def test_every_file_of_a_shipped_registry_loads(package_name: str, base: type) -> None:
    names = registry.names(package_name)
    assert names
    for name in names:
        entry: type = registry.load(package_name, name, base)
        assert issubclass(entry, base)
        assert entry.__module__ == f"{package_name}.{name}"
