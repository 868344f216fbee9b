"""The text, tables and pictures of a report, as pieces of HTML. Everything that comes from a record is escaped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from randwire import drawing
from randwire.dag import DAG
from randwire.records import Row
from randwire.study._report_tables import dot, link, many
from randwire.study._report_trials import STATUSES, Broken, Group, Trial, number
from randwire.study.statistics import describe

BEST, WORST = 4, 4
"""Trials in the gallery."""


def counts(trials: Sequence[Trial], broken: Sequence[Broken]) -> str:
    """How many trials have which status, such as `5 finished, 1 failed`; what does not occur is left out."""
    found = Counter([*(trial.status for trial in trials), *("unreadable" for _ in broken)])
    return ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])


def warnings(study: Row | None, groups: Sequence[Group], trials: Sequence[Trial], broken: Sequence[Broken]) -> str:
    """What a reader must know before believing a mean."""
    search = (study or {}).get("search")
    lines = []
    excluded = sum(trial.top1 is None for trial in trials) + len(broken)
    if excluded:
        lines.append(f"{many(excluded, 'trial')} excluded from all statistics (listed at the end with the cause).")
    if len(groups) > 1:
        lines.append(
            f"The trials have {len(groups)} different budgets. Each budget has its own section below; "
            "results of unequal budgets are never pooled."
        )
    unequal = any(len({len(same) for same in found.by_generator.values()}) > 1 for found in groups)
    if search == "tpe":
        lines.append(
            "The search is adaptive (TPE): it tries more settings where earlier ones did well, so "
            f"{'n is unequal and ' if unequal else ''}the means are biased by adaptivity. "
            "A comparison of generators needs <code>--search grid</code>."
        )
    elif any(len({len(same) for same in found.by_setting.values()}) > 1 for found in groups):
        lines.append("n differs between settings: the means are not equally certain.")
    if (study or {}).get("early_stopping"):
        lines.append(
            "Early stopping was on: trials that looked weak were pruned and are excluded, so the means are those of "
            "the survivors."
        )
    if study is None:
        lines.append("There is no study.json: how the settings were chosen is not known.")
    environments = [trial.environment for trial in trials if trial.environment]
    commits = {str(found.get("commit")) for found in environments}
    if len(commits) > 1:
        lines.append(f"The trials come from {len(commits)} different commits.")
    if any(found.get("dirty") for found in environments):
        lines.append("Some trials ran with uncommitted changes: the commit alone does not reproduce them.")
    if len({_versions(found) for found in environments}) > 1:
        lines.append("The trials ran with different package versions.")
    return "".join(f'<p class="warning" role="note">{line}</p>' for line in lines)


def provenance(study: Row | None, trials: Sequence[Trial], status: str, generated: str) -> str:
    """Where the numbers come from."""
    environments = [trial.environment for trial in trials if trial.environment]
    facts = {"design": _design(study), "trials": status}
    budgets = {f"{t.config.train.epochs} epochs on {t.config.data.source}" for t in trials}
    facts["budget"] = "; ".join(sorted(budgets))
    facts["commit"] = _distinct(
        f"{found.get('commit') or 'unknown'}{' with uncommitted changes' if found.get('dirty') else ''}"
        for found in environments
    )
    facts["versions"] = _distinct(_versions(found) for found in environments)
    facts["hardware"] = _distinct(_hardware(found) for found in environments)
    started = sorted({str(found["started"]) for found in environments if found.get("started")})
    facts["started"] = " to ".join(dict.fromkeys([started[0], started[-1]])) if started else ""
    facts["command"] = str(environments[0].get("command") or "") if environments else ""
    seconds = sum(number(trial.summary, "seconds") or 0 for trial in trials)
    facts["training"] = f"{_duration(seconds)} over all trials" if seconds else ""
    facts["report"] = f"generated {generated} from the records alone"
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items() if value)
    return f'<div class="panel"><dl>{rows}</dl></div>'


def cards(trials: Sequence[Trial], broken: Sequence[Broken]) -> str:
    """How many trials have ended in which way."""
    found = Counter(trial.status for trial in trials)
    rows = [(str(found[status]), status) for status in STATUSES[:4]]
    if broken:
        rows.append((str(len(broken)), "unreadable"))
    return '<div class="cards">' + "".join(_card(value, [name]) for value, name in rows) + "</div>"


def group_cards(found: Group) -> str:
    """The best trial and the mean of one budget."""
    if not found.counted:
        return (
            '<p class="warning" role="note">No trial of this budget has finished, so there is nothing to compare.</p>'
        )
    title = "best top-1" if len(found.counted) > 1 else "only finished trial"
    best, all_ = found.counted[0], describe([trial.score for trial in found.counted])
    std = f"standard deviation {all_.std:.2f}" if all_.std is not None else "one trial, no standard deviation"
    rates = sorted(rate for trial in found.counted for row in trial.rows if (rate := number(row, "images_per_s")))
    shown = [
        _card(f"{best.score:.2f}%", [f"{title}: {best.setting}", f"graph seed {best.config.graph.seed}"], main=True),
        _card(f"{all_.mean:.2f}%", [f"mean top-1, n = {all_.n}", std]),
        _card(str(len(found.by_setting)), ["setting" + "s" * (len(found.by_setting) != 1)]),
    ]
    if rates:
        shown.append(_card(f"{rates[len(rates) // 2]:,.0f}", ["images a second", "median over epochs"]))
    return '<div class="cards">' + "".join(shown) + "</div>"


def budget_text(found: Group, groups: Sequence[Group]) -> str:
    """What the trials of a group have in common; with several groups, first what sets them apart."""
    config = found.trials[0].config
    graphs = "saved graphs"  # their nodes are their own
    if config.graph.path is None:
        graphs = f"{config.graph.nodes} nodes a stage ({config.graph.stages} graphs)"
    text = (
        f"{config.train.epochs} epochs, {config.data.source} at {config.data.resolution} pixels, "
        f"{config.network.regime} regime with C = {config.network.channels}, {graphs}, {config.network.op}, "
        f"batch {config.train.batch_size}, learning rate {config.train.lr:g}"
    )
    differing = [key for key in found.budget if len({str(other.budget.get(key)) for other in groups}) > 1]
    if differing:
        text = "; ".join(f"{key} = {found.budget[key]}" for key in differing) + ". Otherwise: " + text
    return f'<p class="lead">{escape(text)}.</p>'


SCHEDULES = {"cosine": "half a cosine", "step": "steps", "exponential": "exponential decay"}


def lr_text(found: Group) -> str:
    """How well the logged learning rates agree with the schedule."""
    deviations = [value for trial in found.trials for value in trial.lr_deviations()]
    if not deviations:
        return '<p class="note">No learning rate was logged.</p>'
    schedule = SCHEDULES[found.trials[0].config.train.schedule]
    return (
        f'<p class="note">Largest deviation of the logged learning rate from the closed form of the schedule '
        f"(linear warm-up, {schedule}): <b>{max(deviations):.2g}</b>, over {many(len(deviations), 'epoch')} of "
        f"{many(sum(bool(trial.lr_deviations()) for trial in found.trials), 'trial')}.</p>"
    )


def gallery(found: Group) -> str:
    """The DAGs of the best and the worst trials; no trial twice."""
    best = found.counted[:BEST]
    worst = found.counted[BEST:][-WORST:][::-1]
    parts = []
    first = "DAGs of the best trials" if worst else "DAGs, best first" if len(best) > 1 else "DAG"
    for title, trials in ((first, best), ("DAGs of the worst trials, last first", worst)):
        if trials:
            tiles = "".join(_tile(trial, found.counted.index(trial) + 1, len(found.counted)) for trial in trials)
            parts.append(f'<h3 class="above">{title}</h3><div class="gallery">{tiles}</div>')
    return "".join(parts)


def _design(study: Row | None) -> str:
    if study is None:
        return "not recorded (no study.json)"
    names = {"tpe": "adaptive search (TPE)", "random": "random search", "grid": "fixed grid"}
    parts = [names.get(str(study.get("search")), str(study.get("search")))]
    if study.get("settings") is not None:
        parts.append(many(study["settings"], "setting"))
    for key, name in (("seeds", "graph seed"), ("train_seeds", "training seed")):
        if isinstance(study.get(key), list):
            parts.append(f"{many(len(study[key]), name)} ({', '.join(map(str, study[key]))})")
    parts.append(f"study seed {study.get('seed')}")
    parts.append("early stopping" if study.get("early_stopping") else "no early stopping")
    return ", ".join(parts)


def _tile(trial: Trial, rank: int, of: int) -> str:
    stages: dict[DAG, list[str]] = {}
    for stage, dag in trial.dags.items():
        stages.setdefault(dag, []).append(stage)
    pictures = "".join(
        f"<figure>{drawing.thumbnail_svg(dag)}<figcaption>{escape(' = '.join(names))}</figcaption></figure>"
        for dag, names in stages.items()
    )
    return (
        f'<figure class="tile"><div class="dags">{pictures}</div><figcaption>{dot(trial.generator)}'
        f"<b>{escape(trial.setting)}</b> {trial.score:.2f}%<br>"
        f'<span class="note">rank {rank} of {of}, graph seed {trial.config.graph.seed}, training seed '
        f'{trial.config.train.seed}, <a href="{link(trial)}">record</a></span></figcaption></figure>'
    )


def _card(value: str, lines: Sequence[str], main: bool = False) -> str:
    spans = "".join(f"<span>{escape(line)}</span>" for line in lines)
    return f'<div class="card{" main" * main}"><b>{escape(value)}</b>{spans}</div>'


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _distinct(values: Any) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))


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
