"""What all command lines share: the parser, dotted keys, kinds of values, and the end after a mistake or interrupt."""

import argparse
import errno
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from randwire import stdio
from randwire.errors import ConfigError, UserError, one_line
from randwire.gpu_share import UNITS, units

OF_STORAGE = (errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a file that are no mistake in the code that uses it."""


class Parser(argparse.ArgumentParser):
    """Errors in one line, exit 2."""

    def options_of(self, words: Sequence[str]) -> argparse.Namespace:
        """The options of a command line; an option of other verbs than the one that is given is refused with theirs."""
        options, unknown = self.parse_known_args(words)
        if unknown:
            option = unknown[0].partition("=")[0]
            takes = [verb for verb, parser in self.verbs().items() if option in parser._option_string_actions]
            if takes:
                self.error(f"{option}: is not for {vars(options)['verb']}, but for {' and '.join(takes)}")
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options

    def verbs(self) -> dict[str, argparse.ArgumentParser]:
        """The parsers of the verbs, by name; none of a command without verbs."""
        groups = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return dict(groups[0].choices) if groups else {}

    def error(self, message: str) -> NoReturn:
        print(f"error: {one_line(message)} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def split(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The plain words of a command line and the texts of its dotted keys: `--section.field VALUE` or `...=VALUE`.

    What a text means is a matter of its key: see `config.parse_all`. Raises ConfigError for a key without a value.
    """
    plain: list[str] = []
    keys: dict[str, str] = {}
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
        keys[key] = text
    return plain, keys


def guarded(
    main: Callable[[], int],
    interrupted: str = "interrupted; the same command goes on from the last checkpoint",
) -> int:
    """Run `main` and return its exit status; a mistake of the user becomes one line and 2, an interrupt 130.

    `main` goes on when standard output or standard error is lost; where they are its result, it asks
    `stdio.delivered`. `interrupted` is the line printed after an interrupt: SIGINT, SIGTERM, or SIGHUP, the loss of the
    terminal, unless that is ignored (`nohup`).
    """
    # They must unwind as Ctrl-C does, or nothing gets closed. Shells start background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with stdio.surviving():
        try:
            return _done(main)
        except KeyboardInterrupt:
            print(interrupted, file=sys.stderr)
            return 130
        except UserError as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return 2
        except OSError as error:
            if error.errno not in OF_STORAGE or not error.filename:
                raise
            print(f"error: {one_line(f'{error.filename}: {error.strerror}')}", file=sys.stderr)
            return 2


def _done(main: Callable[[], int]) -> int:
    """The exit status of `main`, which says on standard error if lines of it on standard output are lost."""
    try:
        code = main()
    except SystemExit as end:
        if not end.code:
            stdio.delivered()  # a --help
        raise
    lost = stdio.lost_output()
    if lost is not None and lost.errno not in (*stdio.READER_GONE, errno.EBADF):
        print(f"standard output: {lost.strerror}; lines of it are lost", file=sys.stderr)
    return code


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


def gpu_part(text: str) -> float:
    try:
        value = float(text)
        units(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be 1 or a part of a GPU such as 0.25, at least {1 / UNITS:.4f}, is {text!r}"
        ) from None
    return value


def folder(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


def file(text: str) -> Path:
    return folder(text)


# argparse names the type of a value by its function in messages.
positive_int.__name__ = "whole number above 0"
non_negative_int.__name__ = "whole number"
positive_float.__name__ = "number above 0"
fraction.__name__ = "number from 0 to 1"
