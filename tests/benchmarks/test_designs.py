"""The simulated designs of benchmarks.designs: the tests and the race are those of studies, and costs are exact."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import designs
from benchmarks.designs import BEST, MEANS, SETTINGS, STDS, Outcome, simulate
from randwire.statistics.pairs import ALPHA, compare
from randwire.study import race

STUDIES = 400
BY_NAME = {design.name: design for design in designs.designs()}
GRID, GRID_3 = (BY_NAME[f"grid of 29, n = {n}, all pairs"] for n in (5, 3))
FIXED = BY_NAME["three fixed beforehand, n = 10"]
CONFIRMED, RACE = (BY_NAME[f"{search}; winners, n = 20"] for search in ("grid, n = 3", "race"))


def test_what_designs_cost() -> None:
    assert [design.trainings for design in (GRID, GRID_3, FIXED, CONFIRMED, RACE)] == [145, 87, 30, 147, 152]
    assert [round(design.gpu_hours) for design in (GRID, FIXED)] == [2064, 427]


def test_the_truth_is_figure_4() -> None:
    assert len(SETTINGS) == 29
    assert [SETTINGS[best][:2] for best in BEST] == [("ws", (4, 0.75)), ("er", (0.2,)), ("ba", (5,))]
    assert [MEANS[best] for best in BEST] == [
        max(mean for name, _, mean, _ in SETTINGS if name == family) for family in ("ws", "er", "ba")
    ]
    top1 = designs.draw(np.random.default_rng(0), MEANS, np.arange(29), 4000)
    assert top1.mean(axis=1) == pytest.approx(MEANS, abs=4 * 0.83 / np.sqrt(4000))
    assert top1.std(axis=1) == pytest.approx(STDS, rel=0.1)


def test_the_tests_are_those_of_the_report() -> None:
    settings = np.tile(np.arange(29), (3, 1))
    tested = designs.compared(np.random.default_rng(7), MEANS, settings, 5)
    top1 = designs.draw(np.random.default_rng(7), MEANS, settings, 5)
    for row, adjusted in zip(top1, tested.adjusted, strict=True):
        pairs = compare({str(k): values.tolist() for k, values in enumerate(row)})
        assert sorted(pair.adjusted for pair in pairs) == pytest.approx(sorted(adjusted))


def test_the_race_is_that_of_studies() -> None:
    most = designs.rounds()[-1][1]
    top1 = designs.draw(np.random.default_rng(3), MEANS, np.tile(np.arange(29), (20, 1)), most)
    names = [str(k) for k in range(29)]
    for row, ranks in zip(top1, designs.race(top1), strict=True):
        means = lambda specs, seeds, row=row: {spec: row[int(spec), :seeds].mean() for spec in specs}  # noqa: E731
        played = list(race.play(names, 1, means))
        assert [(len(one.specs), one.seeds) for one in played] == designs.rounds()
        assert race.winner(played) == names[int(ranks.argmax())]
        last = {spec: one.number for one in played for spec in one.specs}
        assert [last[name] for name in names] == (1 + np.rint(ranks / designs.ROUND)).tolist()


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, float], Outcome]:
    return {
        (design.name, scale): simulate(design, scale, STUDIES, 0)
        for design in (GRID, FIXED, CONFIRMED, RACE)
        for scale in (0.0, 1.0, 0.5)
    }


def test_few_tests_of_settings_fixed_beforehand_find_what_all_pairs_do_not(
    outcomes: dict[tuple[str, float], Outcome],
) -> None:
    above = {key: one.above_er / STUDIES for key, one in outcomes.items()}
    assert above[GRID.name, 1.0] < 0.1
    assert above[FIXED.name, 1.0] > 0.85
    assert above[CONFIRMED.name, 1.0] > 0.8
    assert above[RACE.name, 1.0] > 0.95
    for design in (GRID, FIXED, CONFIRMED, RACE):
        assert above[design.name, 0.5] < above[design.name, 1.0]
        assert outcomes[design.name, 1.0].wrong <= 0.02 * STUDIES


def test_no_design_errs_more_often_than_its_tests_state(outcomes: dict[tuple[str, float], Outcome]) -> None:
    for design in (GRID, FIXED, CONFIRMED, RACE):
        assert outcomes[design.name, 0.0].any / STUDIES <= ALPHA + 4 * np.sqrt(ALPHA * (1 - ALPHA) / STUDIES)
        assert outcomes[design.name, 0.0].wrong == 0, "nothing is true that could be found the wrong way round"


def test_an_outcome_counts_what_was_planted() -> None:
    def found(random: np.random.Generator, means: designs.Floats, studies: int) -> designs.Tested:
        """WS is above ER in every study, and ER above BA in half of them, falsely the other way round."""
        settings = np.tile(BEST, (studies, 1))
        adjusted = np.tile([0.01, 0.9, 0.9], (studies, 1))
        adjusted[::2, 2] = 0.02
        return designs.Tested(settings, np.tile([3.0, 1.0, 2.0], (studies, 1)), adjusted)

    outcome = simulate(designs.Design("planted", 1, found), 1.0, 10, 0)
    assert (outcome.above_er, outcome.above_ba, outcome.any, outcome.wrong) == (10, 0, 10, 5)


def test_the_command_writes_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["designs", "--repetitions", "30", "--json", str(tmp_path / "designs.json")])
    designs.main()
    lines = capsys.readouterr().out.splitlines()
    rows = json.loads((tmp_path / "designs.json").read_text())["designs"]
    assert len(rows) == len(BY_NAME) * 4
    assert all(row["n"] == 30 and row["intervals"]["any"][0] <= row["any"] / 30 for row in rows)
    for name in BY_NAME:
        assert sum(line.startswith(name) for line in lines) == 4
    monkeypatch.setattr("sys.argv", ["designs", "--repetitions", "0"])
    with pytest.raises(SystemExit):
        designs.main()
