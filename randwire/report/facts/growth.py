"""What a study has asked for since it began, and what that means for its tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from randwire.pages.text import first_of, listed, many
from randwire.records import Row
from randwire.study.fixed import FIXED
from randwire.study.growth import Growth, growths_of
from randwire.study.results import Trial
from randwire.study.search_space import GRAPH_SEED
from randwire.study.setting import Setting

MAX_NAMED = 6
"""Seeds, names and times that are named one by one."""
CHOSEN = ("only", "generators", "variants")
"""What a person chooses when a study grows."""
NOUNS = {"seeds": "graph seed", "train_seeds": "training seed", "generators": "generator", "variants": "variant"}


def growth_text(study: Row | None) -> str:
    """When the study asked for more, and how many trials had ended then; empty if it never did."""
    growths = growths_of(study or {})
    times = [f"{_added(one.added)} ({one.time[: len('2026-11-28')]}, {_ended(one)})" for one in growths]
    return "; ".join([*times[:MAX_NAMED], *[f"{len(times) - MAX_NAMED} times more"] * (len(times) > MAX_NAMED)])


def chosen_later(study: Row | None) -> list[Growth]:
    """When a fixed design was given further settings though results were known."""
    if (study or {}).get("search") not in FIXED:
        return []
    return [one for one in growths_of(study or {}) if one.ended and any(one.added.get(key) for key in CHOSEN)]


def growth_warnings(study: Row | None, counted: bool = True) -> list[str]:
    """What a reader of the tests must know of settings and seeds that a fixed design was given after results.

    `counted`: the level of the tests counts the looks at them.
    """
    warned = []
    if later := chosen_later(study):
        names = {key: value for key in CHOSEN if (value := [name for one in later for name in one.added.get(key, ())])}
        warned.append(
            f"{_capital(_added(names))} {_were(names)} added when results were known ({_times(later)}): whoever chose "
            "them could look at these, so the tests between them and earlier ones are not of settings that were fixed "
            "beforehand. Confirm on fresh seeds with --confirm."
        )
    fixed = (study or {}).get("search") in FIXED
    more = [one for one in growths_of(study or {}) if fixed and one.ended and _seeds(one.added)]
    if more:
        seeds = {key: [seed for one in more for seed in one.added.get(key, ())] for key in ("seeds", "train_seeds")}
        seeds = {key: value for key, value in seeds.items() if value}
        warned.append(
            f"{_capital(_added(seeds))} {_were(seeds)} added when results were known ({_times(more)}). The level of "
            f"the tests counts {'the reports before, and no other look' if counted else 'no look before'}: who adds "
            "seeds until a difference shows, finds false ones more often."
        )
    return warned


def outside_warning(study: Row | None, trials: Sequence[Trial]) -> str:
    """What is said of trials on graph seeds that the recorded design does not have; empty if there are none.

    A race adds graph seeds round by round, and where seeds are searched or found each setting has its own.
    """
    study = study or {}
    texts = [str(text) for key in ("space", "only") for text in study.get(key) or ()]
    seeds = study.get("seeds")
    if not isinstance(seeds, list) or study.get("search") == "race" or any(GRAPH_SEED in text for text in texts):
        return ""
    varied = [trial for trial in trials if trial.graph_seed is not None and trial.config.graph.seed not in seeds]
    if not varied:
        return ""
    found = sorted({trial.config.graph.seed for trial in varied})
    return (
        f"{many(len(varied), 'trial')} on {many(len(found), 'graph seed')} ({_named(found)}) that study.json does not "
        f"have, which says {_named(seeds)}: they count, though its design does not ask for them."
    )


def _added(added: Mapping[str, Any]) -> str:
    """What was added, in words: `graph seeds 3 and 4, 12 settings`."""
    parts = []
    for key, value in added.items():
        if key == "settings":
            parts.append(many(value, "further suggestion"))
        elif key == "only":
            parts.append(f"setting{'s' * (len(value) != 1)} {_named([_label(text) for text in value])}")
        elif key in NOUNS:
            parts.append(f"{NOUNS[key]}{'s' * (len(value) != 1)} {_named(value)}")
    return ", ".join(parts)


def _label(text: object) -> str:
    """A setting in the paper's notation, or as it is recorded if its generator is gone."""
    try:
        return Setting.parse(str(text)).label
    except ValueError:
        return str(text)


def _named(values: Sequence[object]) -> str:
    words = [str(value) for value in values]
    return listed(words) if len(words) <= MAX_NAMED else first_of(words, MAX_NAMED)


def _were(added: Mapping[str, Any]) -> str:
    return "was" if sum(map(len, added.values())) == 1 else "were"


def _seeds(added: Mapping[str, Any]) -> bool:
    return bool(added.get("seeds") or added.get("train_seeds"))


def _ended(growth: Growth) -> str:
    return f"when {many(growth.ended, 'trial')} had ended" if growth.ended else "before any trial had ended"


def _times(growths: Sequence[Growth]) -> str:
    """On which days, and after how many trials."""
    return first_of([f"{one.time[: len('2026-11-28')]}, {_ended(one)}" for one in growths], 3)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
