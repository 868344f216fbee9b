"""Texts that several commands print: the help on dotted keys, and spans of time."""

from randwire import config as configuration


def key_help() -> str:
    """All keys with description and default, and what the codes in descriptions mean."""
    codes = ", ".join(f"({code}) {meaning}" for code, meaning in configuration.CERTAINTY.items())
    lines = [f"  --{key:24} {text}" for key, text in configuration.keys().items()]
    return "\n".join(["keys, with their defaults;", f"how certain the value is that the paper used: {codes}", *lines])


def span(seconds: float) -> str:
    """A span of time, as its two largest units: `2 d 3 h`."""
    whole = max(0, round(seconds))
    parts = [(whole // size % base, unit) for size, base, unit in _UNITS]
    first = next((index for index, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2])


_UNITS = ((86_400, 10**9, "d"), (3_600, 24, "h"), (60, 60, "min"), (1, 60, "s"))
