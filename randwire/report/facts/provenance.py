"""Where the numbers of a report come from: design, budgets, commits, versions and hardware, also where they differ."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from randwire.pages.text import first_of, many
from randwire.parts import kept
from randwire.records import Row
from randwire.report.facts.designs import names_of
from randwire.report.facts.growth import chosen_later, growth_text
from randwire.report.facts.images import images
from randwire.report.facts.study import StudyFacts
from randwire.study.results import Trial, number
from randwire.study.search_space import GRAPH_SEED

MAX_VALUES = 6
"""Commits, versions, kinds of hardware, commands and seeds that are named one by one."""


def provenance(study: StudyFacts) -> dict[str, str]:
    """Where the numbers come from, by what it is: design, budget, commits; what was not recorded is left out."""
    searched = {name: _texts(study.design, name) for name in ("space", "objective")}
    told = [f"{name}: {_design(one)}" for name, one in study.designs.items()] or [_design(study.design)]
    grown = [f"{name}: {text}" for name, one in study.designs.items() if (text := growth_text(one))]
    design = {"design": "; ".join(told), "grown": "; ".join(grown) or growth_text(study.design)}
    facts = {**design, **searched, "trials": study.statuses}
    budgets = {f"{many(t.config.train.epochs, 'epoch')} on {t.config.data.source}" for t in study.trials}
    facts["budget"] = "; ".join(sorted(budgets))
    facts["images"] = images(study.trials)
    recorded = [parts for trial in study.trials if (parts := trained_by(trial))]
    for name, text_of in {**_TOLD, "command": _command}.items():
        facts[name] = _counted(Counter(_in_turn(parts, text_of) for parts in recorded))
    started = sorted(trial.started for trial in study.trials if trial.started)
    facts["started"] = " to ".join(dict.fromkeys([started[0], started[-1]])) if started else ""
    seconds = sum(number(trial.summary, "seconds") or 0 for trial in study.trials)
    facts["training"] = f"{duration(seconds)} over all trials" if seconds else ""
    return {name: value for name, value in facts.items() if value}


def trained_by(trial: Trial) -> list[Row]:
    """The parts that have trained what the record of a trial holds; none where that was not recorded."""
    return kept(trial.parts, len(trial.rows))


def mixed(trials: Sequence[Trial]) -> list[str]:
    """In what the trials, or the parts of one, differ that should be one for all."""
    recorded = [parts for trial in trials if (parts := trained_by(trial))]
    every = [part for parts in recorded for part in parts]
    values = {name: {text_of(part) for part in every} - {""} for name, text_of in _TOLD.items()}
    lines = [*_mixed_within(trials)]
    if len(values["commit"]) > 1:
        lines.append(f"The trials come from {len(values['commit'])} different commits.")
    if any(part.get("dirty") for part in every):
        lines.append("Some trials ran with uncommitted changes: the commit alone does not reproduce them.")
    if len(values["versions"]) > 1:
        lines.append(f"The trials ran with different package versions: {_differing(every)}.")
    if len(values["cuda"]) > 1:
        lines.append(f"The trials ran with different versions beneath PyTorch: {'; '.join(sorted(values['cuda']))}.")
    for precision, texts in _arithmetics(trials).items():
        if len(texts) > 1:
            lines.append(f"Trials in {precision} computed in {len(texts)} ways: {'; '.join(sorted(texts))}.")
    if len(values["hardware"]) > 1:
        lines.append(f"The trials ran on {len(values['hardware'])} kinds of hardware.")
    silent = len(trials) - len(recorded)
    if silent:
        lines.append(f"{many(silent, 'trial')} without environment.json: commit and versions are not known.")
    return lines


def _arithmetics(trials: Sequence[Trial]) -> dict[str, set[str]]:
    """What was in force on the GPUs of the trials of each `train.precision`, where that was recorded."""
    found: dict[str, set[str]] = {}
    for trial in trials:
        found.setdefault(trial.config.train.precision, set()).update({*map(_arithmetic, trained_by(trial))} - {""})
    return found


def _mixed_within(trials: Sequence[Trial]) -> Iterator[str]:
    """Of trials that went on where something had changed."""
    for what, text_of in (
        ("at another commit", _commit),
        ("with other package versions", _versions),
        ("with other versions beneath PyTorch", _cuda),
        ("in another arithmetic", _arithmetic),
        ("on another number of ranks", _ranks),
    ):
        changed = {trial.name: turn for trial in trials if " then " in (turn := _in_turn(trained_by(trial), text_of))}
        if changed:
            told = "" if text_of is _versions else f" ({first_of(list(dict.fromkeys(changed.values())), MAX_VALUES)})"
            yield (
                f"{many(len(changed), 'trial')} went on {what} than {'it' if len(changed) == 1 else 'they'} began"
                f"{told}: {first_of(list(changed), MAX_VALUES)}."
            )


def _design(study: Row | None) -> str:
    if study is None:
        return "not recorded (no study.json)"
    listed, variants = many(len(study.get("only") or ()), "setting"), len(study.get("variants") or ())
    listed += f" in {many(variants, 'variant')} each" * bool(variants)
    fact = names_of(study).fact.format(n=listed, parent=_parent(study))
    parts = [fact.replace("fixed beforehand", "not all fixed beforehand") if chosen_later(study) else fact]
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
    """The name of the study whose settings a recorded design has; empty for any other."""
    confirmed = study.get("confirm") or study.get("longer")
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


def _in_turn(parts: Sequence[Row], text_of: Callable[[Row], str]) -> str:
    """What is said of parts, in their order: `A, then B` where it changed."""
    return ", then ".join(text for text, _ in groupby(map(text_of, parts)) if text)


def _counted(values: Counter[str]) -> str:
    """Values, the most frequent first, with their number of trials where there are several."""
    named = [(value, n) for value, n in values.most_common() if value]
    if len(named) < 2:
        return "".join(value for value, _ in named)
    shown = [f"{value} ({many(n, 'trial')})" for value, n in named[:MAX_VALUES]]
    return "; ".join(shown + [f"and {len(named) - MAX_VALUES} more"] * (len(named) > MAX_VALUES))


def _differing(parts: Sequence[Row]) -> str:
    """The packages whose versions differ, with all of these."""
    versions: dict[str, set[str]] = {}
    for part in parts:
        for name, version in {"python": part.get("python"), **(part.get("packages") or {})}.items():
            versions.setdefault(name, set()).add(str(version or "none"))
    return ", ".join(f"{name} {' and '.join(sorted(each))}" for name, each in versions.items() if len(each) > 1)


def _commit(part: Row) -> str:
    return f"{part.get('commit') or 'unknown'}{' with uncommitted changes' if part.get('dirty') else ''}"


def _versions(part: Row) -> str:
    packages = part.get("packages") or {}
    python = [f"python {part['python']}"] if part.get("python") else []
    return ", ".join([*python, *(f"{name} {version}" for name, version in packages.items() if version)])


def _hardware(part: Row) -> str:
    hardware = part.get("hardware") or {}
    cpu = f"{hardware.get('cpu')} ({hardware.get('cores')} cores)" if hardware.get("cpu") else ""
    gpu, share = str(hardware.get("gpu") or ""), hardware.get("gpu_share")
    if gpu and isinstance(share, int | float) and share < 1:
        gpu = f"{share:g} of a {gpu}"
    return ", ".join(filter(None, (gpu, cpu, _ranks(part))))


def _cuda(part: Row) -> str:
    return ", ".join(f"{name} {version}" for name, version in (part.get("cuda") or {}).items() if version)


def _arithmetic(part: Row) -> str:
    """What fp32 numbers were multiplied in on a GPU; empty for a CPU, and where that was not recorded."""
    settings = part.get("arithmetic") or {}
    return ", ".join(f"{name.replace('_', ' ')} {_set(value)}" for name, value in settings.items())


def _set(value: object) -> str:
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _ranks(part: Row) -> str:
    return many(part["world_size"], "rank") if isinstance(part.get("world_size"), int) else ""


def _command(part: Row) -> str:
    return str(part.get("command") or "")


_TOLD: Mapping[str, Callable[[Row], str]] = {
    "commit": _commit,
    "versions": _versions,
    "cuda": _cuda,
    "hardware": _hardware,
    "arithmetic": _arithmetic,
}
"""What a part of a training ran in, by name."""
