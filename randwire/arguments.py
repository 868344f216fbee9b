"""What all command lines share: the parser, dotted keys, kinds of values, and the end after a mistake or interrupt."""

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from randwire.errors import ConfigError, UserError, one_line


class Parser(argparse.ArgumentParser):
    """Errors in one line, exit 2."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def split(arguments: Sequence[str]) -> tuple[list[str], dict[str, object]]:
    """The plain words of a command line and its dotted keys: `--section.field VALUE` or `--section.field=VALUE`.

    Values are JSON or plain text. Raises ConfigError for a key without a value.
    """
    plain: list[str] = []
    keys: dict[str, object] = {}
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
            keys[key] = json.loads(text)
        except ValueError:
            keys[key] = text
    return plain, keys


def guarded(
    main: Callable[[], int],
    interrupted: str = "interrupted; the same command goes on from the last checkpoint",
) -> int:
    """Run `main` and return its exit status; a mistake of the user becomes one line and 2, an interrupt 130.

    `interrupted` is the line printed after an interrupt (SIGINT or SIGTERM).
    """
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
        print(interrupted, file=sys.stderr)
        return 130
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


def positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def non_negative_int(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError
    return value


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def folder(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


# argparse names the type of a value by its function in messages.
positive_int.__name__ = "whole number above 0"
non_negative_int.__name__ = "whole number"
positive_float.__name__ = "number above 0"
fraction.__name__ = "number from 0 to 1"
