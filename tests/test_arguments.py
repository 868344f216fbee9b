"""What command lines share: dotted keys, kinds of values, and the exit status of a mistake or an interrupt."""

import signal
from collections.abc import Callable

import pytest

from randwire.arguments import (
    Parser,
    fraction,
    guarded,
    non_negative_int,
    positive_float,
    positive_int,
    split,
)
from randwire.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("own_handlers")


def test_dotted_keys_are_taken_out_of_a_command_line() -> None:
    words = [
        "plan",
        "--train.epochs",
        "3",
        "--seeds",
        "5",
        "--data.path=a=b",
        "--train.lr=1e-2",
        "--data.ramp",
        "[0,1]",
    ]
    plain, keys = split(words)
    assert plain == ["plan", "--seeds", "5"]
    assert keys == {"train.epochs": "3", "data.path": "a=b", "train.lr": "1e-2", "data.ramp": "[0,1]"}


@pytest.mark.parametrize("words", [["--train.epochs"], ["--train.epochs", "--json"]])
def test_a_dotted_key_needs_a_value(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^train\.epochs: missing value$"):
        split(words)


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        (positive_int, "0", "whole number above 0"),
        (positive_int, "1.5", "whole number above 0"),
        (non_negative_int, "-1", "whole number"),
        (positive_float, "0", "number above 0"),
        (positive_float, "inf", "number above 0"),
        (positive_float, "nan", "number above 0"),
        (fraction, "1.1", "number from 0 to 1"),
        (fraction, "nan", "number from 0 to 1"),
    ],
)
def test_a_value_of_another_kind_is_one_line(
    kind: Callable[[str], object], text: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser(prog="x")
    parser.add_argument("--value", type=kind)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--value", text])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: argument --value: invalid {name} value: '{text}' (see --help)"


def test_values_of_their_kind() -> None:
    assert (positive_int("1"), non_negative_int("0"), positive_float("1e-3"), fraction("1")) == (1, 0, 0.001, 1.0)


def _raise(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "status", "text"),
    [
        (lambda: 3, 3, ""),
        (_raise(DataError("wrong\nfile")), 2, "error: wrong file\n"),
        (_raise(KeyboardInterrupt()), 130, "nothing was written\n"),
    ],
    ids=["status", "mistake", "interrupt"],
)
def test_the_end_of_a_command(
    main: Callable[[], int], status: int, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert guarded(main, interrupted="nothing was written") == status
    assert capfd.readouterr().err == text


@pytest.mark.parametrize("error", [ZeroDivisionError(), BrokenPipeError()], ids=repr)
def test_what_is_no_mistake_of_the_user_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        guarded(_raise(error))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_unwinds_as_an_interrupt(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    closed = []
    signal.signal(number, signal.SIG_DFL)  # the tests may run under `nohup`

    def main() -> int:
        try:
            signal.raise_signal(number)
            signal.pause()
        finally:
            closed.append(True)
        return 0

    assert guarded(main) == 130
    assert closed == [True]
    assert "goes on from the last checkpoint" in capsys.readouterr().err
