"""The figures of a search: the best so far, and what each parameter decides."""

import random
from pathlib import Path
from typing import Any

import pytest
from report_helpers import Page, add_grid, add_trial, write_design

from randwire import report
from randwire.errors import RecordError
from randwire.pages.style import Figure
from randwire.records import Record
from randwire.report.facts.study import StudyFacts
from randwire.report.plots.history import history
from randwire.report.plots.importance import importance
from randwire.study.folder import StudyFolder
from randwire.study.setting import Setting

ORDER = {"ws:k=4,p=0.75": 80.0, "er:p=0.2": 83.0, "ba:m=5": 81.0, "ws:k=2,p=0": 10.0, "ws:k=4,p=0.5": 86.0}


def plant(folder: Path, top1: dict[str, float], **more: Any) -> Path:
    """A random search of one seed, in this order of suggestion."""
    write_design(folder, "random", **{"seeds": [0], **more})
    for spec, score in top1.items():
        StudyFolder(folder).add_suggestion(Setting(spec))
        add_trial(folder, spec, 0, score)
    return folder


def drawn(figure: Any, folder: Path) -> Figure | None:
    result: Figure | None = figure.draw(StudyFacts.load(folder).sections[0])
    return result


def marks(figure: Figure) -> dict[str, tuple[int, float]]:
    """Number and height of each mark, by the setting of its text."""
    return {
        text.partition(",")[0] if "(" not in text else text[: text.index(")") + 1]: (x, y)
        for trace in figure["data"]
        if trace["mode"] == "markers"
        for text, x, y in zip(trace["text"], trace["x"], trace["y"], strict=True)
    }


def test_the_best_so_far_follows_the_order_of_suggestion(tmp_path: Path) -> None:
    figure = drawn(history, plant(tmp_path, ORDER))
    assert figure is not None
    assert marks(figure) == {
        "WS(4,0.75)": (1, 80.0), "ER(0.2)": (2, 83.0), "BA(5)": (3, 81.0), "WS(2,0)": (4, 10.0), "WS(4,0.5)": (5, 86.0)
    }  # fmt: skip
    line = next(trace for trace in figure["data"] if trace["mode"] == "lines")
    assert line["x"] == [1, 2, 3, 4, 5, 5]
    assert line["y"] == [80.0, 83.0, 83.0, 83.0, 86.0, 86.0]
    assert line["text"] == ["WS(4,0.75)", "ER(0.2)", "ER(0.2)", "ER(0.2)", "WS(4,0.5)", "WS(4,0.5)"]
    assert [trace["name"] for trace in figure["data"]] == ["best so far", "BA", "ER", "WS"]
    assert figure["layout"]["yaxis"]["range"][0] > 70, "one that hardly trains does not squeeze the others"
    assert "1 setting far below the others is not in the picture" in figure["note"]
    assert "in the order of suggestion" in figure["note"]


def test_settings_that_have_not_finished_have_a_number_and_no_mark(tmp_path: Path) -> None:
    folder = plant(tmp_path, {"ws:k=4,p=0.75": 80.0}, seeds=[0])
    StudyFolder(folder).add_suggestion(Setting("er:p=0.6"))
    add_trial(folder, "er:p=0.6", 0, 99.0, status="failed", epochs=3)
    plant(folder, {"er:p=0.2": 70.0, "ba:m=5": 75.0}, seeds=[0])
    StudyFolder(folder).add_suggestion(Setting("ba:m=7"))
    figure = drawn(history, folder)
    assert figure is not None
    assert marks(figure) == {"WS(4,0.75)": (1, 80.0), "ER(0.2)": (3, 70.0), "BA(5)": (4, 75.0)}
    assert "3 of 4 settings have finished" in figure["note"]


def test_what_chooses_is_drawn(tmp_path: Path) -> None:
    top1 = {"ws:k=4,p=0.75": 80.0, "er:p=0.2": 70.0}
    write_design(tmp_path, "random", seeds=[0])
    for spec, score in top1.items():
        StudyFolder(tmp_path).add_suggestion(Setting(spec))
        record = Record(tmp_path / add_trial(tmp_path, spec, 0, score, data__holdout=360).digest)
        record.write_json("summary.json", {**(record.summary() or {}), "test_top1": 55.0})
    figure = drawn(history, tmp_path)
    assert figure is not None
    assert [y for _, y in marks(figure).values()] == [70.0, 80.0]
    assert "images held out" in figure["layout"]["yaxis"]["title"]["text"]


def searched(folder: Path, count: int = 24) -> Path:
    """A search over WS in which p decides, with some settings of BA."""
    stream = random.Random(0)
    top1 = {f"ws:k={k},p={p}": 70 + 10 * p + stream.gauss(0, 0.1) for k in (2, 4, 6, 8) for p in _p(count // 4)}
    order = [*top1, "ba:m=5", "ba:m=7"]
    stream.shuffle(order)
    return plant(folder, {spec: top1.get(spec, 72.0) for spec in order})


def _p(count: int) -> list[float]:
    return [round(0.15 * (k + 1), 2) for k in range(count)]


def test_bars_say_what_decides_and_what_chance_would_give(tmp_path: Path) -> None:
    folder = searched(tmp_path)
    figure = drawn(importance, folder)
    assert figure is not None
    bars, lines = figure["data"]
    assert bars["y"] == lines["y"] == ["generator  (n=26)", "ws.k  (n=24)", "ws.p  (n=24)"]
    _, of_k, of_p = zip(bars["x"], lines["x"], bars["marker"]["opacity"], strict=True)
    assert of_p[0] > of_p[1]
    assert of_p[2] > of_k[2]
    assert of_k[0] <= of_k[1]
    assert bars["customdata"][1] == "best 6 of 24 WS settings"
    assert "left out: BA 2" in figure["note"]
    low, high = figure["layout"]["xaxis"]["range"]
    assert low == 0
    assert max(*bars["x"], *lines["x"]) < high
    titles = list(report.figures(folder))
    assert {"What decides, by parameter", "The best so far"} <= set(titles)


def test_only_a_search_has_these_figures(tmp_path: Path) -> None:
    add_grid(tmp_path / "grid", seeds=2)
    assert "The best so far" not in report.figures(tmp_path / "grid")
    for function in (report.history, report.importance):
        with pytest.raises(RecordError, match="this figure needs a search of which"):
            function(tmp_path / "grid")
    few = plant(tmp_path / "few", ORDER)
    assert drawn(importance, few) is None
    assert drawn(history, plant(tmp_path / "sizes", ORDER, objective=["-mult_adds", "depth"])) is None


def test_the_page_shows_them_and_survives_a_damaged_list_of_suggestions(tmp_path: Path) -> None:
    folder = plant(tmp_path, ORDER)
    assert "The best so far" in Page(report.write_report(folder)).text
    (folder / "suggestions.jsonl").write_text("{")
    page = Page(report.write_report(folder))
    assert "in the order in which their trainings began" in page.text
