"""The Pareto set of a search for several objectives: which settings are in it, what chose them, and what is drawn."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from report_helpers import Page, add_trial, write_design

from randwire import report
from randwire.errors import RecordError
from randwire.records import Record
from randwire.report.facts.pareto import Pareto
from randwire.report.facts.study import StudyFacts
from randwire.statistics.pareto import front

SIZES = {4: 1_000, 8: 4_000, 16: 16_000, 32: 64_000}
"""Multiply-adds of planted networks, by channels."""
TOP1 = {("er:p=0.2", 4): 80.0, ("er:p=0.2", 16): 85.0, ("ba:m=5", 8): 84.0, ("ba:m=5", 32): 86.0, ("ba:m=5", 16): 83.0}
BEST = ["BA(5) channels=32", "ER(0.2) channels=16", "BA(5) channels=8", "ER(0.2) channels=4"]


def test_the_front_is_what_no_other_point_beats() -> None:
    stream = random.Random(0)
    for dimensions in (1, 2, 3):
        points = [[stream.randrange(7) for _ in range(dimensions)] for _ in range(60)]
        beaten = [
            any(all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in points)
            for point in points
        ]
        assert front(points) == [not one for one in beaten]
    assert front([]) == []


def plant(folder: Path, objective: tuple[str, ...] = ("top1", "-mult_adds"), told: float | None = None) -> Path:
    """A search over channels with two graphs of each setting; `told`: what the test images are to say of the best."""
    for (spec, channels), top1 in TOP1.items():
        for seed, above in ((0, 0.5), (1, -0.5)):
            keys: dict[str, Any] = {"network__channels": channels, "runtime__variant": f"network.channels={channels}"}
            config = add_trial(folder, spec, seed, top1 + above, **keys)
            record = Record(folder / config.digest)
            record.write_json("complexity.json", {"params": 100 - channels, "mult_adds": SIZES[channels], "stages": []})
            if told is not None:
                summary = {**(record.summary() or {}), "test_top1": told if channels == 32 else 70.0}
                record.write_json("summary.json", summary)
    write_design(folder, "tpe", space=["network.channels=4,8,16,32"], objective=list(objective))
    return folder


def found(folder: Path) -> Pareto:
    (section,) = StudyFacts.load(folder).sections
    assert section.pareto is not None
    return section.pareto


def test_the_set_is_that_of_means_over_trials(tmp_path: Path) -> None:
    planted = found(plant(tmp_path))
    assert [one.setting for one in planted.best] == BEST
    assert [one.setting for one in planted.candidates if not one.best] == ["BA(5) channels=16"]
    assert {one.n for one in planted.candidates} == {2}
    assert planted.best[0].values == {"top1": 86.0, "mult_adds": 64_000.0}
    other = found(plant(tmp_path / "other", ("-params",)))
    assert [one.setting for one in other.best] == ["BA(5) channels=32"]
    assert {one.setting for one in found(plant(tmp_path / "more", ("-top1", "params"))).best} == {BEST[-1]}


@pytest.mark.parametrize("told", [0.0, 99.0])
def test_what_tells_has_no_part_in_the_choice(told: float, tmp_path: Path) -> None:
    planted = found(plant(tmp_path, told=told))
    assert [one.setting for one in planted.best] == BEST
    report.write_report(tmp_path)
    rows = Page(tmp_path / "report.html").table("Pareto set")
    assert rows["BA(5) channels=32"] == ["2", "86.00", "64 k", f"{told:.2f}"]
    assert list(rows) == BEST


def test_a_setting_with_a_trial_that_does_not_count_is_left_out(tmp_path: Path) -> None:
    add_trial(plant(tmp_path), "ba:m=5", 2, 1.0, "failed", 0, network__channels=32)
    assert [one.setting for one in found(tmp_path).best] == BEST[1:]


def test_the_figure_joins_the_set_and_names_every_setting(tmp_path: Path) -> None:
    figure = report.pareto(plant(tmp_path, ("top1", "-mult_adds", "params")))
    line, *marks = figure.data
    assert list(zip(line.x, line.y, strict=True)) == [(1_000, 80), (4_000, 84), (16_000, 85), (64_000, 86)]
    opacity = {text.split("<")[0]: trace.marker.opacity for trace in marks for text in trace.text}
    assert {name for name, value in opacity.items() if value == 1} == {*BEST}
    assert opacity["BA(5) channels=16"] < 1
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["multiply-adds", "parameters"]
    assert list(menu.buttons[1].args[0]["x"][0]) == [68, 84, 92, 96]
    report.write_report(tmp_path)
    page = Page(tmp_path / "report.html")
    assert "wanted: more top-1, less multiply-adds, more parameters" in page.text
    assert "network.channels=4,8,16,32" in page.text


@pytest.mark.parametrize("recorded", [["top1"], None, "x", ["nothing"], [], 3])
def test_there_is_none_where_top1_is_the_only_objective(recorded: object, tmp_path: Path) -> None:
    plant(tmp_path)
    record = Record(tmp_path)
    record.write_json("study.json", {**json.loads((tmp_path / "study.json").read_text()), "objective": recorded})
    assert "Pareto set" not in report.figures(tmp_path)
    with pytest.raises(RecordError, match="this figure needs a search for other objectives than top-1 alone"):
        report.pareto(tmp_path)
