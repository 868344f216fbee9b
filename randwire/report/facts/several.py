"""One report over several studies: whose records it holds, each training once, and what they are as one design."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from randwire.records import Row
from randwire.report.facts.growth import chosen_later
from randwire.report.facts.study import StudyFacts
from randwire.study.fixed import FIXED, fixed_settings
from randwire.study.folder import failures_of
from randwire.study.results import Trial, design_of, in_order, load
from randwire.study.setting import Setting
from randwire.study.stored import parent_of

SEVERAL = "several"
"""The search of studies that are no fixed design together."""
SHARED = ("variants", "require", "match_mult_adds")
"""Options that fixed designs must have in common to be one."""


def facts_of(folders: Sequence[Path]) -> StudyFacts:
    """The records of studies, each training once: that which counts, if any. Raises RecordError if one holds none."""
    if len(folders) == 1:
        return StudyFacts.load(folders[0])
    loaded = [load(folder) for folder in folders]
    trials: dict[str, Trial] = {}
    for trial in (trial for own, _ in loaded for trial in own):
        earlier = trials.get(trial.config.digest)
        if earlier is None or (earlier.top1 is None and trial.top1 is not None):
            trials[trial.config.digest] = trial
    failures: dict[Setting, tuple[float, str]] = {}
    for folder in folders:
        failures |= failures_of(folder)
    names = Counter(folder.resolve().name for folder in folders)
    designs = {
        name if names[name := folder.resolve().name] == 1 else str(folder): design_of(folder) for folder in folders
    }
    return StudyFacts(
        folders[0],
        _together(list(designs.values())),
        in_order(list(trials.values())),
        [record for _, broken in loaded for record in broken],
        failures,
        tuple(folders[1:]),
        designs,
    )


def several_text(designs: Mapping[str, Row | None]) -> str:
    """Why nothing is tested across studies, in sentences; empty where they are one fixed design, or one study."""
    why = _apart(list(designs.values())) if len(designs) > 1 else ""
    if not why:
        return ""
    return (
        f"This page holds the records of {len(designs)} studies, which are no fixed design together: {why}. So they "
        "are read as a search, and nothing is tested."
    )


def _together(designs: Sequence[Row | None]) -> Row:
    """The design of several studies: one list, if all were fixed beforehand and alike, or else a search."""
    known = [design for design in designs if design is not None]
    seeds = {
        key: sorted({seed for design in known for seed in design.get(key) or () if isinstance(seed, int)})
        for key in ("seeds", "train_seeds")
    }
    names = list(dict.fromkeys(name for design in known for name in design.get("generators") or ()))
    common = {"generators": names, "seeds": seeds["seeds"], "train_seeds": seeds["train_seeds"]}
    if _apart(designs):
        return {"search": SEVERAL, **common}
    only = list(dict.fromkeys(setting.spec for design in known for setting in _settings(design)))
    return {**{key: known[0][key] for key in SHARED if key in known[0]}, "search": "list", "only": only, **common}


def _settings(design: Row) -> Sequence[Setting]:
    return fixed_settings(
        design["search"], design.get("generators") or (), design.get("only") or (), design.get("variants") or {}
    )


def _apart(designs: Sequence[Row | None]) -> str:
    """Why designs are not one fixed design; empty if they are."""
    for design in designs:
        if design is None:
            return "the design of one is not recorded"
        if (parent := parent_of(design)) is not None:
            return f"one has the settings that {parent or 'another study'} chose"
        if design.get("search") not in FIXED:
            return f"the settings of one were chosen by its results ({design.get('search')})"
        if design.get("early_stopping"):
            return "one ended the weak early"
        if chosen_later(design):
            return "settings were added to one when results were known"
    first = designs[0] or {}
    for key in SHARED:
        if any((design or {}).get(key) or None for design in designs) and any(
            (design or {}).get(key) != first.get(key) for design in designs
        ):
            return f"they differ in {key}"
    return ""
