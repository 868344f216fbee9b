"""What a report infers from the grid: which settings differ, why graphs of a setting do, how many would tell."""

from collections.abc import Sequence
from html import escape
from itertools import combinations
from statistics import mode

from randwire.report.facts.paired import Paired
from randwire.report.page.html import dot, panel, table
from randwire.report.text import interval_text, many, p_text
from randwire.statistics.describe import describe, group
from randwire.statistics.intervals import LEVEL
from randwire.statistics.pairs import ALPHA, MIN_REPLICATES, Pair, testable
from randwire.statistics.power import MAX_REPLICATES, POWER, SampleSize, detectable_difference, sample_size
from randwire.statistics.variance import VarianceEstimate, VarianceSplit, pooled_variance, split_variance
from randwire.study.results import Group

POINTS = (0.25, 0.5, 1.0, 2.0)
"""True differences of top-1, in points, that the table of power is for."""
UNTESTED = {
    "search": "A search chooses what it looks at, and the best of many looks better than it is: a p value would not "
    "mean what it says. Read it as a search: it finds settings worth a fixed grid (--search grid), which is tested.",
    "unknown": "It is not known how these settings were chosen (no study.json), and a test of settings that were "
    "chosen by their results would not mean what it says.",
    "outside": "These settings are not of the fixed grid that this study is; something else chose them.",
}


def comparison(found: Group, pairs: Sequence[Pair]) -> str:
    """Which settings are separated, in sentences and a table of the best against all others; or why none is tested."""
    title = "Which settings are separated"
    if not found.tested:
        why = UNTESTED.get(
            found.origin,
            "Early stopping was on: what is left was chosen by its results, and a test would not mean what it says.",
        )
        return panel(title, f"<p>No tests between settings. {escape(why)}</p>")
    missing = [f"{name} (n={len(values)})" for name, values in found.values.items() if not testable(values)]
    left = f"Not tested, with fewer than {MIN_REPLICATES} graphs or no spread: {', '.join(missing)}." if missing else ""
    if not pairs:
        return panel(title, f"<p>Fewer than two settings can be tested. {escape(left)}</p>")
    best = pairs[0].names[0]
    against = [pair for pair in pairs if pair.names[0] == best]
    apart, near = ([pair.names[1] for pair in against if pair.separated is kind] for kind in (True, False))
    top = describe(found.values[best])
    lead = f"{best} has the highest mean, {top.mean:.2f}% (n={top.n}). It is separated from {len(apart)} of the "
    lead += f"{many(len(against), 'other tested setting')}"
    lead += f", and not from {', '.join(near)}." if near else "."
    leaders = list(
        {found.generator(name): name for name in reversed([best, *(pair.names[1] for pair in against)])}.values()
    )
    sentences = "".join(
        f"<li>{escape(str(pair))}: {pair.difference:.2f} points apart ({interval_text(pair.interval)}), "
        f"corrected p {escape(p_text(pair.adjusted))}</li>"
        for pair in pairs
        if set(pair.names) <= set(leaders)
    )
    sentences = (
        f"<p>The best setting of each generator against the others:</p><ul>{sentences}</ul>" if sentences else ""
    )
    rows = [
        [
            dot(found.generator(pair.names[1])) + escape(pair.names[1]),
            str(pair.n[1]),
            *outcome(pair),
        ]
        for pair in against
    ]
    heads = [f"{best} against", "n", "difference (points)", f"{LEVEL:.0%} interval", "p", "corrected p", ""]
    note = (
        f"Welch's test over graphs, with Holm's correction for all {many(len(pairs), 'pair')}: the chance of even one "
        f"false difference is held at {ALPHA:.0%}, also for pairs that were picked by their means. The intervals hold "
        f"for all pairs at once. Not separated does not mean equal. {left}"
    )
    return panel(title, f"<p>{escape(lead)}</p>{sentences}{table(heads, rows)}", note)


def outcome(pair: Pair) -> list[str]:
    """The cells of a table that tell the difference of a pair and its test."""
    return [
        f"{pair.difference:.2f}",
        interval_text(pair.interval),
        escape(p_text(pair.p)),
        escape(p_text(pair.adjusted)),
        "separated" if pair.separated else "not separated",
    ]


def paired_comparison(found: Paired) -> str:
    """The best variant against the others in sentences, and a table of all pairs."""
    title = "Which variants are separated"
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in found.sentences)
    if not found.pairs:
        return panel(title, f"<ul>{sentences}</ul>")
    rows = [[escape(" over ".join(pair.names)), str(pair.n[0]), *outcome(pair)] for pair in found.pairs]
    heads = ["variants", "n", "mean difference (points)", f"{LEVEL:.0%} interval", "p", "corrected p", ""]
    note = "Paired t-tests over the graphs of all settings. Not separated does not mean equal."
    if len(rows) > 1:
        note += f" Holm's correction is for all {len(rows)} pairs, and the intervals hold for all of them at once."
    if any(pair.separated and pair.interval.low <= 0 for pair in found.pairs):
        note += " Holm's tests are sharper than such intervals: one may reach beyond 0 though its pair is separated."
    return panel(title, f"<ul>{sentences}</ul>{table(heads, rows)}", note)


