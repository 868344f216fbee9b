"""A folder is a registry: every module in it is an entry, and the file's name is the entry's name."""

import importlib
from functools import cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of the entries of `package`, sorted; files starting with `_` are not entries. Imports nothing.

    The folder is read once in a process: `names.cache_clear()` makes files that were added since count.
    """
    folder = Path(__file__).parent.joinpath(*package.split(".")[1:])
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith("_")))


def load(package: str, name: str, base: type[T]) -> type[T]:
    """The one public subclass of `base` that the module `package.name` defines.

    Raises ValueError for an unknown name, and TypeError if the module does not define exactly one such class.
    """
    if name not in names(package):
        raise ValueError(f"{package.rpartition('.')[2]}: unknown name {name!r}; known: {', '.join(names(package))}")
    module = importlib.import_module(f"{package}.{name}")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} must define exactly one subclass of {base.__name__}, not {len(classes)}")
    return classes[0]
