"""The figures of the report as functions of a study's folder."""

import random
from pathlib import Path

import pytest
from plotly.graph_objects import Figure
from report_helpers import add_trial, write_design

from randwire import report
from randwire.errors import RecordError
from randwire.records import Record

FIGURES = {
    "variants": "Variants, graph by graph",
    "scores": "Top-1 by setting",
    "learning_rates": "Learning rate",
    "parallel_coordinates": "Parallel coordinates",
    "error_distributions": "Error distribution by variant",
    "measures": "Graph measures",
    "learning_curves": "Learning curves",
    "early_epochs": "Do early epochs tell the final order?",
}
"""Titles of the figures on the page, in its order, by function."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fixed grid of two variants on nine graphs, and a failed trial of another budget."""
    folder = tmp_path_factory.mktemp("runs") / "my-study"
    noise = random.Random(0)
    for spec in ("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"):
        for seed in range(3):
            for op, points in (("conv", 1.0), ("avgpool", -1.0)):
                add_trial(folder, spec, seed, 80 + 5 * seed + points + noise.gauss(0, 0.2), network__op=op)
    add_trial(folder, "er:p=0.2", 0, 12.0, status="failed", epochs=0, train__epochs=9)
    write_design(folder, "grid", variants={op: {"network.op": op} for op in ("conv", "avgpool")})
    return folder


@pytest.fixture(scope="module")
def on_the_page(study: Path) -> dict[str, Figure]:
    return report.figures(study)


def test_the_page_has_all_figures_in_this_order(on_the_page: dict[str, Figure]) -> None:
    assert list(on_the_page) == list(FIGURES.values())
    assert set(report.__all__) == {
        *FIGURES,
        "pairs",
        "rounds",
        "pareto",
        "history",
        "importance",
        "figures",
        "publish",
        "write_report",
        "write_table",
    }


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_a_function_of_the_folder(name: str, study: Path, on_the_page: dict[str, Figure]) -> None:
    figure = getattr(report, name)(str(study))
    assert isinstance(figure, Figure)
    assert figure == on_the_page[FIGURES[name]]


@pytest.mark.parametrize("name", FIGURES)
def test_a_budget_with_too_little_to_draw_is_an_error_of_one_line(name: str, study: Path) -> None:
    with pytest.raises(RecordError, match=r"my-study: this figure needs .+, which budget 2 of 2 has not") as caught:
        getattr(report, name)(study, budget=2)
    assert "\n" not in str(caught.value)


def test_a_budget_that_is_not_there_is_named(study: Path) -> None:
    for budget in (0, 3):
        with pytest.raises(RecordError, match=f"has the budgets 1 to 2, not {budget}"):
            report.scores(study, budget=budget)


def test_no_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no record"):
        report.scores(tmp_path)


def test_a_study_is_reported_from_python(study: Path, tmp_path: Path) -> None:
    assert report.write_report(str(study), tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert not report.write_table(str(study), tmp_path / "trials.csv")
    with pytest.raises(AttributeError, match="nothing"):
        report.nothing  # noqa: B018


def test_curves_have_every_metric_that_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from randwire import metrics
    from randwire.report.plots import learning_curves

    record = Record(tmp_path / add_trial(tmp_path).digest)
    for row in record.metrics():
        record.append_metrics({**row, "val_ece": 1 / row["epoch"]})
    added = metrics.Metric("val_ece", "val calibration error", "%", curve=True)
    monkeypatch.setattr(learning_curves, "METRICS", (*metrics.METRICS, added))
    (menu,) = report.learning_curves(tmp_path).layout.updatemenus
    labels = [button.label for button in menu.buttons]
    assert labels[:2] == ["val top-1", "val error, log scale"]
    button = menu.buttons[labels.index("val calibration error")]
    assert button.args[0]["y"][0][:2] == [1, 0.5]
    assert button.args[1]["yaxis.title.text"] == "val calibration error (%)"
