"""The paper's Figure 4 as a study: its reports lead with the best setting of each generator, and with no pool."""

from pathlib import Path
from statistics import fmean, stdev

import pytest
from figure_4 import LEADERS, POOLED_WS, add_figure_4, figure_4

from benchmarks.search.landscape import FIGURE_4
from randwire.report.facts.study import StudyFacts


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        return add_figure_4(tmp_path_factory.mktemp("runs") / "figure-4")


@pytest.mark.parametrize("n", [2, 5])
def test_the_made_up_trainings_have_the_means_and_deviations_of_the_figure(n: int) -> None:
    values = figure_4(n)
    truth = [cell for points in FIGURE_4.values() for cell in points.values()]
    assert len(values) == len(truth) == 29
    for scores, (mean, std) in zip(values.values(), truth, strict=True):
        assert fmean(scores) == pytest.approx(mean)
        assert std is None or stdev(scores) == pytest.approx(std)
    ws = [score for spec, scores in values.items() if spec.startswith("ws") for score in scores]
    assert f"{fmean(ws):.2f}" == POOLED_WS


def test_the_leaders_are_the_best_settings(study: Path) -> None:
    (section,) = StudyFacts.load(study).sections
    assert tuple(leader.setting for leader in section.leaders) == LEADERS
    assert [leader.of for leader in section.leaders] == [20, 4, 5]
    assert [len(leader.values) for leader in section.leaders] == [5, 5, 5]
