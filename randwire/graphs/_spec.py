"""The text form of a generator: `ws:k=4,p=0.75`, or `chain` for one without parameters."""

from dataclasses import MISSING, fields
from functools import lru_cache

from randwire import registry
from randwire.graphs._base import Generator

PACKAGE = "randwire.graphs"


@lru_cache(maxsize=4096)
def parse(spec: str) -> Generator:
    """The generator of a spec. Raises ValueError, in one line, for anything that is not a valid spec."""
    name, _, rest = spec.strip().partition(":")
    names = registry.names(PACKAGE)
    if name not in names:
        raise ValueError(f"unknown generator {name!r} in {spec!r}; known: {', '.join(names)}")
    kind = registry.load(PACKAGE, name, Generator)  # type: ignore[type-abstract]
    expected = [field.name for field in fields(kind)]
    optional = [field.name for field in fields(kind) if field.default is not MISSING]
    form = f"{name}:" + ",".join(f"{key}=..." for key in expected) if expected else name
    values: dict[str, float] = {}
    for item in filter(None, (item.strip() for item in rest.split(","))):
        key, _, text = item.partition("=")
        if key not in expected or key in values:
            raise ValueError(f"{spec!r}: {key!r} is repeated or no parameter of {name}; write {form}")
        try:
            values[key] = float(text)
        except ValueError:
            raise ValueError(f"{spec!r}: {key} must be a number, not {text!r}; write {form}") from None
    if missing := [key for key in expected if key not in values and key not in optional]:
        raise ValueError(f"{spec!r}: missing {', '.join(missing)}; write {form}")
    try:
        return kind(**values)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{spec!r}: {error}") from None
