"""The report of a study: exact statistics, honest exclusions, and a page that needs nothing but itself."""

import json
import random
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import commands
import pandas
import pytest
from report_helpers import HOSTILE, Page, add_trial, write_design

from randwire import config as configs
from randwire.errors import RecordError
from randwire.records import Record
from randwire.report import figures, write_report, write_table
from randwire.report.facts.correlations import correlate
from randwire.statistics.correlation import spearman, spearman_interval
from randwire.tracking import runs


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three settings with 3, 2 and 1 finished trials, and one trial of each kind that must not count."""
    folder = tmp_path / "my-study"
    for seed, top1 in enumerate((90.0, 91.0, 95.0)):
        add_trial(folder, "ws:k=4,p=0.75", seed, top1)
    for seed, top1 in enumerate((88.25, 89.25)):
        add_trial(folder, "ba:m=5", seed, top1)
    add_trial(folder, "er:p=0.2", 0, 77.5)
    add_trial(folder, "er:p=0.6", 0, 12.125, status="pruned", epochs=3, cause="stopped early after epoch 3")
    add_trial(folder, "er:p=0.6", 1, 13.125, status="failed", epochs=2, cause=HOSTILE)
    add_trial(folder, "er:p=0.6", 2, 14.125, status=None, epochs=4)
    write_design(folder, "tpe")
    return folder


def test_statistics_of_settings_and_generators_are_exact(study: Path) -> None:
    page = Page(write_report(study))
    ws, ba = [90.0, 91.0, 95.0], [88.25, 89.25]
    t = {2: 12.7062, 3: 4.3027}  # Student's t, 97.5 %, n - 1 degrees of freedom
    half = {len(same): t[len(same)] * stdev(same) / len(same) ** 0.5 for same in (ws, ba)}
    assert page.table("setting") == {
        "BA(5)": [
            "2",
            "88.75",
            f"{stdev(ba):.2f}",
            f"{88.75 - half[2]:.2f} to {88.75 + half[2]:.2f}",
            "-",
            "88.25 to 89.25",
        ],
        "ER(0.2)": ["1", "77.50", "-", "-", "-", "-"],
        "WS(4,0.75)": [
            "3",
            "92.00",
            f"{stdev(ws):.2f}",
            f"{92 - half[3]:.2f} to {92 + half[3]:.2f}",
            "-",
            "90.00 to 95.00",
        ],
    }
    total = [*ws, *ba, 77.5]
    assert page.table("generator")["all"] == ["6", f"{mean(total):.2f}", f"{stdev(total):.2f}", "77.50 to 95.00"]
    assert "95.00% best top-1: WS(4,0.75)" in re.sub(r"%(?=\S)", "% ", page.text)


def test_only_finished_trials_are_drawn_as_scores_and_the_others_are_listed_with_their_cause(study: Path) -> None:
    page = Page(write_report(study))
    scores = next(figure for label, figure in page.figures.items() if label.startswith("Top-1 by setting"))
    drawn = sorted(x for trace in scores["data"] if trace.get("name") for x in trace["x"])
    assert drawn == [77.5, 88.25, 89.25, 90.0, 91.0, 95.0]
    assert "9 trials, 6 finished, 1 pruned, 1 failed, 1 unfinished." in page.text
    assert "3 trials excluded from all statistics" in page.text
    excluded = next(table for table in page.tables if table[0][1] == "setting and seeds")[1:]
    assert [row[1:] for row in excluded] == [
        ["ER(0.6) g0 t0", "pruned", "3/8", "stopped early after epoch 3"],
        ["ER(0.6) g1 t0", "failed", "2/8", HOSTILE],
        ["ER(0.6) g2 t0", "unfinished", "4/8", "4 of 8 epochs so far"],
    ]


def test_settings_that_could_not_be_run_are_told_until_they_have_been(study: Path) -> None:
    line = "WS(4,0.75) conv could not be run: a <machine> was lost."
    Record(study).append(
        "failures.jsonl", {"setting": "ws:k=4,p=0.75 conv", "time": 1.0, "cause": "a <machine> was lost"}
    )
    assert line in Page(write_report(study)).text
    Record(study).append("failures.jsonl", {"setting": "ws:k=4,p=0.75 conv", "time": 2.0, "cause": None})
    assert "could not be run" not in Page(write_report(study)).text


def test_an_adaptive_search_is_called_one_and_a_grid_is_not(study: Path) -> None:
    warning = "so n is unequal and the means are biased by adaptivity. A comparison of generators needs --search grid."
    assert warning in Page(write_report(study)).text
    write_design(study, "grid")
    text = Page(write_report(study)).text
    assert "adaptivity" not in text
    assert "n differs between settings" in text
    write_design(study, "random", early_stopping=True)
    assert "Early stopping was on" in Page(write_report(study)).text
    assert "fixed grid, 3 graph seeds (0, 1, 2), 1 training seed (0), study seed 7" in text


def test_unequal_budgets_are_never_pooled(tmp_path: Path) -> None:
    for seed, top1 in enumerate((50.0, 60.0)):
        add_trial(tmp_path, graph_seed=seed, top1=top1, train__epochs=5)
    add_trial(tmp_path, graph_seed=0, top1=90.0, train__epochs=10)
    add_trial(tmp_path, graph_seed=0, top1=70.0, graph__nodes=32, train__epochs=5)
    page = Page(write_report(tmp_path))
    settings = [table[1:] for table in page.tables if table[0][0] == "setting"]
    assert sorted(rows[0][:3] for rows in settings) == [
        ["WS(4,0.75)", "1", "70.00"],
        ["WS(4,0.75)", "1", "90.00"],
        ["WS(4,0.75)", "2", "55.00"],
    ]
    assert "3 different budgets" in page.text
    assert "train.epochs = 10" in page.text


def test_the_page_loads_nothing(study: Path) -> None:
    page = Page(write_report(study))
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        assert "src" not in attributes
        link = attributes.get("href") or "./"
        assert link.startswith("./"), f"a link out of the study: {link}"
    text = (study / "report.html").read_text()
    plotly = next(script for script in page.scripts if len(script) > 1_000_000)
    own = text.replace(plotly, "")
    assert "@import" not in own
    assert "url(" not in own
    assert "://" not in own.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_hostile_text_of_a_record_stays_text(study: Path) -> None:
    page = Page(write_report(study))
    assert len(page.scripts) == 3, "plotly, the figures and the page's own script"
    assert not any("alert('x')" in script for script in page.scripts)
    assert HOSTILE in page.text


def test_every_trial_links_to_its_record(study: Path) -> None:
    page = Page(write_report(study))
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert links == {f"./{path.parent.name}/" for path in study.glob("*/config.yaml")}


def test_a_trial_with_another_schedule_is_found(study: Path) -> None:
    agrees = "Agrees: all 57 logged rates of 9 trials are those of the closed form (linear warm-up, half a cosine)"
    page = Page(write_report(study))
    assert f"{agrees}; largest deviation 0." in page.text
    assert "are not those of the schedule" not in page.text

    planted = study / add_trial(study, "ba:m=7", 5, 88.0).digest
    rows = Record(planted).metrics()
    for row in rows[2:5]:
        Record(planted).append_metrics({**row, "lr": row["lr"] + row["epoch"] / 100})
    Record(planted).append_metrics({**rows[6], "lr": None})
    page = Page(write_report(study))
    assert "The logged learning rates of 1 trial are not those of the schedule (see below)." in page.text
    assert "Not the schedule in 1 of 10 trials" in page.text
    assert "largest deviation 0.05. 1 epoch without a logged rate." in page.text
    heads = ["trial", "epochs that disagree", "worst epoch", "logged", "closed form"]
    (cells,) = next(table for table in page.tables if table[0] == heads)[1:]
    assert cells[:3] == [f"{planted.name}BA(7) g5 t0", "3", "5"]
    assert float(cells[3]) - float(cells[4]) == pytest.approx(0.05)
    drawn = next(figure for label, figure in page.figures.items() if label.startswith("Learning rate"))["data"]
    assert "BA(7) g5 t0" in [trace.get("text") for trace in drawn], "the trial at fault is drawn, whichever are"


def test_variants_of_the_schedule_are_checked_each_by_its_own(tmp_path: Path) -> None:
    variants = {"fast": {"train.lr": 0.1}, "slow": {"train.lr": 0.05}}
    for keys in variants.values():
        add_trial(tmp_path, train__lr=keys["train.lr"])
    write_design(tmp_path, "grid", variants=variants)
    page = Page(write_report(tmp_path))
    assert "Agrees: all 16 logged rates of 2 trials" in page.text
    assert re.search(r"8 epochs, .*, sepconv, batch \d+\.", page.text)  # and no learning rate: it is what varies
    drawn = next(figure for label, figure in page.figures.items() if label.startswith("Learning rate"))["data"]
    assert sorted(max(trace["y"]) for trace in drawn if trace["name"] == "closed form") == [0.05, 0.1]


def test_rates_that_differ_by_rounding_agree(tmp_path: Path) -> None:
    record = Record(tmp_path / add_trial(tmp_path).digest)
    for row in record.metrics():
        record.append_metrics({**row, "lr": float(f"{row['lr']:.12g}")})
    assert "Agrees: all 8 logged rates of 1 trial" in Page(write_report(tmp_path)).text


def test_a_single_trial_has_no_deviation(tmp_path: Path) -> None:
    add_trial(tmp_path, top1=90.0)
    page = Page(write_report(tmp_path))
    assert page.table("setting") == {"WS(4,0.75)": ["1", "90.00", "-", "-", "-", "-"]}
    assert "1 trial, 1 finished." in page.text
    assert "one trial, no standard deviation" in page.text
    assert "There is no study.json" in page.text


@pytest.mark.parametrize(
    "states", [[(None, 0)], [("failed", 0)], [("failed", 2), (None, 3)], [("pruned", 1), ("failed", 0), (None, 0)]]
)
def test_a_study_without_a_finished_trial_has_a_report(tmp_path: Path, states: list[tuple[str | None, int]]) -> None:
    for seed, (status, epochs) in enumerate(states):
        add_trial(tmp_path, graph_seed=seed, status=status, epochs=epochs, cause=None)
    page = Page(write_report(tmp_path))
    assert "nothing to compare" in page.text
    assert not [table for table in page.tables if table[0][0] == "setting"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "graph: {colour: red}"),
        ("dag.json", "{"),
        ("complexity.json", "[]"),
        ("summary.json", "1"),
        ("metrics.jsonl", '{"lr": 1}\n'),
        ("graphs/conv3.txt", "0 1\n"),
    ],
)
def test_a_damaged_record_is_excluded_and_named(study: Path, name: str, content: str) -> None:
    damaged = study / add_trial(study, "ba:m=7", 5, 99.0).digest
    (damaged / name).write_text(content)
    page = Page(write_report(study))
    assert "1 unreadable" in page.text
    assert damaged.name in page.text
    assert "99.00" not in page.text
    assert page.table("generator")["all"][0] == "6"


def test_a_summary_that_contradicts_its_budget_does_not_count(tmp_path: Path) -> None:
    add_trial(tmp_path, status="finished", epochs=3)
    text = Page(write_report(tmp_path)).text
    assert "1 unfinished" in text
    assert "finished after 3 of 8 epochs, not counted" in text


def test_missing_files_of_a_running_trial_are_no_error(study: Path) -> None:
    started = study / add_trial(study, "ba:m=3", 0, status=None, epochs=0).digest
    for path in [*started.glob("*.json"), *started.glob("graphs/*"), *started.glob("*.jsonl")]:
        path.unlink()
    assert "no epoch has ended yet" in Page(write_report(study)).text


def test_figures_name_their_trials(study: Path) -> None:
    for label, figure in Page(write_report(study)).figures.items():
        for trace in figure["data"]:
            named = trace.get("text") or trace.get("customdata") or trace["name"] == "closed form"
            assert named, label


def test_no_record_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no record") as caught:
        write_report(tmp_path / "nothing")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "nothing").exists()


def test_the_report_goes_where_it_is_wanted_and_leaves_nothing_else(study: Path, tmp_path: Path) -> None:
    before = sorted(study.rglob("*"))
    assert write_report(study, tmp_path / "page.html") == tmp_path / "page.html"
    assert sorted(study.rglob("*")) == before


GRID = ("ws:k=4,p=0.75", "ws:k=4,p=0.5", "ba:m=5", "er:p=0.2", "ws:k=4,p=0")


def add_grid(study: Path, seeds: int = 5, train_seeds: int = 1, search: str = "grid", **more: Any) -> None:
    """Four settings within noise of each other, and WS(4,0), without random graphs and far below."""
    noise = random.Random(0)
    for spec in GRID:
        for seed in range(seeds):
            graph = 0.0 if spec.endswith("p=0") else noise.gauss(0, 0.3)
            for run in range(train_seeds):
                seeded = seed * train_seeds + run if spec.endswith("p=0") else run
                top1 = (68.0 if spec.endswith("p=0") else 73.0) + graph + noise.gauss(0, 0.1)
                add_trial(study, spec, seed, top1, train__seed=seeded)
    write_design(study, search, **more)


def test_a_grid_is_tested_in_sentences_and_a_matrix(tmp_path: Path) -> None:
    add_grid(tmp_path)
    page = Page(write_report(tmp_path))
    assert "with Holm's correction for all 10 pairs" in page.text
    best = next(table[0][0].removesuffix(" against") for table in page.tables if table[0][0].endswith(" against"))
    rows = page.table(f"{best} against")
    assert len(rows) == 4
    assert rows["WS(4,0)"][-1] == "separated"
    others = [name for name in rows if name != "WS(4,0)"]
    assert all(rows[name][-1] == "not separated" for name in others)
    assert f"It is separated from 1 of the 4 other tested settings, and not from {', '.join(others)}." in page.text
    assert re.search(r"(BA\(5\) and ER\(0.2\)|ER\(0.2\) and BA\(5\)) are not separated at n=5: \d", page.text)
    (heatmap,) = next(figure for label, figure in page.figures.items() if label.startswith("All pairs"))["data"]
    assert sum(mark != "" for row in heatmap["text"] for mark in row) == 8
    assert all(heatmap["z"][k][k] is None for k in range(5))
    bands = next(figure for label, figure in page.figures.items() if label.startswith("Error distribution"))["data"]
    assert [trace.get("fill") for trace in bands] == ["none", "tonexty", None] * 3


@pytest.mark.parametrize(
    ("search", "more", "why"),
    [
        ("tpe", {}, "Read it as a search"),
        ("random", {}, "Read it as a search"),
        ("grid", {"early_stopping": True}, "Early stopping was on: what is left was chosen by its results"),
    ],
)
def test_what_was_chosen_by_its_results_is_not_tested(
    tmp_path: Path, search: str, more: dict[str, Any], why: str
) -> None:
    add_grid(tmp_path, seeds=3, search=search, **more)
    page = Page(write_report(tmp_path))
    assert "No tests between settings." in page.text
    assert why in page.text
    assert "Holm" not in page.text
    assert "separated at n" not in page.text
    assert not any(label.startswith("All pairs") for label in page.figures)
    bands = next(figure for label, figure in page.figures.items() if label.startswith("Error distribution"))["data"]
    assert not any("fill" in trace for trace in bands)
    assert ("How many graphs would tell" in page.text) == (not more)


def test_a_setting_with_too_few_graphs_is_named_and_not_tested(tmp_path: Path) -> None:
    add_grid(tmp_path)
    for seed in range(2):
        add_trial(tmp_path, "ba:m=7", seed, 99.0 + seed / 10)
    for seed in range(3):
        add_trial(tmp_path, "ba:m=1", seed, 12.0 + seed, status="pruned", epochs=4)
    page = Page(write_report(tmp_path))
    assert "Not tested, with fewer than 3 graphs or no spread: BA(7) (n=2)." in page.text
    assert "all 10 pairs" in page.text
    assert "3 pruned" in page.text
    assert "BA(1)" not in page.table("setting")


def test_a_partial_grid_has_a_report_that_tests_nothing(tmp_path: Path) -> None:
    add_trial(tmp_path, GRID[0], 0, 73.0)
    add_trial(tmp_path, GRID[1], 0, 72.0)
    write_design(tmp_path, "grid")
    text = Page(write_report(tmp_path)).text
    assert "Fewer than two settings can be tested. Not tested, with fewer than 3 graphs or no spread:" in text
    assert "cannot be told from variance between training runs here" in text


def test_training_seeds_of_a_graph_are_averaged_first(tmp_path: Path) -> None:
    add_grid(tmp_path, seeds=4, train_seeds=2)
    page = Page(write_report(tmp_path))
    settings = page.table("setting")
    assert {name: row[:2] for name, row in settings.items()} == {
        **{name: ["4", "8"] for name in ("BA(5)", "ER(0.2)", "WS(4,0.5)", "WS(4,0.75)")},
        "WS(4,0)": ["8", "8"],
    }
    table = next(table for table in page.tables if "std between graphs" in table[0])
    split = {row[0]: row[1:] for row in table[1:]}
    assert "WS(4,0)" not in split, "it has no graphs to be between"
    assert split["all, within settings"][:2] == ["16", "32"]
    graphs, runs = (float(split["all, within settings"][k].rstrip("*")) for k in (2, 3))
    assert 0.15 < graphs < 0.5
    assert 0.06 < runs < 0.14
    assert re.search(r"Settings with one graph vary by training alone: std 0\.\d\d for WS\(4,0\) \(n=8\)\.", page.text)
    measures = page.table("graph measure")
    assert "over 17 graphs" in page.text, "the one graph of WS(4,0) counts once"
    assert set(measures) >= {"clustering coefficient", "parameters"}


def test_the_power_table_leaves_out_settings_without_random_graphs(tmp_path: Path) -> None:
    add_grid(tmp_path)
    noise = random.Random(1)
    for seed in range(5, 9):
        add_trial(tmp_path, "ws:k=4,p=0", seed, 68 + noise.gauss(0, 50), train__seed=seed)
    rows = next(table for table in Page(write_report(tmp_path)).tables if table[0][0] == "settings of")
    assert [row[2] for row in rows[1:]] == ["alone", "one of 10 pairs"] * 3
    assert all(float(std) < 1 for row in rows[1:] for std in row[1].split(" and "))
    numbers = [int(row[4].split()[0].replace(",", "")) for row in rows[1:]]
    assert all(alone < many for alone, many in zip(numbers[::2], numbers[1::2], strict=True))


def test_settings_outside_the_grid_are_apart_from_it(tmp_path: Path) -> None:
    add_grid(tmp_path)
    for seed in range(5):
        add_trial(tmp_path, "ws:k=4,p=0.65", seed, 99.0 + seed / 10)
    page = Page(write_report(tmp_path))
    assert "5 trials of settings that are not of the study's fixed grid" in page.text
    assert "Outside the fixed grid" in page.text
    assert "different budgets" not in page.text
    for label, figure in page.figures.items():
        names = json.dumps(figure)
        assert not ("WS(4,0.65)" in names and "WS(4,0.75)" in names), label
    assert "WS(4,0.65)" not in page.table("setting")
    assert "with Holm's correction for all 10 pairs" in page.text
    assert "These settings are not of the fixed grid" in page.text


def test_early_epochs_are_ranked_against_the_last(tmp_path: Path) -> None:
    add_grid(tmp_path)
    page = Page(write_report(tmp_path))
    figure = next(figure for label, figure in page.figures.items() if label.startswith("Do early epochs"))
    lines = [trace for trace in figure["data"] if "name" in trace]
    assert [trace["name"] for trace in lines] == ["all networks", "within settings"]
    assert all(trace["x"] == [1, 2, 3, 4, 5, 6, 7] for trace in lines), "the last epoch is what they are compared with"
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [2, 6]
    rows = page.table("after epoch")
    assert list(rows) == ["2", "6"]
    assert all(row[2].endswith("of 25") and row[3] in ("kept", "stopped") for row in rows.values())
    early = [record.metrics()[1]["val_top1"] for record in map(Record, sorted(tmp_path.glob("*/")))]
    final = [record.metrics()[-1]["val_top1"] for record in map(Record, sorted(tmp_path.glob("*/")))]
    rank = 1 + sum(score > early[final.index(max(final))] for score in early)
    assert rows["2"][2] == f"{rank} of 25"
    assert rows["2"][0].startswith(f"{spearman(early, final):+.2f} (")


def test_a_correlation_within_settings_is_not_one_between_them() -> None:
    noise = random.Random(0)
    settings = [name for name in "abcde" for _ in range(40)] + ["alone"]
    xs = [10 * ord(name[0]) + noise.gauss(0, 1) for name in settings]
    ys = [10 * ord(name[0]) + noise.gauss(0, 1) for name in settings]
    overall, inside = (correlate(settings, xs, ys, within) for within in (False, True))
    assert overall.rho is not None
    assert inside.rho is not None
    assert overall.rho > 0.9
    assert abs(inside.rho) < 0.2
    assert (overall.n, inside.n) == (201, 200)
    assert inside.interval == spearman_interval(inside.rho, 200 - 4)
    constant = correlate(settings, [ord(name[0]) / 3 for name in settings], ys, within=True)
    assert (constant.rho, str(constant)) == (None, "-")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_table_has_every_epoch_of_every_trial(study: Path, tmp_path: Path, suffix: str) -> None:
    damaged = add_trial(study, "ba:m=7", 5, 99.0).digest
    (study / damaged / "config.yaml").write_text("graph: {colour: red}")
    add_trial(study, "er:p=0.4", 0, status="failed", epochs=0, cause="no data")
    path = tmp_path / f"trials.{suffix}"
    (broken,) = write_table(study, path)
    assert broken.folder == damaged
    read = pandas.read_parquet if suffix == "parquet" else pandas.read_csv
    table = read(path)
    assert len(table) == 6 * 8 + 3 + 2 + 4 + 1
    assert not table.duplicated(["digest", "epoch"]).any()
    assert set(table["study"]) == {"my-study"}
    assert set(table["design"]) == {"tpe"}
    assert table["budget"].nunique() == 1
    final = table[table["final"]]
    assert sorted(final["val_top1"]) == [77.5, 88.25, 89.25, 90.0, 91.0, 95.0]
    assert (final["val_top1"] == final["final_top1"]).all()
    assert (final["epoch"] == 8).all()
    assert set(table[~table["counted"]]["status"]) == {"pruned", "failed", "unfinished"}
    assert table[~table["counted"]]["final_top1"].isna().all()
    (row,) = table[(table["setting"] == "WS(4,0.75)") & (table["graph_seed"] == 2) & (table["epoch"] == 3)].to_dict(
        "records"
    )
    record = Record(study / row["digest"])
    assert (row["ws_k"], row["ws_p"], row["generator"], row["train_seed"]) == (4, 0.75, "ws", 0)
    assert pandas.isna(row["er_p"])
    assert pandas.isna(row["ba_m"])
    assert {key: row[key] for key in record.metrics()[2]} == pytest.approx(record.metrics()[2])
    measures = record.read_json("dag.json")["stages"]["conv3"]["measures"]
    assert {key: row[key] for key in measures} == pytest.approx(measures)
    assert (row["params"], row["mult_adds"]) == tuple(
        record.read_json("complexity.json")[k] for k in ("params", "mult_adds")
    )


def test_tables_of_different_studies_have_columns_of_the_same_types(tmp_path: Path) -> None:
    add_trial(tmp_path / "one", "ba:m=5")
    add_trial(tmp_path / "two", "ws:k=4,p=0.75", status=None, epochs=8)
    for name in ("one", "two"):
        write_table(tmp_path / name, tmp_path / f"{name}.parquet")
    one, two = (pandas.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "two"))
    assert dict(one.dtypes) == dict(two.dtypes)
    assert set(two["design"]) == {"unknown"}
    assert not two["final"].any(), "a trial that has not ended does not count, whatever its epochs"


def test_the_table_is_written_whole_or_not_at_all(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.csv"
    path.write_text("before")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_csv", fail)
    with pytest.raises(RecordError, match="No space left on device"):
        write_table(study, path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["trials.csv"]


def test_the_report_command_writes_a_table(study: Path, tmp_path: Path) -> None:
    options = ("--name", "my-study", "--runtime.output", str(tmp_path))
    done = commands.call("studies/generators.py", "report", "--table", str(tmp_path / "trials.csv"), *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(study / "report.html"), str(tmp_path / "trials.csv")]
    assert len(pandas.read_csv(tmp_path / "trials.csv")) == 57
    done = commands.call("studies/generators.py", "report", "--table", "trials.xlsx", *options)
    assert done.returncode == 2
    assert "must end in .parquet or .csv" in done.stderr


def test_the_query_of_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (commands.ROOT / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(import pandas as pd\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    add_grid(tmp_path / "study")
    write_table(tmp_path / "study", tmp_path / "trials.parquet")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    shown = capsys.readouterr().out
    assert "WS(4,0.75)" in shown
    assert "clustering" in shown


def test_the_trial_table_has_a_row_for_each_trial_with_links_and_sortable_values(study: Path) -> None:
    online, offline, hostile = sorted(path.parent.name for path in study.glob("*/config.yaml"))[:3]
    (study / "wandb").mkdir()
    runs.add(study / "wandb", online, "https://wandb.example/me/project/runs/first")
    runs.add(study / "wandb", online, "https://wandb.example/me/project/runs/last")
    runs.add(study / "wandb", offline, "wandb/wandb/offline-run-1-abc")
    runs.add(study / "wandb", hostile, "javascript:alert(1)")
    with open(study / "wandb" / "runs.jsonl", "a") as file:
        file.write('[1]\n{"trial": "torn')
    page = Page(write_report(study))
    rows = page.table("trial")
    assert set(rows) == {path.parent.name for path in study.glob("*/config.yaml")}
    for name, row in rows.items():
        config = configs.load(str(study / name))
        assert row[0] == config.label
        assert row[2:4] == [str(config.graph.seed), str(config.train.seed)]
        summary = Record(study / name).summary() or {}
        assert row[1] == summary.get("status", "unfinished")
        assert row[5] == (f"{summary['val_top1']:.2f}" if row[1] == "finished" else "-")
        assert row[-1] == {online: "run", offline: "offline", hostile: "offline"}.get(name, "-")
    links = [attributes["href"] or "" for tag, attributes in page.tags if tag == "a"]
    assert links.count("https://wandb.example/me/project/runs/last") == 1
    assert links.count("./wandb/wandb/offline-run-1-abc/") == 1
    assert all(link.startswith(("./", "https://wandb.example/")) for link in links)
    tables = [attributes.get("class") or "" for tag, attributes in page.tags if tag == "table"]
    assert "sortable trials" in tables
    assert "sortable causes" in tables
    # What the script sorts by is a number, also where the text has a unit.
    values = [float(value) for tag, attributes in page.tags if tag == "td" if (value := attributes.get("data-value"))]
    sizes = [Record(study / name).read_json("complexity.json") for name in rows]
    assert sorted(values) == sorted(size[key] for size in sizes for key in ("params", "mult_adds"))


def test_the_gallery_has_the_best_and_the_worst_graphs_each_once(tmp_path: Path) -> None:
    for seed in range(9):
        add_trial(tmp_path, "ba:m=5", seed, 70.0 + seed)
    for seed in range(3):  # one graph three times, below and above all others
        add_trial(tmp_path, "ws:k=4,p=0", 0, 60.0 + 20 * seed, train__seed=seed)
    add_trial(tmp_path, "er:p=0.6", 0, 99.0, status="failed", epochs=3)
    text = write_report(tmp_path).read_text()
    best, worst = text.split("DAGs of the best trials")[1].split("DAGs of the worst trials")
    tile = re.compile(r"<b>([^<]+)</b> ([\d.]+)%.*?rank (\d+) of 12")
    assert tile.findall(best) == [
        ("WS(4,0)", "100.00", "1"), ("BA(5)", "78.00", "3"), ("BA(5)", "77.00", "4"), ("BA(5)", "76.00", "5")
    ]  # fmt: skip
    assert tile.findall(worst) == [("BA(5)", f"{70 + k}.00", str(11 - k)) for k in range(4)]


def test_what_differs_between_trials_is_told(tmp_path: Path) -> None:
    names = [add_trial(tmp_path, graph_seed=seed).digest for seed in range(5)]
    text = Page(write_report(tmp_path)).text
    assert "different" not in text
    assert "71160f4c0ffee" in text
    different: list[dict[str, Any]] = [
        {"commit": "abc123"},
        {"packages": {"torch": "2.14.0", "ray": "2.60.0"}},
        {"dirty": True, "hardware": {"gpu": "Some GPU"}},
    ]
    for name, changes in zip(names, different, strict=False):
        environment = Record(tmp_path / name).read_json("environment.json")
        Record(tmp_path / name).write_json("environment.json", {**environment, **changes})
    (tmp_path / names[3] / "environment.json").unlink()
    text = Page(write_report(tmp_path)).text
    assert "The trials come from 3 different commits." in text
    assert "71160f4c0ffee (2 trials); abc123 (1 trial); 71160f4c0ffee with uncommitted changes (1 trial)" in text
    assert "different package versions: torch 2.13.0 and 2.14.0." in text
    assert "The trials ran on 2 kinds of hardware." in text
    assert "1 trial without environment.json: commit and versions are not known." in text


def test_parallel_coordinates_name_the_trials_that_they_select(study: Path) -> None:
    page = Page(write_report(study))
    figure = next(figure for label, figure in page.figures.items() if label.startswith("Parallel"))
    (trace,) = figure["data"]
    top1 = {name: row[5] for name, row in page.table("trial").items() if row[1] == "finished"}
    axes = {axis["label"]: axis for axis in trace["dimensions"]}
    assert {name: f"{y:.2f}" for name, y in zip(trace["customdata"], axes["top-1 (%)"]["values"], strict=True)} == top1
    assert axes["top-1 (%)"]["values"] == sorted(axes["top-1 (%)"]["values"]), "the best are on top"
    setting = dict(zip(axes["setting"]["tickvals"], axes["setting"]["ticktext"], strict=True))
    drawn = [setting[value] for value in axes["setting"]["values"]]
    assert drawn == [page.table("trial")[name][0] for name in trace["customdata"]]
    scale = trace["line"]["colorscale"]
    colours = {name: scale[2 * k][1] for k, name in enumerate(trace["line"]["colorbar"]["ticktext"])}
    scores = next(figure for label, figure in page.figures.items() if label.startswith("Top-1 by setting"))["data"]
    assert colours == {trace["name"]: trace["marker"]["color"] for trace in scores if "name" in trace}


def test_the_figures_are_those_of_plotly_with_their_menus(study: Path) -> None:
    page = Page(write_report(study))
    drawn = figures(study)
    assert len(drawn) == len(page.figures)
    menu = drawn["Learning curves"].layout.updatemenus[0].buttons
    assert [button.label for button in menu] == [
        "val top-1", "val error, log scale", "val top-5", "val loss", "train loss"
    ]  # fmt: skip
    assert drawn["Top-1 by setting"].to_json()
    wandb = pytest.importorskip("wandb")
    assert wandb.Plotly(drawn["Top-1 by setting"])
    add_trial(study, top1=50.0, train__epochs=5)
    assert "Top-1 by setting (2)" in figures(study), "a figure for each budget"


def test_many_trials_make_a_page_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    noise = random.Random(0)
    best = ""
    for k in range(300):  # 45 settings, one of them with 80 trials
        spec = "ws:k=4,p=0.75" if k < 80 else f"er:p={0.3 + (k % 44) / 100:.2f}"
        top1 = 95.0 if k == 200 else 80 + noise.gauss(0, 1)
        config = add_trial(tmp_path, spec, k, top1, cause="x" * 5_000 if k % 50 == 9 else None,
                           status="failed" if k % 50 == 9 else "finished")  # fmt: skip
        best = config.label if k == 200 else best
    path = write_report(tmp_path)
    plotly = max(map(len, Page(path).scripts))
    assert path.stat().st_size - plotly < 1_500_000
    page = Page(path)
    assert len(page.table("trial")) == 300
    by_name = {label.rpartition(" ")[0]: figure for label, figure in page.figures.items()}
    rows = by_name["Top-1 by setting"]["layout"]["yaxis"]["ticktext"]
    assert len(rows) == 40
    assert rows[0].split()[0] == best
    assert "The best 40 of 45 settings" in page.text
    marks = next(trace for trace in by_name["Top-1 by setting"]["data"] if trace.get("name") == "WS")
    scores = [float(row[5]) for row in page.table("trial").values() if row[0] == "WS(4,0.75)" and row[5] != "-"]
    assert len(marks["x"]) == 30
    assert [round(x, 2) for x in (max(marks["x"]), min(marks["x"]))] == [max(scores), min(scores)]
    curves = by_name["Learning curves"]["data"]
    assert len([curve for curve in curves if curve["line"]["dash"] == "solid"]) == 24
    assert "Mean over the trials of a setting, by epoch. 24 of 45 settings, evenly from best to worst." in page.text
    curve = next(curve for curve in curves if curve["text"].startswith(f"{best}, mean of "))
    means = {row[0]: row[2] for table in page.tables if table[0][0] == "setting" for row in table[1:]}
    assert f"{curve['y'][-1]:.2f}" == means[best]
    axes = [axis["label"] for axis in by_name["Parallel coordinates"]["data"][0]["dimensions"]]
    assert axes[0] == "generator"
    assert len(by_name["Learning rate"]["data"]) == 13
    assert "xxx ..." in page.text
