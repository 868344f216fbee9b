"""The values that a user's `--space` gives one key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from randwire.config import RunConfig
from randwire.config.texts import MAX_WHOLE, is_text, json_or_text, parse, whole
from randwire.config.variant import as_text
from randwire.errors import ConfigError

MAX_VALUES = 10**6
"""Values of a range with a step that is no whole number."""


class Suggest(Protocol):
    """The part of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, step: float) -> float: ...


@dataclass(frozen=True)
class Range:
    """The values that a search may give one key: a generator's parameter (`ws.k`) or a key of the configuration."""

    key: str
    values: Sequence[Any]
    """Numbers in ascending order, or anything else in the order in which it is given; each once."""
    step: float | None = None
    """Between neighbours, where they were given by low, high and step."""

    @classmethod
    def parse(cls, text: str) -> Range:
        """The range of a text such as `ws.k=4:8:2`, `graph.seed=0:99` or `network.op=conv,sepconv`.

        Raises ConfigError, in one line, for anything else; whether there is such a key is not looked at.
        """
        key, equals, given = (part.strip() for part in text.partition("="))
        if not equals or not key or not given:
            raise ConfigError(f"--space: {text!r}: write KEY=LOW:HIGH:STEP or KEY=VALUE,VALUE, such as ws.k=4:8:2")
        parts = _split(given)
        if len(parts) == 1 and ":" in given and not is_text(key):
            return cls(key, *_stepped(text, given.split(":")))
        if "" in parts:
            raise ConfigError(f"--space: {text!r}: a value is empty")
        own = key.partition(".")[0] in RunConfig.model_fields  # else a parameter of a generator: a number
        values = [parse(key, part) if own else json_or_text(part) for part in parts]
        for value in values:
            if len(as_text(value).split()) != 1:
                raise ConfigError(f"--space: {text!r}: {value!r} is no single word")
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"--space: {text!r}: {value} is no finite number")
        return cls.of(key, values)

    @classmethod
    def of(cls, key: str, values: Sequence[Any]) -> Range:
        """The range of a list of values. Raises ConfigError if it holds one twice."""
        texts = list(map(as_text, values))
        if repeated := [text for k, text in enumerate(texts) if text in texts[:k]]:
            raise ConfigError(f"--space: {key}: {repeated[0]} stands there twice")
        return cls(key, tuple(sorted(values) if all(map(_is_number, values)) else values))

    def __str__(self) -> str:
        """The canonical text; `parse` reads it back."""
        if self.step is not None:
            return f"{self.key}={':'.join(map(as_text, (self.values[0], self.values[-1], self.step)))}"
        return f"{self.key}={','.join(map(as_text, self.values))}"

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers, so that neighbours are alike."""
        return all(map(_is_number, (self.values[0], self.values[-1])))

    def suggest(self, trial: Suggest) -> Any:
        """A value that Optuna suggests: of numbers by their rank, of anything else by its text."""
        if self.ordered:
            return self.values[trial.suggest_int(self.key, 0, len(self.values) - 1, step=1)]
        texts = [as_text(value) for value in self.values]
        return self.values[texts.index(trial.suggest_categorical(self.key, texts))]

    def parameter(self, value: Any) -> Any:
        """What Optuna suggests for a value. Raises ValueError if it is none of these values."""
        return self.values.index(whole(value)) if self.ordered else as_text(value)

    def nearest(self, value: Any) -> Any:
        """The value itself, or what the range has next to it: of two numbers the lower one, else its first."""
        if not (self.ordered and _is_number(value)):
            return value if value in self.values else self.values[0]
        if self.step is not None:
            rank = math.ceil((value - self.values[0]) / self.step - 0.5)
            return self.values[min(max(rank, 0), len(self.values) - 1)]
        return min(self.values, key=lambda own: (abs(own - value), own))


def _split(text: str) -> list[str]:
    """The parts of a list with commas; those inside of brackets do not count."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _stepped(text: str, parts: Sequence[str]) -> tuple[Sequence[Any], float]:
    """The values of low, high and step, which is 1 if it is left out, and the step."""
    numbers = [json_or_text(part.strip()) for part in parts]
    if len(numbers) not in (2, 3) or not all(_is_number(one) and math.isfinite(one) for one in numbers):
        raise ConfigError(f"--space: {text!r}: a range is LOW:HIGH or LOW:HIGH:STEP, of numbers")
    low, high, step = numbers if len(numbers) == 3 else (*numbers, 1)
    if step <= 0:
        raise ConfigError(f"--space: {text!r}: the step must be above 0")
    if low > high:
        raise ConfigError(f"--space: {text!r}: is empty, {as_text(low)} is above {as_text(high)}")
    if all(isinstance(one, int) for one in (low, high, step)):
        if max(abs(low), abs(high)) > MAX_WHOLE:
            raise ConfigError(f"--space: {text!r}: {as_text(max(abs(low), abs(high)))} is too large to be searched")
        return range(low, high + 1, step), step
    steps = (high - low) / step + 1e-9  # so much is rounding
    if steps >= MAX_VALUES:
        raise ConfigError(f"--space: {text!r}: more than {MAX_VALUES:,} values; raise the step")
    values = [whole(round(low + index * step, 10)) for index in range(int(steps) + 1)]
    if len(set(values)) < len(values):
        raise ConfigError(f"--space: {text!r}: the step is too small to be told apart; raise it")
    return tuple(values), step


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
