"""Where the numbers of a report come from: design, budgets, commits, versions and hardware, also where they differ."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from randwire.pages.text import many
from randwire.records import Row
from randwire.report.facts.designs import names_of
from randwire.report.facts.images import images
from randwire.report.facts.study import StudyFacts
from randwire.study.results import Trial, number
from randwire.study.search_space import GRAPH_SEED

MAX_VALUES = 6
"""Commits, versions, kinds of hardware, commands and seeds that are named one by one."""


def provenance(study: StudyFacts) -> dict[str, str]:
    """Where the numbers come from, by what it is: design, budget, commits; what was not recorded is left out."""
    environments = [trial.environment for trial in study.trials if trial.environment]
    searched = {name: _texts(study.design, name) for name in ("space", "objective")}
    facts = {"design": _design(study.design), **searched, "trials": study.statuses}
    budgets = {f"{many(t.config.train.epochs, 'epoch')} on {t.config.data.source}" for t in study.trials}
    facts["budget"] = "; ".join(sorted(budgets))
    facts["images"] = images(study.trials)
    facts |= {name: _counted(values) for name, values in _values(environments).items()}
    started = sorted({str(environment["started"]) for environment in environments if environment.get("started")})
    facts["started"] = " to ".join(dict.fromkeys([started[0], started[-1]])) if started else ""
    seconds = sum(number(trial.summary, "seconds") or 0 for trial in study.trials)
    facts["training"] = f"{duration(seconds)} over all trials" if seconds else ""
    return {name: value for name, value in facts.items() if value}


def mixed(trials: Sequence[Trial]) -> list[str]:
    """In what the trials differ that should be one for all."""
    environments = [trial.environment for trial in trials if trial.environment]
    values = _values(environments)
    lines = []
    if len(values["commit"]) > 1:
        lines.append(f"The trials come from {len(values['commit'])} different commits.")
    if any(environment.get("dirty") for environment in environments):
        lines.append("Some trials ran with uncommitted changes: the commit alone does not reproduce them.")
    if len(values["versions"]) > 1:
        lines.append(f"The trials ran with different package versions: {_differing(environments)}.")
    if len(values["hardware"]) > 1:
        lines.append(f"The trials ran on {len(values['hardware'])} kinds of hardware.")
    silent = len(trials) - len(environments)
    if silent:
        lines.append(f"{many(silent, 'trial')} without environment.json: commit and versions are not known.")
    return lines


def _design(study: Row | None) -> str:
    if study is None:
        return "not recorded (no study.json)"
    listed, variants = many(len(study.get("only") or ()), "setting"), len(study.get("variants") or ())
    listed += f" in {many(variants, 'variant')} each" * bool(variants)
    parts = [names_of(study).fact.format(n=listed, parent=_parent(study))]
    if study.get("settings") is not None and study.get("search") in ("tpe", "random"):  # the others have what they have
        parts.append(many(study["settings"], "setting"))
    graphs = _given_graphs(study)
    parts += [graphs] * bool(graphs)
    for key, name in (("seeds", "graph seed"), ("train_seeds", "training seed")) if not graphs else ():
        if isinstance(study.get(key), list):
            first = " in its first round" * (key == "seeds" and study.get("search") == "race")
            parts.append(f"{many(len(study[key]), name)} ({_listed(study[key])}){first}")
    parts.append(f"study seed {study.get('seed')}")
    parts.append("early stopping" if study.get("early_stopping") else "no early stopping")
    if study.get("match_mult_adds") is not None:
        parts.append(f"channels of each network for {study['match_mult_adds']:,.0f} multiply-adds")
    return ", ".join(parts)


def _given_graphs(study: Row) -> str:
    """How often the graph of a setting is trained, where its seed is part of the setting; empty where it is not."""
    if not any(f"{GRAPH_SEED}=" in str(text) for name in ("space", "only") for text in study.get(name) or ()):
        return ""
    counts = [len(study[key]) for key in ("seeds", "train_seeds") if isinstance(study.get(key), list)]
    return f"one graph a setting, {many(math.prod(counts), 'training')} of it"


def _parent(study: Row) -> str:
    """The name of the study that a recorded confirmation confirms; empty for any other."""
    confirmed = study.get("confirm")
    return str(confirmed.get("study", "")) if isinstance(confirmed, dict) else ""


def _texts(study: Row | None, name: str) -> str:
    """The texts of an option of a design; empty at its default, or where it was not recorded."""
    texts = (study or {}).get(name)
    return ", ".join(map(str, texts)) if isinstance(texts, list) and texts != ["top1"] else ""


def _listed(seeds: Sequence[int]) -> str:
    if len(seeds) > MAX_VALUES:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def duration(seconds: float) -> str:
    """Seconds in the largest unit that they fill."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _values(environments: Sequence[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """How many trials have which commit, versions, hardware and command."""
    return {
        "commit": Counter(
            f"{environment.get('commit') or 'unknown'}{' with uncommitted changes' if environment.get('dirty') else ''}"
            for environment in environments
        ),
        "versions": Counter(map(_versions, environments)),
        "hardware": Counter(map(_hardware, environments)),
        "command": Counter(str(environment.get("command") or "") for environment in environments),
    }


def _counted(values: Counter[str]) -> str:
    """Values, the most frequent first, with their number of trials where there are several."""
    named = [(value, n) for value, n in values.most_common() if value]
    if len(named) < 2:
        return "".join(value for value, _ in named)
    shown = [f"{value} ({many(n, 'trial')})" for value, n in named[:MAX_VALUES]]
    return "; ".join(shown + [f"and {len(named) - MAX_VALUES} more"] * (len(named) > MAX_VALUES))


def _differing(environments: Sequence[Mapping[str, Any]]) -> str:
    """The packages whose versions differ, with all of these."""
    versions: dict[str, set[str]] = {}
    for environment in environments:
        for name, version in {"python": environment.get("python"), **(environment.get("packages") or {})}.items():
            versions.setdefault(name, set()).add(str(version or "none"))
    return ", ".join(f"{name} {' and '.join(sorted(each))}" for name, each in versions.items() if len(each) > 1)


def _versions(environment: Mapping[str, Any]) -> str:
    packages = environment.get("packages") or {}
    python = [f"python {environment['python']}"] if environment.get("python") else []
    return ", ".join([*python, *(f"{name} {version}" for name, version in packages.items() if version)])


def _hardware(environment: Mapping[str, Any]) -> str:
    hardware = environment.get("hardware") or {}
    cpu = f"{hardware.get('cpu')} ({hardware.get('cores')} cores)" if hardware.get("cpu") else ""
    ranks = (
        f"{environment['world_size']} rank{'s' * (environment['world_size'] != 1)}"
        if environment.get("world_size")
        else ""
    )
    return ", ".join(part for part in (str(hardware.get("gpu") or ""), cpu, ranks) if part)
