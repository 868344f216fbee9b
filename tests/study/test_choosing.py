"""What chooses in a study sees the images that choose, and never those that tell.

Two studies have the same records, but for numbers of the images that tell which would reverse every choice.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_helpers import command, design, drain, end, score

from randwire.metrics import TEST
from randwire.study import planning, progress, race
from randwire.study.confirmation import choose
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.groups import TrialGroup
from randwire.study.results import Trial
from randwire.study.search import SettingSearch
from randwire.study.setting import Setting

SETTINGS = 12
"""More than a search begins with at random."""


def _poison(study: Design, test: Callable[[float], float]) -> None:
    """Write what only tells into the summaries of all finished trials, as a function of the top-1 that chooses."""
    for path in study.folder.glob("*/summary.json"):
        summary = json.loads(path.read_text())
        told = {metric.key: test(summary["val_top1"]) for metric in TEST}
        path.write_text(json.dumps({**summary, **told}))


def _study(folder: Path, **changes: object) -> Design:
    study = design(folder, **{"settings": SETTINGS, "seeds": 1, **changes})
    return replace(study, base=study.base.override({"data.holdout": 360}))


@pytest.mark.parametrize(
    "changes", [{"search": "tpe"}, {"search": "random"}, {"objective": ("top1", "-mult_adds")}], ids=str
)
def test_suggestions_do_not_depend_on_what_tells(tmp_path: Path, changes: dict[str, object]) -> None:
    honest, poisoned = (_study(tmp_path / name, **changes) for name in ("honest", "poisoned"))
    for study, test in ((honest, lambda top1: top1), (poisoned, lambda top1: 150 - top1)):
        while len(StudyFolder(study.folder).suggestions()) < SETTINGS:
            drain(SettingSearch(study), 2)
            _poison(study, test)
    assert StudyFolder(honest.folder).suggestions() == StudyFolder(poisoned.folder).suggestions()
    told = [[trial.values for trial in SettingSearch(study).study.trials] for study in (honest, poisoned)]
    assert told[0] == told[1] != []


def test_a_search_depends_on_what_chooses(tmp_path: Path) -> None:
    """Or the test above would show nothing."""
    one, two = (_study(tmp_path / name) for name in ("one", "two"))
    drain(SettingSearch(one), SETTINGS)
    while len(StudyFolder(two.folder).suggestions()) < SETTINGS:
        drain(SettingSearch(two), 2)
        for path in two.folder.glob("*/summary.json"):
            summary = json.loads(path.read_text())
            if summary["status"] == "finished" and "was" not in summary:
                path.write_text(json.dumps({**summary, "was": 1, "val_top1": 150 - summary["val_top1"]}))
    assert StudyFolder(one.folder).suggestions() != StudyFolder(two.folder).suggestions()


def test_outcomes_states_and_plans_do_not_depend_on_what_tells(tmp_path: Path) -> None:
    study = _study(tmp_path, settings=3)
    settings = drain(SettingSearch(study), 3)

    def seen() -> list[object]:
        return [
            [study.outcome(setting) for setting in settings],
            [trial.to_row() for trial in planning.plan(study)],
            progress.status(study).rows(),
        ]

    before = seen()
    _poison(study, lambda top1: 150 - top1)
    assert seen() == before
    assert before[0] == [("finished", score(setting)) for setting in settings]


def _advice(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> list[str]:
    """The lines of a plan on stderr."""
    capsys.readouterr()
    assert command("plan", "--json", "--runtime.output", str(folder), *options) == 0
    return capsys.readouterr().err.splitlines()


def test_a_search_by_the_images_that_tell_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "the same images choose and tell in this search; --data.holdout {} keeps them apart"
    assert _advice(capsys, tmp_path) == [line.format(360)]
    for base, proposal in (("small-100", "10000"), ("cifar10", "5000"), ("mnist", "10000")):
        assert _advice(capsys, tmp_path, "--base", base, "--name", base) == [line.format(proposal)]
    assert _advice(capsys, tmp_path, "--search", "race", "--name", "race") == [line.format(360)], "a race chooses too"
    assert _advice(capsys, tmp_path, "--data.holdout", "360") == []
    for fixed in (("--search", "grid", "--seeds", "1"), ("--only", "ba:m=5")):
        assert _advice(capsys, tmp_path, *fixed) == [], "a fixed design chooses nothing"
    design(tmp_path).open()
    (again,) = _advice(capsys, tmp_path, "--name", "study")
    assert again == line.format(360) + " in a study of another --name"


def test_a_plan_counts_without_the_holdout_and_refuses_what_a_sweep_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ("--json", "--settings", "1", "--seeds", "1", "--train.epochs", "2", "--runtime.output", str(tmp_path))
    assert command("plan", *keys, "--data.holdout", "360") == 0
    assert json.loads(capsys.readouterr().out)["training_images"] == 2 * (1437 - 360)
    assert command("plan", *keys, "--data.holdout", "1400") == 2
    assert command("sweep", *keys[1:], "--data.holdout", "1400") == 2
    shown = capsys.readouterr()
    message = "data.holdout: 1400 of the 1437 training images of digits leave fewer than train.batch_size (64)"
    assert [line.startswith(f"error: {message}") for line in shown.err.splitlines()] == [True, True]
    assert not list(tmp_path.rglob("study.json"))


def _finish(study: Design, top1: Callable[[int], float]) -> None:
    """The records of a list whose settings have all ended, with a top-1 by the place of the setting."""
    for place, setting in enumerate(study.fixed_settings()):
        StudyFolder(study.folder).add_suggestion(setting)
        end(study, setting, top1=top1(place))
    for path in study.folder.glob("*/summary.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "epochs": study.base.train.epochs}))


ONLY = ("ws:k=4,p=0.75", "ws:k=4,p=0.5", "ba:m=5", "ba:m=3", "er:p=0.2", "er:p=0.4")


def test_races_and_confirmations_do_not_depend_on_what_tells(tmp_path: Path) -> None:
    """Six settings, the later the better by the images that choose, and the contrary by those that tell."""
    study = _study(tmp_path, search="list", only=ONLY, seeds=4)
    study.open()
    _finish(study, lambda place: 60.0 + place)
    racing = replace(study, search="race", seeds=1)

    def chosen() -> list[object]:
        rounds = race.rounds(racing)
        winners = [[winner.setting for winner in choose(study.folder, top).confirmation.winners] for top in (None, 2)]
        return [[each.specs for each in rounds], race.winner(rounds), *winners]

    def best_first(test: Callable[[float], float]) -> list[object]:
        _poison(study, test)
        return chosen()

    expected: list[object] = [
        [ONLY, ONLY[3:], ONLY[4:]], "er:p=0.4", ["er:p=0.4", "ba:m=3", "ws:k=4,p=0.5"], ["er:p=0.4", "er:p=0.2"],
    ]  # fmt: skip
    assert best_first(lambda top1: top1) == best_first(lambda top1: 150 - top1) == expected


IMAGES = 180
"""That choose, and as many that tell."""


def _leads(truth: np.ndarray, folder: Path) -> np.ndarray:
    """Points by which the best network of each study leads the mean of all (studies, 3): where chosen, told, in truth.

    `truth` (studies, networks) are the probabilities with which a network is right; images are drawn from them.
    """
    (config,) = design(folder, seeds=1).trials(Setting("er:p=0.2"))
    config = config.override({"data.holdout": IMAGES})
    blank = Trial("", config, "finished", "", None, [], {}, {}, {}, [])
    chooses, tells = (100 * np.random.default_rng(seed).binomial(IMAGES, truth) / IMAGES for seed in (1, 2))
    leads = []
    for study in range(len(truth)):
        numbers = zip(map(str, range(truth.shape[1])), chooses[study].tolist(), tells[study].tolist(), strict=True)
        trials = [replace(blank, folder=name, top1=top1, test_top1=told) for name, top1, told in numbers]
        best = TrialGroup(trials).counted[0]
        told = [best.chosen_by - chooses[study].mean(), best.score - tells[study].mean()]
        leads.append([*told, 100 * (truth[study, int(best.folder)] - truth[study].mean())])
    return np.array(leads)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean, at 99.9 %."""
    half = 3.29 * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def test_on_pure_noise_the_best_of_many_leads_nowhere_on_the_images_that_tell(tmp_path: Path) -> None:
    """400 studies of 16 networks, all of which are right with 95 %: what leads is luck, and does not go along."""
    chosen, told, _ = _leads(np.full((400, 16), 0.95), tmp_path).T
    low, high = _interval(told)
    assert low < 0 < high
    assert high - low < 0.6
    assert _interval(chosen)[0] > 2, "expected: 1.77 standard deviations of 1.62 points, less the discreteness"


def test_what_is_told_of_the_best_is_neither_more_nor_less_than_the_truth(tmp_path: Path) -> None:
    """Where networks do differ, as on the digits, about half of the lead is luck; the images that tell leave it out."""
    truth = np.clip(np.random.default_rng(0).normal(0.955, 0.012, (400, 16)), 0, 1)
    chosen, told, true = _leads(truth, tmp_path).T
    low, high = _interval(told - true)
    assert low < 0 < high
    assert _interval(told)[0] > 0.5
    assert _interval(chosen - true)[0] > 1