def variance(found: Group) -> str:
    """How much of the spread is between graphs and how much between training runs of one graph."""
    title = "Where the spread comes from"
    runs = {
        name: [[trial.score for trial in same] for same in replicates] for name, replicates in found.replicates.items()
    }
    alone = {name: found.values[name] for name, same in found.by_setting.items() if same[0].one_graph}
    fixed = [
        f"{describe(values).std:.2f} for {name} (n={len(values)})" for name, values in alone.items() if len(values) > 1
    ]
    trained = f"Settings with one graph vary by training alone: std {', '.join(fixed)}." if fixed else ""
    drawn = {name: found_runs for name, found_runs in runs.items() if name not in alone}
    splits = {name: split for name, same in drawn.items() if (split := split_variance([same]))}
    whole = split_variance(list(drawn.values()))
    if whole is None:
        why = "It takes settings with two graphs, and graphs that were trained twice"
        text = (
            f"Variance between graphs cannot be told from variance between training runs here. {why} (--train-seeds 2)."
        )
        return panel(title, f"<p>{escape(f'{text} {trained}')}</p>")
    rows = [_split_row(dot(found.generator(name)) + escape(name), split) for name, split in splits.items()]
    if len(drawn) > 1:
        rows.append(_split_row("all, within settings", whole))
    heads = ["setting", "graphs", "runs", "std between graphs", "std between runs", "share of graphs"]
    heads.append(f"{LEVEL:.0%} interval of the share")
    note = (
        "Analysis of variance, training runs within graphs within settings. The share is the part of a single run's "
        "variance that its graph decides. * The estimate of the variance between graphs was negative, and is set to 0."
    )
    return panel(title, table(heads, rows, len(drawn) > 1) + f"<p>{escape(trained)}</p>" * bool(trained), note)


def power(found: Group, pairs: Sequence[Pair]) -> str:
    """How many graphs would separate two settings of two generators; empty where no spread is known."""
    if found.early_stopping:
        return ""
    spreads: dict[str, VarianceEstimate] = {}
    for generator, same in group(found.by_setting, found.generator).items():
        spread = pooled_variance([found.values[name] for name in same if not found.by_setting[name][0].one_graph])
        if spread is not None:
            spreads[generator] = spread
    chosen = list(combinations(spreads, 2)) or [(name, name) for name in spreads]
    if not chosen:
        return ""
    usual = mode(len(values) for values in found.values.values())
    tests = [("alone", ALPHA)] + ([(f"one of {len(pairs)} pairs", ALPHA / len(pairs))] if len(pairs) > 1 else [])
    rows = []
    for one, two in chosen:
        both = spreads[one], spreads[two]
        for name, alpha in tests:
            smallest = [f"{detectable_difference(usual, both, alpha):.2f}"] if usual >= MIN_REPLICATES else []
            rows.append(
                [
                    f"{dot(one)}{one.upper()} and {dot(two)}{two.upper()}",
                    " and ".join(f"{spread.variance**0.5:.2f}" for spread in both),
                    name,
                    *smallest,
                    *(_sample_size(sample_size(points, both, alpha)) for points in POINTS),
                ]
            )
    seen, enough = f"seen at n={usual}", usual >= MIN_REPLICATES
    heads = ["settings of", "std", "test", *[seen] * enough, *(f"n for {points:g}" for points in POINTS)]
    note = (
        "n is how many graphs of each setting would separate a true difference of so many points with a chance of "
        f"{POWER:.0%}; in brackets, for the ends of the {LEVEL:.0%} interval of the standard deviations, which are "
        f"those between graphs within settings. Settings without random graphs are left out. A test takes at least "
        f"{MIN_REPLICATES} graphs.{f' {seen.capitalize()}: the difference that so many separate.' * enough}"
    )
    return panel("How many graphs would tell", table(heads, rows), note)


def _split_row(name: str, split: VarianceSplit) -> list[str]:
    return [
        name,
        str(split.graphs),
        str(split.runs),
        f"{split.between_graphs:.2f}{'*' * split.negative}",
        f"{split.between_runs:.2f}",
        f"{split.share:.0%}",
        "-" if split.interval is None else f"{split.interval.low:.0%} to {split.interval.high:.0%}",
    ]


def _sample_size(found: SampleSize) -> str:
    n, low, high = (f"{number:,}" if number < MAX_REPLICATES else f"> {MAX_REPLICATES:,}" for number in found)
    return f"{n} ({low} to {high})" if low != high else n
