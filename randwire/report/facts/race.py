"""The rounds of a race, as its design and its records tell them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from randwire.errors import UserError
from randwire.pages.text import many
from randwire.study import race
from randwire.study.design import Design
from randwire.study.race import Round
from randwire.study.setting import Setting

NOTE = (
    "Mean top-1 (%) on the images that choose, over the graph seeds that a setting had by the end of a round (n). The "
    "better half of each round has gone on."
)


@dataclass(frozen=True)
class Standing:
    """A setting in a race: its mean top-1 (%) in each round that it has entered, None without one; and its end."""

    setting: str
    means: Sequence[float | None]
    end: str


def rounds_of(folder: Path) -> tuple[list[Round], str]:
    """The rounds of the race in a folder; where its design or records do not tell them, none, and why."""
    where = folder.resolve()
    try:
        return race.rounds(Design.load(values={"runtime.output": str(where.parent)}, name=where.name)), ""
    except UserError as error:
        return [], str(error)


def standings(rounds: Sequence[Round]) -> list[Standing]:
    """All settings of a race: who is still in it first, then by the round in which they fell out, the best first."""
    placed: list[Standing] = []
    seen: set[str] = set()
    for current in reversed(rounds):
        open_ = [spec for spec in current.specs if spec not in current.ranked]
        for spec in [*current.ranked, *open_]:
            if spec not in seen:
                seen.add(spec)
                means = [entered.means.get(spec) for entered in rounds if spec in entered.specs]
                placed.append(Standing(Setting(spec).label, means, _end(spec, current, rounds)))
    return placed


def sentences(rounds: Sequence[Round]) -> list[str]:
    """How a race stands or has ended, and how to read it, in a sentence each."""
    first, final = rounds[0], rounds[-1]
    lines = []
    if best := race.winner(rounds):
        graphs = f"over {many(final.seeds, 'graph seed')}" if final.seeds > 1 else "with one graph seed"
        lines.append(
            f"{Setting(best).label} has won the race of {many(len(first.specs), 'setting')} in "
            f"{many(len(rounds), 'round')}, with a mean of {final.means[best]:.2f}% {graphs}."
        )
    elif final.complete:
        lines.append("No setting of the last round has a result, so nobody has won.")
    else:
        lines.append(
            f"Round {final.number} of {final.of} is under way: {len(final.means)} of its "
            f"{many(len(final.specs), 'setting')} have ended."
        )
    lines.append(
        "A race is a search: who goes on has more graphs, and its mean is that of a winner, which is biased upwards. "
        "Nothing is tested; confirm the best on fresh seeds (--confirm)."
    )
    return lines


def heads(rounds: Sequence[Round]) -> list[str]:
    """The headings of a table of standings."""
    return ["setting in the race", *(f"round {each.number}, n = {each.seeds}" for each in rounds), "end"]


def cells(standing: Standing, rounds: Sequence[Round]) -> list[str]:
    """A row of that table, as text."""
    means = ["-" if mean is None else f"{mean:.2f}" for mean in standing.means]
    return [standing.setting, *means, *[""] * (len(rounds) - len(means)), standing.end]


def _end(spec: str, last: Round, rounds: Sequence[Round]) -> str:
    """What became of a setting, by the last round that it has entered."""
    if last.means.get(spec, 0.0) is None:
        return f"lost without a result in round {last.number}"
    if last is not rounds[-1]:
        return f"out after round {last.number}"
    if not last.complete:
        return f"in round {last.number}"
    return "won" if spec == race.winner(rounds) else "lost the last round"
