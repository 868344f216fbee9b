"""The page of a report: it needs nothing but itself, and names, links and sorts what it shows."""

import random
import re
from pathlib import Path
from statistics import fmean

import pytest
from report_helpers import HOSTILE, Page, add_study, add_trial

from randwire import config as configs
from randwire.records import Record
from randwire.report import figures, write_report
from randwire.report.facts.study import StudyFacts
from randwire.tracking import runs


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return add_study(tmp_path / "my-study")


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


def test_figures_name_their_trials(study: Path) -> None:
    for label, figure in Page(write_report(study)).figures.items():
        for trace in figure["data"]:
            named = trace.get("text") or trace.get("customdata") or trace["name"] == "closed form"
            assert named, label


def test_the_report_goes_where_it_is_wanted_and_leaves_nothing_else(study: Path, tmp_path: Path) -> None:
    before = sorted(study.rglob("*"))
    assert write_report(study, tmp_path / "page.html") == tmp_path / "page.html"
    assert sorted(study.rglob("*")) == before


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
    expected = [size[key] for size in sizes for key in ("params", "mult_adds")]
    (section,) = StudyFacts.load(study).sections
    losses = [fmean(values) for values in section.group.losses.values()]
    assert sorted(values) == pytest.approx(sorted([*expected, *losses]))
    assert len(losses) == 3


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
