"""What the design of a study is called in a report."""

from typing import NamedTuple

from randwire.records import Row
from randwire.study.groups import method_of


class Names(NamedTuple):
    """A design as a title, in the list of facts, and in a sentence that says what a setting is not of."""

    title: str
    fact: str
    noun: str


_NAMES = {
    "tpe": Names("Search", "adaptive search (TPE)", "search"),
    "random": Names("Search", "random search", "search"),
    "race": Names("Race", "race", "race"),
    "grid": Names("Fixed grid", "fixed grid", "fixed grid"),
    "list": Names("Fixed list", "list of {n}, fixed beforehand", "fixed list"),
    "longer": Names("Longer training", "{n} of {parent}, trained for longer", "list of what was chosen"),
    "confirmation": Names("Confirmation", "confirmation of {n} of {parent}", "list of the confirmation"),
}


def names_of(study: Row | None) -> Names:
    """What a recorded design (study.json) is called; None: it was not recorded."""
    method = method_of(study or {})
    return _NAMES.get(method, Names("Search", method or "unknown", "design"))
