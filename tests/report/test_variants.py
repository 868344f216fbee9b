"""Studies that compare variants: the same graphs for each, equal cost of node operations, and what the report pairs."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import commands
import pytest
from report_helpers import Page, add_trial, write_design
from scipy import stats
from study_helpers import end

from randwire import config as configuration
from randwire import registry
from randwire.config import RunConfig
from randwire.errors import ConfigError
from randwire.pages.style import style
from randwire.records import Record
from randwire.report import figures, write_report
from randwire.study import results as trials_of
from randwire.study.design import Design
from randwire.study.groups import groups
from randwire.study.planning import listing, plan
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting
from randwire.wiring import sample_graphs
from studies import node_ops, regimes

VARIANTS = {"one": {"network.op": "conv", "network.channels": 7}, "two": {"network.op": "avgpool"}}


def _design(folder: Path, **changes: object) -> Design:
    keys = {"runtime.output": str(folder), "runtime.study": "study", "graph.nodes": 12, "train.epochs": 4}
    base = configuration.load("digits", keys)
    return Design(base, search="grid", variants=VARIANTS, **changes)  # type: ignore[arg-type]


def test_variants_are_crossed_with_the_best_settings_on_the_same_graphs(tmp_path: Path) -> None:
    design = _design(tmp_path, seeds=3)
    settings = list(SettingSearch(design).foreseeable())
    assert settings == [Setting(spec, name) for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75") for name in VARIANTS]
    one, two = design.trials(Setting("ba:m=5", "one")), design.trials(Setting("ba:m=5", "two"))
    assert [trial.graph.seed for trial in one] == [trial.graph.seed for trial in two] == [0, 1, 2]
    assert [sample_graphs(trial) for trial in one] == [sample_graphs(trial) for trial in two]
    assert {(trial.network.op, trial.network.channels) for trial in one} == {("conv", 7)}
    assert {(trial.network.op, trial.network.channels) for trial in two} == {("avgpool", 16)}
    assert [str(Setting.of(trial)) for trial in one + two] == ["ba:m=5 one"] * 3 + ["ba:m=5 two"] * 3
    assert len({trial.digest for setting in settings for trial in design.trials(setting)}) == 18


def test_variants_belong_to_the_identity_of_a_study(tmp_path: Path) -> None:
    design = _design(tmp_path)
    design.open()
    design.open()
    again = Design.load(None, {"runtime.output": str(tmp_path)}, name="study")
    assert (again.base, again.variants) == (design.base, design.variants)
    assert [row.label for row in plan(design, listing(again))][:3] == [
        "ER(0.2) one",
        "ER(0.2) one",
        "ER(0.2) two",
    ]
    with pytest.raises(ConfigError, match="holds a study with another variants"):
        Design(design.base, search="grid").open()


def test_the_report_compares_variants_in_one_group(tmp_path: Path) -> None:
    design = _design(tmp_path)
    design.open()
    for number, setting in enumerate(SettingSearch(design).foreseeable()):
        end(design, setting, top1=50.0 + number)
    for trial in (trial for setting in design.fixed_settings() for trial in design.trials(setting)):
        record = design.record(trial)
        record.write_json("summary.json", {**(record.summary() or {}), "epochs": 4})
    trials, broken = trials_of.load(design.folder)
    assert not broken
    [group] = groups(trials, trials_of.design_of(design.folder))
    assert group.origin == "grid"
    means = {name: sum(values) / len(values) for name, values in group.values.items()}
    assert sorted(means) == sorted(setting.label for setting in design.fixed_settings())
    assert (means["ER(0.2) one"], means["WS(4,0.75) two"]) == (50.0, 55.0)
    page = write_report(design.folder).read_text()
    assert all(setting.label in page for setting in design.fixed_settings())


@pytest.mark.parametrize("preset", ["small", "regular-109"])
def test_node_operations_are_compared_at_equal_cost(preset: str, tmp_path: Path) -> None:
    base = configuration.load(preset, {"runtime.output": str(tmp_path), "runtime.study": "study"})
    variants = node_ops.variants(base)
    assert tuple(variants) == registry.names("randwire.model.ops")
    assert variants["sepconv"]["network.channels"] == base.network.channels
    design = Design(base, search="grid", variants=variants, seeds=2, generators=("ws",))
    cost: dict[int, dict[str, float]] = {}
    for row in plan(design, listing(design)):
        cost.setdefault(row.config.graph.seed, {})[row.config.network.op] = row.quantities["mult_adds"]
    for by_op in cost.values():
        assert max(by_op.values()) / min(by_op.values()) < 1.05  # a channel more or less is 2 to 3 %
    assert len({keys["network.channels"] for keys in variants.values()}) > 1


def test_regimes_are_those_of_the_presets() -> None:
    variants = regimes.variants(configuration.load("small-100"))
    for name, preset in regimes.PRESETS.items():
        base, expected = configuration.load("small-100"), configuration.load(preset)
        made = base.override(dict(variants[name]))
        assert (made.network, made.train) == (expected.network, expected.train)
    scaled = regimes.variants(configuration.load("digits"))
    assert [keys["network.channels"] for keys in scaled.values()] == [16, 22, 32]


@pytest.mark.parametrize("name", ["node_ops", "regimes"])
def test_the_studies_are_run_from_the_command_line(name: str, tmp_path: Path) -> None:
    keys = ["--runtime.output", str(tmp_path), "--graph.nodes", "10", "--network.channels", "8", "--train.epochs", "1",
            "--runtime.wandb", "disabled", "--seeds", "1", "--generators", "ws"]  # fmt: skip
    done = commands.call(f"studies/{name}.py", "plan", *keys, "--json")
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)["trials"]
    assert len({row["setting"] for row in planned}) == len(planned) == (4 if name == "node_ops" else 3)
    assert commands.call(f"studies/{name}.py", "trial", "2", *keys).returncode == 0
    assert (tmp_path / name / planned[1]["digest"] / "summary.json").exists()
    assert commands.call(f"studies/{name}.py", "plan", "--search", "tpe", *keys).returncode == 2


OPS = {op: {"network.op": op} for op in ("conv", "sepconv", "avgpool")}
SETTINGS = ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75")
GRAPHS = (-9.0, 2.0, 6.0)  # what a graph is worth: far more than a variant
TITLE = "Variants, graph by graph"


def add_variants(
    folder: Path, top1: Mapping[str, Sequence[float]], variants: Mapping[str, Mapping[str, Any]] = OPS, **more: Any
) -> dict[str, list[RunConfig]]:
    """A study with the top-1 of each variant on nine graphs, three of each setting, or fewer."""
    configs: dict[str, list[RunConfig]] = {}
    for name, values in top1.items():
        keys = {key.replace(".", "__"): value for key, value in variants[name].items()}
        for k, value in enumerate(values):
            configs.setdefault(name, []).append(add_trial(folder, SETTINGS[k % 3], k // 3, value, **keys))
    write_design(folder, "grid", variants=variants, **more)
    return configs


def planted(*effects: float, count: int = 9, noise: float = 0.3) -> list[list[float]]:
    """Top-1 of variants on the same graphs."""
    drawn = random.Random(0)
    return [[80 + GRAPHS[k // 3] + effect + drawn.gauss(0, noise) for k in range(count)] for effect in effects]


def described(values: Sequence[float]) -> str:
    return f"{mean(values):.2f} ± {stdev(values):.2f}<br>(n={len(values)})"


def chart(page: Page) -> dict[str, Any]:
    """The figure of variants, with its traces by name."""
    figure: dict[str, Any] = next(figure for label, figure in page.figures.items() if label.startswith(TITLE))
    return {**figure, "data": {trace.get("name", "differences"): trace for trace in figure["data"]}}


def test_variants_are_compared_graph_by_graph(tmp_path: Path) -> None:
    conv, sepconv, avgpool = planted(0.0, 0.02, -2.0)
    add_variants(tmp_path, {"conv": conv, "sepconv": sepconv, "avgpool": avgpool})
    page = Page(write_report(tmp_path))
    assert page.text.index(TITLE) < page.text.index("Top-1 by setting")

    rows = page.table("variants")
    assert list(rows) == ["sepconv over conv", "sepconv over avgpool", "conv over avgpool"], (
        "from the highest mean down"
    )
    tests = {"conv": stats.ttest_rel(sepconv, conv), "avgpool": stats.ttest_rel(sepconv, avgpool)}
    intervals = {
        name: "{:.2f} to {:.2f}".format(*test.confidence_interval(1 - 0.05 / 3)) for name, test in tests.items()
    }
    points = {name: f"{(sum(sepconv) - sum(other)) / 9:.2f}" for name, other in (("conv", conv), ("avgpool", avgpool))}
    p = f"{tests['conv'].pvalue:.3f}"
    assert rows["sepconv over conv"] == ["9", points["conv"], intervals["conv"], p, p, "not separated"]
    assert rows["sepconv over avgpool"] == ["9", points["avgpool"], intervals["avgpool"], *["< 0.001"] * 2, "separated"]
    assert (
        f"avgpool is {points['avgpool']} points below sepconv on the same graphs (n = 9 graphs, 95% interval "
        f"{intervals['avgpool']}, corrected p < 0.001)."
    ) in page.text
    assert (
        f"conv and sepconv are not separated on the same graphs: {points['conv']} points apart (n = 9 graphs, 95% "
        f"interval {intervals['conv']}, corrected p {p})."
    ) in page.text
    assert "Holm's correction is for all 3 pairs" in page.text
    shown = {name: row[:3] for name, row in page.table("variant").items()}
    assert shown == {
        name: ["9", f"{mean(values):.2f}", f"{stdev(values):.2f}"]
        for name, values in (("sepconv", sepconv), ("conv", conv), ("avgpool", avgpool))
    }
    assert f"{mean(sepconv):.2f}%mean top-1 of sepconv, n = 9" in page.text
    assert not [table for table in page.tables if table[0][0] == "generator"], "a generator says nothing of variants"
    assert "against all others" not in page.text, "of settings of variants nothing is tested: the graphs are in the way"
    assert not any(label.startswith("All pairs of settings") for label in page.figures)


def test_the_figure_joins_the_top1_of_each_graph(tmp_path: Path) -> None:
    conv, avgpool = planted(0.0, -2.0)
    add_variants(tmp_path, {"conv": conv, "avgpool": avgpool})
    figure = chart(Page(write_report(tmp_path)))
    assert set(figure["data"]) == {"BA", "ER", "WS", "mean ± std", "differences"}
    for first, name in enumerate(("ER", "BA", "WS")):
        lines = figure["data"][name]["y"]
        assert [lines[k : k + 3] for k in (0, 3, 6)] == [
            [pytest.approx(conv[k]), pytest.approx(avgpool[k]), None] for k in (first, first + 3, first + 6)
        ]
    assert figure["data"]["BA"]["text"][:3] == ["BA(5) g0, conv", "BA(5) g0, avgpool", ""]
    assert figure["data"]["mean ± std"]["y"] == pytest.approx([sum(conv) / 9, sum(avgpool) / 9])
    assert figure["layout"]["xaxis"]["ticktext"] == [f"conv<br>{described(conv)}", f"avgpool<br>{described(avgpool)}"]
    assert figure["data"]["differences"]["x"] == pytest.approx([(sum(conv) - sum(avgpool)) / 9])
    assert figure["layout"]["yaxis2"]["ticktext"] == ["conv over avgpool"]
    assert TITLE in figures(tmp_path)


def test_a_variant_without_keys_is_a_setting_of_its_own(tmp_path: Path) -> None:
    variants: dict[str, dict[str, Any]] = {"baseline": {}, "bf16": {"train.precision": "bf16"}}
    baseline, bf16 = planted(-28.9, 0.6)
    add_variants(tmp_path, {"baseline": baseline, "bf16": bf16}, variants)
    page = Page(write_report(tmp_path))
    assert list(page.table("variants")) == ["bf16 over baseline"]
    assert page.table("variants")["bf16 over baseline"][-1] == "separated"
    rows = page.table("setting")
    assert set(rows) == {f"{name} {variant}" for name in ("ER(0.2)", "BA(5)", "WS(4,0.75)") for variant in variants}
    assert rows["ER(0.2) baseline"][:2] == ["3", f"{mean(baseline[::3]):.2f}"]
    assert rows["ER(0.2) bf16"][:2] == ["3", f"{mean(bf16[::3]):.2f}"]


def test_a_graph_that_lacks_a_variant_has_no_part_in_its_pairs(tmp_path: Path) -> None:
    conv, sepconv, avgpool = planted(0.0, 0.5, -2.0)
    add_variants(tmp_path, {"conv": conv, "sepconv": sepconv, "avgpool": avgpool[:8]})
    # Its only other trials have failed, and been trained for longer.
    add_trial(tmp_path, SETTINGS[2], 2, 1.0, status="failed", epochs=3, network__op="avgpool")
    add_trial(tmp_path, SETTINGS[2], 2, 1.0, network__op="avgpool", train__epochs=9)
    page = Page(write_report(tmp_path))
    rows = page.table("variants")
    assert {name: row[0] for name, row in rows.items()} == {
        "sepconv over conv": "9", "sepconv over avgpool": "8", "conv over avgpool": "8"
    }  # fmt: skip
    assert rows["conv over avgpool"][1] == f"{(sum(conv[:8]) - sum(avgpool[:8])) / 8:.2f}"
    assert "1 of 9 graphs lacks a variant, and has no part in its pairs." in page.text
    shown = {name: row[:2] for name, row in page.table("variant").items()}
    assert shown == {
        name: ["8", f"{mean(values[:8]):.2f}"]
        for name, values in (("sepconv", sepconv), ("conv", conv), ("avgpool", avgpool))
    }
    assert chart(page)["data"]["WS"]["y"].count(None) == 3 + 1, "after each graph, and where one lacks"
    write_design(tmp_path, "grid", variants=OPS, early_stopping=True)
    page = Page(write_report(tmp_path))
    assert {name: row[:2] for name, row in page.table("variant").items()} == shown, "also where nothing is tested"


def test_training_seeds_of_a_graph_are_averaged_before_it_is_paired(tmp_path: Path) -> None:
    conv, avgpool = planted(0.0, -2.0, count=6)
    add_variants(tmp_path, {"conv": conv, "avgpool": avgpool})
    add_trial(tmp_path, SETTINGS[0], 0, conv[0] + 4, network__op="conv", train__seed=1)
    page = Page(write_report(tmp_path))
    assert page.table("variants")["conv over avgpool"][:2] == ["6", f"{(sum(conv) + 2 - sum(avgpool)) / 6:.2f}"]
    er = chart(page)["data"]["ER"]
    assert (er["y"][0], er["text"][0]) == (pytest.approx(conv[0] + 2), "ER(0.2) g0, conv, mean of 2 trainings")


def test_a_partial_study_of_variants_says_what_it_lacks(tmp_path: Path) -> None:
    conv, avgpool = planted(0.0, -2.0)
    add_variants(tmp_path, {"conv": conv})
    page = Page(write_report(tmp_path))
    assert "No graph has been trained with two variants yet, so there is nothing to pair." in page.text
    assert {name: row[:2] for name, row in page.table("variant").items()} == {"conv": ["9", f"{mean(conv):.2f}"]}
    assert not any(label.startswith(TITLE) for label in page.figures)
    add_variants(tmp_path, {"avgpool": avgpool[:2]})
    page = Page(write_report(tmp_path))
    assert set(chart(page)["data"]) == {"BA", "ER", "WS", "mean ± std"}
    assert "Not tested, with fewer than 3 graphs or no spread: conv and avgpool (n=2)." in page.text
    assert not [table for table in page.tables if table[0][0] == "variants"]
    assert "7 of 9 graphs lack a variant" in page.text


def test_differences_without_spread_are_not_tested(tmp_path: Path) -> None:
    values = [70.1 + k for k in range(9)]
    add_variants(tmp_path, {"conv": values, "avgpool": [value - 0.3 for value in values]})
    assert "or no spread: conv and avgpool (n=9)" in Page(write_report(tmp_path)).text


def test_variants_of_different_cost_lie_on_axes_of_cost(tmp_path: Path) -> None:
    variants = {name: {"network.channels": channels} for name, channels in (("wide", 32), ("narrow", 16))}
    narrow, wide = planted(0.0, 1.0)
    trials = add_variants(tmp_path, {"wide": wide, "narrow": narrow}, variants)

    def price(costs: Mapping[str, float]) -> dict[str, Any]:
        for name, cost in costs.items():
            for k, trial in enumerate(trials[name]):
                size = {"mult_adds": cost + k * 1e3, "params": 100 * cost}
                Record(tmp_path / trial.digest).write_json("complexity.json", size)
        return chart(Page(write_report(tmp_path)))

    figure = price({"narrow": 3e5, "wide": 1.25e6})
    assert [choice["label"] for choice in figure["choices"]] == ["by multiply-adds", "by parameters", "by name"]
    axis = figure["layout"]["xaxis"]
    assert (axis["type"], axis["ticktext"]) == (
        "log",
        [f"narrow<br>304 k<br>{described(narrow)}", f"wide<br>1.254 M<br>{described(wide)}"],
    )
    assert figure["data"]["ER"]["x"][:3] == [3e5, 1.25e6, None], "from the cheapest on, each trial at its own cost"
    assert figure["data"]["ER"]["y"][:2] == pytest.approx([narrow[0], wide[0]])
    for choice in figure["choices"]:
        assert [len(xs) for xs in choice["data"]["x"]] == [len(trace["y"]) for trace in figure["data"].values()]
    by_name = figure["choices"][-1]["layout"]
    assert (by_name["xaxis.type"], by_name["xaxis.ticktext"][0]) == ("linear", f"narrow<br>{described(narrow)}")
    figure = price({"narrow": 3e5, "wide": 3.8e5})
    low, high = (10**end for end in figure["layout"]["xaxis"]["range"])
    assert all(low < x < high for trace in list(figure["data"].values())[:4] for x in trace["x"] if x is not None)
    figure = price({"narrow": 3e5, "wide": 3.3e5})
    assert [choice["label"] for choice in figure["choices"]] == ["by name"]
    assert figure["layout"]["xaxis"]["ticktext"][0] == f"wide<br>{described(wide)}", "the best first"


def test_equal_seeds_are_not_called_the_same_graphs(tmp_path: Path) -> None:
    variants = {"large": {"graph.nodes": 16}, "small": {"graph.nodes": 12}}
    large, small = planted(0.0, -2.0)
    add_variants(tmp_path, {"large": large, "small": small}, variants)
    text = Page(write_report(tmp_path)).text
    assert "points below large on graphs of the same seeds (n = 9 pairs of graphs, " in text
    assert "Graphs of one seed need not be the same under all variants" in text
    assert "the same graphs" not in text


def test_only_a_fixed_grid_of_variants_is_paired(tmp_path: Path) -> None:
    conv, avgpool = planted(0.0, -2.0)
    add_variants(tmp_path, {"conv": conv, "avgpool": avgpool}, early_stopping=True)
    assert "variants are separated" not in Page(write_report(tmp_path)).text
    write_design(tmp_path, "grid")
    assert "variants are separated" not in Page(write_report(tmp_path)).text


def test_many_graphs_and_variants_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    variants = {f"c{channels}": {"network.channels": channels} for channels in range(8, 15)}
    drawn = random.Random(0)
    add_variants(tmp_path, {name: [80 + drawn.gauss(0, 1) for _ in range(48)] for name in variants}, variants)
    page = Page(write_report(tmp_path))
    figure = chart(page)
    assert sum(len(figure["data"][name]["y"]) for name in ("ER", "BA", "WS")) == 40 * 8
    assert len(figure["data"]["differences"]["x"]) == 6
    assert len(page.table("variants")) == 21
    assert "40 of 48 graphs are drawn" in page.text
    assert "Only the pairs of the best variant are drawn." in page.text


def test_variants_stand_together_in_one_order_and_in_their_colours(tmp_path: Path) -> None:
    for seed in range(3):
        for op, points in (("sepconv", 0.0), ("conv", 5.0)):
            add_trial(tmp_path, "ba:m=5", seed, 80 + seed + points, network__op=op)
            add_trial(tmp_path, "er:p=0.2", seed, 79 + seed + points, network__op=op)
    write_design(tmp_path, "grid", variants={op: {"network.op": op} for op in ("sepconv", "conv")})
    page = Page(write_report(tmp_path))
    order = ["BA(5) conv", "ER(0.2) conv", "BA(5) sepconv", "ER(0.2) sepconv"]
    assert list(page.table("setting")) == order
    trials = next(table for table in page.tables if table[0][0] == "trial")[1:]
    assert [row[1] for row in trials] == [name for name in order for _ in range(3)]
    figure = next(figure for label, figure in page.figures.items() if label.startswith("Parallel"))
    assert figure["data"][0]["dimensions"][0]["ticktext"] == order
    dots = {attrs["style"] for tag, attrs in page.tags if tag == "span" and attrs.get("class") == "dot"}
    assert dots == {f"background:{style(name, place)[0]}" for place, name in enumerate(("conv", "sepconv"))}
