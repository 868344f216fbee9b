"""The figure of top-1 by setting: its bars, and what its note says of few images."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figure_4 import add_figure_4
from report_helpers import Page, add_trial, write_design

from randwire.correct import Correct
from randwire.records import Record
from randwire.report import write_report
from randwire.report.facts.study import StudyFacts
from randwire.report.plots.scores import scores
from randwire.statistics.describe import describe
from randwire.statistics.intervals import t_interval

TOP1 = {"ws:k=4,p=0.75": (97.0, 98.5, 99.5), "ba:m=5": (95.0, 96.0), "er:p=0.2": (99.0,)}


def drawn(folder: Path) -> Any:
    (section,) = StudyFacts.load(folder).sections
    return scores.draw(section)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for spec, values in TOP1.items():
        for seed, top1 in enumerate(values):
            add_trial(tmp_path, spec, seed, top1)
    write_design(tmp_path, "grid")
    return tmp_path


def _means(figure: Any) -> dict[float, dict[str, tuple[float, float]]]:
    """The bars to the left and to the right of each mean by choice."""
    return {
        mean: {
            choice["label"]: (choice["data"]["error_x.arrayminus"][k][j], choice["data"]["error_x.array"][k][j])
            for choice in figure["choices"]
        }
        for k, trace in enumerate(figure["data"])
        if "error_x" in trace
        for j, mean in enumerate(trace["x"])
    }


def test_bars_are_asymmetric_and_begin_at_three_graphs(study: Path) -> None:
    figure = drawn(study)
    values = TOP1["ws:k=4,p=0.75"]
    interval, described = t_interval(values), describe(values)
    assert interval is not None
    means = _means(figure)
    bars = means[described.mean]
    left, right = bars["95% interval of the mean"]
    assert (described.mean - left, described.mean + right) == pytest.approx(interval)
    assert left > 1.5 * right
    assert described.mean + right < 100
    assert bars["standard deviation"] == (described.std, described.std)
    for mean in (95.5, 99.0):
        assert set(means[mean].values()) == {(0.0, 0.0)}, "no bar for one or two graphs"
    shown = [trace["error_x"] for trace in figure["data"] if "error_x" in trace]
    assert all(not error["symmetric"] for error in shown)
    chosen = figure["choices"][0]["data"]
    assert [error["array"] for error in shown] == [lengths for lengths in chosen["error_x.array"] if lengths]
    assert [error["arrayminus"] for error in shown] == [lengths for lengths in chosen["error_x.arrayminus"] if lengths]


def test_beside_the_pointer_is_an_interval_where_there_is_one(study: Path) -> None:
    texts = [text for trace in drawn(study)["data"] if "error_x" in trace for text in trace["text"]]
    by_name = {text.partition(":")[0]: text for text in texts}
    assert by_name["BA(5)"] == "BA(5): mean 95.50%, std 0.71, n = 2"
    assert "<br>95% interval 89.75 to 99.75" in by_name["WS(4,0.75)"]


def test_without_three_graphs_of_any_setting_there_is_nothing_to_choose(tmp_path: Path) -> None:
    for seed in range(2):
        add_trial(tmp_path, "ba:m=5", seed, 95.0 + seed)
    write_design(tmp_path, "grid")
    assert drawn(tmp_path)["choices"] == []


@pytest.mark.parametrize(
    ("images", "said"),
    [(360, "One of the 360 images that top-1 is counted on is 0.28 points."), (10_000, ""), (None, "")],
)
def test_of_few_images_the_note_says_what_one_is_worth(tmp_path: Path, images: int | None, said: str) -> None:
    digest = add_trial(tmp_path).digest
    if images:
        bits = np.arange(images) % 10 > 0
        Correct(bits, "val", "00").save(Record(tmp_path / digest))
    note = drawn(tmp_path)["note"]
    assert said in note
    assert bool(said) == ("images" in note)


def test_with_a_holdout_these_are_the_images_that_tell(tmp_path: Path) -> None:
    record = Record(tmp_path / add_trial(tmp_path, data__holdout=300).digest)
    record.write_json("summary.json", {**(record.summary() or {}), "test_top1": 80.0, "test_images": 1_797})
    assert "One of the 1,797 images that top-1 is counted on is 0.06 points." in drawn(tmp_path)["note"]


def test_settings_far_below_all_others_leave_these_their_room(tmp_path: Path) -> None:
    add_figure_4(tmp_path)
    figure = Page(write_report(tmp_path)).figures["Top-1 by setting figure-1"]
    low, high = figure["layout"]["xaxis"]["range"]
    assert 70 < low < 72
    assert 73.76 < high < 76
    named = {
        figure["layout"]["yaxis"]["tickvals"].index(note["y"]): note["text"] for note in figure["layout"]["annotations"]
    }
    ticks = figure["layout"]["yaxis"]["ticktext"]
    assert {ticks[k].split()[0]: text.split()[-1] for k, text in named.items()} == {
        "BA(1)": "70.74", "WS(2,0)": "0.00", "WS(4,0)": "68.80", "WS(6,0)": "70.90",
    }  # fmt: skip
    assert "at the left edge" in figure["note"]


def test_variants_are_drawn_by_variant_in_one_order(tmp_path: Path) -> None:
    noise = random.Random(0)
    ops = {"conv": 3.0, "avgpool": -3.0, "sepconv": 0.0}
    for spec in ("er:p=0.2", "ws:k=4,p=0.75"):
        for seed in range(3):
            for op, points in ops.items():
                add_trial(tmp_path, spec, seed, 80 + points + noise.gauss(0, 0.2), network__op=op)
    write_design(tmp_path, "grid", variants={op: {"network.op": op} for op in ops})
    figures = Page(write_report(tmp_path)).figures
    figure = next(figure for label, figure in figures.items() if label.startswith("Top-1 by setting"))
    assert [trace["name"] for trace in figure["data"] if "name" in trace] == ["conv", "sepconv", "avgpool"]
    shown = [text.split("  ")[0] for text in figure["layout"]["yaxis"]["ticktext"]]
    assert shown == [
        f"{setting} {op}" for op in ("conv", "sepconv", "avgpool") for setting in ("ER(0.2)", "WS(4,0.75)")
    ]
    colours = {trace["name"]: trace["marker"]["color"] for trace in figure["data"] if "name" in trace}
    curves = next(figure for label, figure in figures.items() if label.startswith("Learning curves"))
    assert {trace["name"]: trace["line"]["color"] for trace in curves["data"]} == colours
    assert len(set(colours.values())) == 3
