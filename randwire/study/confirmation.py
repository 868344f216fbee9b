"""A confirmation: the winners of an earlier study as a list, on seeds that had no part in choosing them.

Its neighbour trains the winners for longer, on the graphs and seeds that chose them: that is no test of them, and finds
what the best can reach.

What was chosen, and by what numbers, stands in study.json of the confirmation: it goes on with that, even if the
earlier study has grown since, or is gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from randwire.config import RunConfig
from randwire.errors import ConfigError, RecordError, one_line
from randwire.records import Row
from randwire.study.folder import StudyFolder, base_of
from randwire.study.groups import TrialGroup, groups
from randwire.study.requirements import Requirement
from randwire.study.results import Trial, load
from randwire.study.setting import Setting
from randwire.study.winners import ranking

DEFAULT_SEEDS = 10
"""Graph seeds of a confirmation that says nothing of them: two would tell little, and the settings are few."""


@dataclass(frozen=True)
class Winner:
    """A setting that was chosen, and by what: the mean top-1 (%) of n networks on the images that chose."""

    setting: str
    n: int
    top1: float
    fitted: float | None = None
    """Its true top-1 (%), as it was expected then (see `winners.Ranked`); None if that was not told."""

    def to_json(self) -> Row:
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Confirmation:
    """What an earlier study has chosen."""

    study: str
    """Its name."""
    design: str
    """12 hexadecimal digits: SHA-256 of its study.json."""
    search: str
    """How it chose its settings."""
    settings: int
    """How many settings had finished, of which these were chosen."""
    holdout: int
    """How many training images were kept for choosing; 0: the validation split chose."""
    winners: tuple[Winner, ...]
    """Best first."""
    epochs: int | None = None
    """For how many epochs they were trained then, where they are trained for longer."""

    @classmethod
    def of_json(cls, value: Row) -> Confirmation:
        """The confirmation of what `to_json` gives. Raises KeyError or TypeError for anything else."""
        return cls(**{**value, "winners": tuple(Winner(**winner) for winner in value["winners"])})

    def to_json(self) -> Row:
        value = {**asdict(self), "winners": [winner.to_json() for winner in self.winners]}
        return {key: one for key, one in value.items() if key != "epochs" or one is not None}

    @property
    def only(self) -> tuple[str, ...]:
        """The settings, as a list has them."""
        return tuple(winner.setting for winner in self.winners)


def folder_of(study: str, beside: Path) -> Path:
    """The folder of an earlier study: of that name, beside the folder of the confirmation, or the one that is given."""
    return (beside.parent / study if Path(study).name == study else Path(study)).resolve()


class Chosen(NamedTuple):
    """A confirmation with what its design takes over from the earlier study."""

    confirmation: Confirmation
    base: RunConfig
    """Its configuration; `runtime` is at its defaults."""
    seeds: dict[str, int]
    """The first seeds after all that it used, by dotted key; or for longer training the first that it used."""
    options: dict[str, Any]

    @property
    def longer(self) -> bool:
        """Whether it is trained for longer, and not confirmed."""
        return self.confirmation.epochs is not None


def choose(
    folder: Path,
    top: int | None,
    generators: Sequence[str] | None = None,
    data_path: str | None = None,
    longer: bool = False,
) -> Chosen:
    """The winner of each generator, or the `top` best settings, best first, as `winners.ranking` has them.

    They are to be confirmed, or with `longer` trained again for longer. Only settings count of which every trial that
    was begun has finished. With `generators`, only they are looked at.
    Raises ConfigError, in one line, for a study that has nothing to confirm, or several budgets.
    """
    option = "--longer" if longer else "--confirm"
    study = StudyFolder(folder).read()
    if study is None:
        raise ConfigError(f"{option}: {folder}: there is no such study")
    if study["variants"]:
        raise ConfigError(f"{option}: {folder.name} compares variants; name its settings with --only instead")
    if not longer and any(text.partition("=")[0] == "train.seed" for text in study.get("space") or ()):
        raise ConfigError(
            f"--confirm: {folder.name} searched training seeds, and on others there is nothing to confirm"
        )
    group, trials = _finished(folder, study, option)
    ranked = [
        (Winner(one.spec, one.n, one.mean, one.fitted), one.generator)
        for one in ranking(group, study)
        if generators is None or one.generator in generators
    ]
    if top is not None and top > len(ranked):
        raise ConfigError(f"--top: {folder.name} has {len(ranked)} settings that have finished, not {top}")
    firsts: dict[str, Winner] = {}
    for winner, family in ranked:
        firsts.setdefault(family, winner)
    winners = list(firsts.values()) if top is None else [winner for winner, _ in ranked[:top]]
    if not winners:
        raise ConfigError(f"{option}: {folder.name} has no setting that has finished")
    try:
        base = base_of(study, data_path)
        seeds = {
            "graph.seed": 1 + max(*study["seeds"], *(trial.config.graph.seed for trial in trials)),
            "train.seed": 1 + max(*study["train_seeds"], *(trial.config.train.seed for trial in trials)),
        }
        options = _inherited(study)
        if longer:
            seeds = {"graph.seed": study["base"]["graph"]["seed"], "train.seed": study["base"]["train"]["seed"]}
            options |= _same_seeds(study, [winner.setting for winner in winners], trials)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{option}: {folder / 'study.json'}: damaged: {one_line(error)}") from None
    confirmation = Confirmation(
        folder.name,
        hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()[:12],
        str(study.get("search")),
        len(ranked),
        int(study["base"]["data"].get("holdout", 0)),
        tuple(winners),
        base.train.epochs if longer else None,
    )
    return Chosen(confirmation, base, seeds, options)


def _inherited(study: Row) -> dict[str, Any]:
    """The options that say which networks are trained at all."""
    return {
        "generators": tuple(study["generators"]),
        "require": tuple(map(Requirement.parse, study["require"])),
        "match_mult_adds": study.get("match_mult_adds"),
    }


def _same_seeds(study: Row, settings: Sequence[str], trials: Sequence[Trial]) -> dict[str, int]:
    """How many graph and training seeds chose some settings; of a race, which has given unequal numbers, the least."""
    graphs, trainings = len(study["seeds"]), len(study["train_seeds"])
    if study["search"] == "race":
        first = study["seeds"][0]
        used = [
            1 + max(trial.config.graph.seed for trial in trials if str(Setting.of(trial.config)) == setting) - first
            for setting in settings
        ]
        graphs = min(used)
    return {"seeds": graphs, "train_seeds": trainings}


def _finished(folder: Path, study: Row, option: str) -> tuple[TrialGroup, list[Trial]]:
    """The trials of the study that were of its design, in one budget, and all trials that its folder holds."""
    try:
        trials, _ = load(folder)
    except RecordError:
        raise ConfigError(f"{option}: {folder.name} has no trial that has finished") from None
    own = [group for group in groups(trials, study) if group.origin != "outside" and group.counted]
    if not own:
        raise ConfigError(f"{option}: {folder.name} has no trial that has finished")
    if len(own) > 1:
        raise ConfigError(
            f"{option}: the trials of {folder.name} have {len(own)} budgets, and results of unequal budgets cannot be "
            "compared; its report tells them apart"
        )
    return own[0], trials
