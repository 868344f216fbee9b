"""What all command lines share: options, dotted keys, and what becomes of a mistake or an interrupt."""

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from randwire import config as configuration
from randwire.errors import ConfigError, UserError, one_line


class Parser(argparse.ArgumentParser):
    """Errors in one line, exit 2."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def split(arguments: Sequence[str]) -> tuple[list[str], dict[str, object]]:
    """The plain words of a command line, and its dotted keys: `--section.field VALUE` or `--section.field=VALUE`.

    Values are JSON or plain text. Raises ConfigError for a key without a value.
    """
    plain: list[str] = []
    found: dict[str, object] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        key, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in key:
            plain.append(word)
            continue
        if not equals:
            if not words or words[0].startswith("--"):
                raise ConfigError(f"{key}: missing value")
            text = words.pop(0)
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return plain, found


def guarded(main: Callable[[], int]) -> int:
    """Run `main`; a mistake of the user becomes one line and exit 2, an interrupt exit 130."""
    # SIGTERM must unwind as Ctrl-C does, or nothing gets closed. Shells start background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        code = main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does; Python's own flush must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


def key_help() -> str:
    return "keys, with their defaults:\n" + "\n".join(
        f"  --{key:24} {text}" for key, text in configuration.keys().items()
    )


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


positive.__name__ = "whole number above 0"  # argparse names the type in its message


def above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError
    return value


above_zero.__name__ = "number above 0"


def span(seconds: float) -> str:
    """A span of time, as its two largest units: `2 d 3 h`."""
    whole = max(0, round(seconds))
    parts = [(whole // size % base, unit) for size, base, unit in _UNITS]
    first = next((place for place, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2])


_UNITS = ((86_400, 10**9, "d"), (3_600, 24, "h"), (60, 60, "min"), (1, 60, "s"))
