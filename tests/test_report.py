"""The report of a study: exact statistics, honest exclusions, and a page that needs nothing but itself."""

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from randwire import config as configs
from randwire.config import RunConfig
from randwire.records import Record, RecordError
from randwire.study.report import write_report
from randwire.study.statistics import describe, ranks, spearman
from randwire.training.optim import learning_rate

HOSTILE = "</script><script>alert('x')</script> {{plotly}} & \"quotes\""


def add_trial(
    study: Path,
    generator: str = "ws:k=4,p=0.75",
    graph_seed: int = 0,
    top1: float = 90.0,
    status: str | None = "finished",
    epochs: int | None = None,
    cause: str | None = None,
    **keys: Any,
) -> RunConfig:
    """A record as a run leaves it, with made-up numbers that end in `top1`; no summary.json if `status` is None."""
    values = {"graph.generator": generator, "graph.seed": graph_seed, "graph.nodes": 16}
    values |= {"train.epochs": 8, "train.warmup_epochs": 1}
    config = configs.load("digits", {**values, **{key.replace("__", "."): value for key, value in keys.items()}})
    sample = config.generator.sample(config.graph.nodes, random.Random(f"{graph_seed}"))
    record = Record(study / config.digest)
    record.write_text("config.yaml", config.to_yaml())
    environment = {
        "commit": "71160f4c0ffee",
        "dirty": False,
        "packages": {"torch": "2.13.0", "ray": "2.60.0", "ffcv": None},
        "hardware": {"cpu": "Some CPU", "cores": 2, "gpu": None},
        "world_size": 2,
        "command": "studies/generators.py sweep",
        "started": "2025-01-02T03:04:05+00:00",
    }
    record.write_json("environment.json", environment)
    stages = ("conv3", "conv4", "conv5")
    for stage in stages:
        record.write_text(f"graphs/{stage}.txt", sample.dag.to_text())
    described = {
        "nodes": sample.dag.nodes,
        "edges": [list(edge) for edge in sample.dag.edges],
        "redraws": sample.redraws,
        "measures": sample.dag.measures().to_dict(),
    }
    record.write_json("dag.json", {"stages": dict.fromkeys(stages, described)})
    size = 40_000 + 30 * len(sample.dag.edges)
    record.write_json("complexity.json", {"params": size, "mult_adds": 90 * size, "stages": []})
    done = config.train.epochs if epochs is None else epochs
    noise = random.Random(config.digest)
    for epoch in range(1, done + 1):
        score = top1 if epoch == done else top1 * (1 - 0.8 * 0.55**epoch) + noise.gauss(0, 0.4)
        record.append_metrics(
            {
                "epoch": epoch,
                "lr": learning_rate((epoch - 1) * 22, 22, config.train),
                "steps": 22,
                "train_loss": 2.3 * 0.7**epoch + 0.5,
                "val_loss": 2.3 * 0.72**epoch + 0.45,
                "val_top1": score,
                "val_top5": min(100.0, score + 8),
                "images_per_s": 850.0 + noise.gauss(0, 20),
                "seconds_loader": 0.1,
                "seconds_step": 1.5,
            }
        )
    if status is not None:
        final = top1 if done else None
        summary = {"status": status, "cause": cause, "epochs": done, "val_top1": final, "best_top1": final}
        record.write_json("summary.json", {**summary, "seconds": 16.5})
    return config


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


def write_design(folder: Path, search: str, **more: Any) -> None:
    design = {"search": search, "settings": 4, "seeds": [0, 1, 2], "train_seeds": [0], "seed": 7}
    Record(folder).write_json("study.json", {**design, "early_stopping": False, **more})


class Page(HTMLParser):
    """The tables, texts and tags of a report; scripts are no text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.cell = False
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.cell = True
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag in ("script", "style") else self.inside
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.words.append(data)
            if self.cell:
                self.tables[-1][-1][-1] += data.strip()

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    @property
    def figures(self) -> dict[str, Any]:
        """The figures by their label and number."""
        text = next(script for script in self.scripts if script.startswith("{"))
        return {f"{figure['label']} {name}": figure for name, figure in json.loads(text).items()}

    def table(self, head: str) -> dict[str, list[str]]:
        """The rows of the first table whose first heading is `head`, by their first cell."""
        table = next(table for table in self.tables if table[0][0] == head)
        return {row[0]: row[1:] for row in table[1:]}


def test_statistics_of_settings_and_generators_are_exact(study: Path) -> None:
    page = Page(write_report(study))
    ws, ba = [90.0, 91.0, 95.0], [88.25, 89.25]
    assert page.table("setting") == {
        "BA(5)": ["2", "88.75", f"{stdev(ba):.2f}", "88.25 to 89.25"],
        "ER(0.2)": ["1", "77.50", "-", "-"],
        "WS(4,0.75)": ["3", "92.00", f"{stdev(ws):.2f}", "90.00 to 95.00"],
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


def test_an_adaptive_search_is_called_one_and_a_grid_is_not(study: Path) -> None:
    warning = "so n is unequal and the means are biased by adaptivity. A comparison of generators needs --search grid."
    assert warning in Page(write_report(study)).text
    write_design(study, "grid")
    text = Page(write_report(study)).text
    assert "adaptivity" not in text
    assert "n differs between settings" in text
    write_design(study, "random", early_stopping=True)
    assert "Early stopping was on" in Page(write_report(study)).text
    assert "fixed grid, 4 settings, 3 graph seeds (0, 1, 2), 1 training seed (0), study seed 7" in text


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


def test_logged_learning_rates_are_compared_with_the_closed_form(study: Path) -> None:
    assert (
        "closed form of the schedule (linear warm-up, half a cosine): 0, over 57 epochs"
        in Page(write_report(study)).text
    )
    record = Record(next(study.glob("*/config.yaml")).parent)
    row = record.metrics()[0]
    record.append_metrics({**row, "lr": row["lr"] + 0.025})
    assert "half a cosine): 0.025, over 57 epochs" in Page(write_report(study)).text


def test_a_single_trial_has_no_deviation(tmp_path: Path) -> None:
    add_trial(tmp_path, top1=90.0)
    page = Page(write_report(tmp_path))
    assert page.table("setting") == {"WS(4,0.75)": ["1", "90.00", "-", "-"]}
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
            assert trace["name"] == "closed form" if "text" not in trace else trace["text"], label


def test_no_record_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no record") as caught:
        write_report(tmp_path / "nothing")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "nothing").exists()


def test_the_report_goes_where_it_is_wanted_and_leaves_nothing_else(study: Path, tmp_path: Path) -> None:
    before = sorted(study.rglob("*"))
    assert write_report(study, tmp_path / "page.html") == tmp_path / "page.html"
    assert sorted(study.rglob("*")) == before


def test_describe() -> None:
    found = describe([1.0, 2.0, 6.0])
    assert (found.n, found.mean, found.least, found.most) == (3, 3.0, 1.0, 6.0)
    assert found.std == pytest.approx(7**0.5)
    assert describe([4.0]).std is None
    with pytest.raises(ValueError, match="no values"):
        describe([])


def test_rank_correlation() -> None:
    assert ranks([10.0, 30.0, 20.0, 30.0]) == [1.0, 3.5, 2.0, 3.5]
    assert spearman([1.0, 2.0, 3.0], [1.0, 4.0, 9.0]) == pytest.approx(1)
    assert spearman([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]) == pytest.approx(-1)
    assert spearman([1.0, 2.0], [1.0, 2.0]) is None
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
