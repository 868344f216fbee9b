"""The plan of a study and its cost: exact numbers, and no time lost on thousands of trials."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
from study_helpers import command, design, end

from randwire import cli, wiring
from randwire.model import complexity
from randwire.study import planning, rates, requirements
from randwire.study.cost import Cost, Work, cost, jobs, makespan, priced, work
from randwire.study.design import Design
from randwire.study.requirements import QUANTITIES
from randwire.study.setting import Setting
from randwire.wiring import count, sample_graphs

IMAGES = 1_437
"""Training images of the digits."""


@pytest.mark.parametrize(
    ("seconds", "slots", "expected"),
    [
        ([3, 3, 3], 2, 6),  # not 4.5: a job is not divided
        ([1, 1, 4], 2, 5),  # in order, whichever is free first
        ([4, 1, 1], 2, 4),
        ([2, 5], 9, 5),
        ([], 4, 0),
        ([1.5] * 7, 1, 10.5),
        ([1], 10**12, 1),
    ],
)
def test_jobs_are_scheduled_whole(seconds: list[float], slots: int, expected: float) -> None:
    assert makespan(seconds, slots) == expected


def plan_of(study: Design, rate: float | None) -> tuple[list[planning.Planned], rates.Rates | None, list[Work]]:
    trials = planning.plan(study)
    known = rates.rates(study, trials, rate)
    return trials, known, work(trials, known)


def test_cost(tmp_path: Path) -> None:
    study = design(tmp_path, settings=3, seeds=2)  # 4 epochs
    _, _, works = plan_of(study, None)
    assert works == [Work(1, 4 * IMAGES, None)] * 6
    listed = replace(planning.listing(study), ahead=[1])
    assert [(one.trials, one.images) for one in jobs(listed, works)] == [
        (2, 8 * IMAGES), (2, 8 * IMAGES), (2, 8 * IMAGES), (1, 4 * IMAGES)
    ]  # fmt: skip
    assert cost(jobs(listed, works), None, 2, None, None) == Cost(7, 7 * 4 * IMAGES)
    trial = 4 * IMAGES / 100  # GPU-seconds
    _, _, works = plan_of(study, 100.0)
    assert {one.gpu_s for one in works} == {trial}
    result = cost([Work(2, 8 * IMAGES, 2 * trial)] * 2 + works[:1], 100.0, 2, 5, 3.0)
    assert result.gpu_hours == pytest.approx(5 * trial / 3600)
    # Five GPUs hold two groups of two workers: the third setting waits for one of the others.
    assert result.wall_hours == pytest.approx(3 * trial / 2 / 3600)
    assert result.busy == pytest.approx(5 * trial / (5 * 3 * trial / 2))
    assert result.dollars == pytest.approx(3.0 * 5 * trial / 3600)
    nothing = cost([], 100.0, 2, 4, 1.0)
    assert (nothing.gpu_hours, nothing.wall_hours, nothing.busy, nothing.dollars) == (0, 0, None, 0)


def test_epochs_of_lower_resolution_cost_less(tmp_path: Path) -> None:
    study = design(tmp_path)
    base = study.base.override({"data.start_resolution": 16, "data.ramp": [0.5, 0.75]})  # 16, 16, 32, 32 pixels
    _, _, works = plan_of(replace(study, base=base, settings=1, seeds=1), 100.0)
    assert works[0].gpu_s == pytest.approx((0.25 + 0.25 + 1 + 1) * IMAGES / 100)
    assert works[0].images == 4 * IMAGES
    train(study, "er:p=0.2", [400.0, 100.0], 1)
    for trial in study.trials(Setting("er:p=0.2")):
        rows = [{**row, "resolution": side} for row, side in zip(study.record(trial).metrics(), (16, 32), strict=True)]
        study.record(trial).truncate_metrics(0)
        for row in rows:
            study.record(trial).append_metrics(row)
    assert rates.measured(study, study.trials(Setting("er:p=0.2"))) == (100.0, 2, 1.0)


def train(study: Design, setting: str, images_per_s: list[float], ranks: int) -> None:
    """Records with rows of these images/s over all ranks."""
    end(study, setting)
    for trial in study.trials(Setting.parse(setting)):
        record = study.record(trial)
        record.write_json("environment.json", {"world_size": ranks})
        for epoch, rate in enumerate(images_per_s, 1):
            record.append_metrics({"epoch": epoch, "images_per_s": rate, "val_top1": 1.0})


def test_the_rate_is_that_of_one_gpu_in_the_records(tmp_path: Path) -> None:
    study = design(tmp_path, seeds=2)
    trials = [trial for spec in ("er:p=0.2", "ba:m=5") for trial in study.trials(Setting(spec))]
    assert rates.measured(study, trials) is None
    train(study, "er:p=0.2", [10.0, 800.0, 900.0], 2)  # the first epoch compiles: a median passes over it
    assert rates.measured(study, trials) == (400.0, 2, 1.0)
    train(study, "ba:m=5", [500.0], 1)
    assert rates.measured(study, trials) == (450.0, 4, 1.0)


def shared(study: Design, setting: str, images_per_s: float, share: object) -> None:
    """Records of one rank with a share of a GPU."""
    train(study, setting, [images_per_s], 1)
    for trial in study.trials(Setting.parse(setting)):
        study.record(trial).write_json("environment.json", {"world_size": 1, "hardware": {"gpu_share": share}})


def test_the_rate_of_a_gpu_counts_the_share_that_a_rank_had(tmp_path: Path) -> None:
    study = design(tmp_path, seeds=2)
    trials = [trial for spec in ("er:p=0.2", "ba:m=5", "ba:m=3") for trial in study.trials(Setting(spec))]
    shared(study, "er:p=0.2", 100.0, 0.25)
    assert rates.measured(study, trials) == (400.0, 2, 0.25)  # four of them are a GPU
    shared(study, "ba:m=5", 130.0, None)
    assert rates.measured(study, trials) == (130.0, 2, 1.0)
    assert rates.measured(study, trials, share=0.25) == (400.0, 2, 0.25)
    assert rates.measured(study, trials, share=1 / 3) == (400.0, 2, 0.25)  # the nearest
    for wrong in (True, 0, 3, "a"):
        shared(study, "ba:m=3", 130.0, wrong)
        assert rates.measured(study, trials) == (130.0, 4, 1.0)


def test_a_part_of_a_gpu_trains_several_settings_at_a_time(tmp_path: Path) -> None:
    study = design(tmp_path)
    _, _, works = plan_of(study, 100.0)
    planned = jobs(planning.listing(study), works)
    one = cost(planned, 100.0, 1, 1, 2.0)
    four = cost(planned, 100.0, 1, 1, 2.0, per_gpu=4)
    # One GPU has so much to do in either case; beside the last settings of four at a time, it has nothing.
    assert (four.gpu_hours, four.dollars) == (one.gpu_hours, one.dollars)
    seconds = sum(work.gpu_s or 0 for work in planned)
    assert one.wall_hours == pytest.approx(seconds / 3600)
    each = [4 * (work.gpu_s or 0) for work in planned]
    assert four.wall_hours == pytest.approx(makespan(each, 4) / 3600)
    assert four.busy == pytest.approx(seconds / makespan(each, 4))


VARIANTS: dict[str, dict[str, object]] = {
    "narrow": {"network.channels": 4},
    "wide": {"network.channels": 16},
    "decay": {"train.weight_decay": 0.3},
}


def sizes_of(trials: list[planning.Planned]) -> dict[str, list[float]]:
    return {
        name: [trial.quantities["mult_adds"] for trial in trials if trial.setting.variant == name] for name in VARIANTS
    }


def test_a_given_rate_is_that_of_the_configuration_and_scaled_by_multiply_adds_for_others(tmp_path: Path) -> None:
    study = design(tmp_path, search="grid", generators=("er", "ws"), seeds=1, variants=VARIANTS)
    assert study.base.network.channels == 16, "the wide variant is the configuration itself"
    trials, known, works = plan_of(study, 100.0)
    assert known is not None
    sizes, alone = sizes_of(trials), 4 * IMAGES / 100
    base = sum(sizes["wide"]) / 2
    by_variant = {name: [one.gpu_s for one, trial in zip(works, trials, strict=True) if trial.setting.variant == name]
                  for name in VARIANTS}  # fmt: skip
    assert by_variant["wide"] == by_variant["decay"] == [alone] * 2
    assert by_variant["narrow"] == pytest.approx([alone * size / base for size in sizes["narrow"]])
    assert max(sizes["narrow"]) < base / 2
    narrow, wide, _ = priced(trials, works, known)
    assert (narrow.scaled, wide.scaled, wide.images_per_s, wide.records) == (True, False, 100.0, 0)
    assert narrow.gpu_hours == pytest.approx(sum(by_variant["narrow"][:]) / 3600)  # type: ignore[arg-type]
    assert narrow.images_per_s == pytest.approx(100 * base / (sum(sizes["narrow"]) / 2))


def test_a_variant_has_its_measured_rate_and_others_that_of_the_nearest_size(tmp_path: Path) -> None:
    variants = {**VARIANTS, "wider": {"network.channels": 20}}
    study = design(tmp_path, search="grid", generators=("er",), seeds=2, variants=variants)
    train(study, "er:p=0.2 narrow", [900.0], 1)
    train(study, "er:p=0.2 wide", [600.0], 3)
    trials, known, works = plan_of(study, None)
    assert known is not None
    assert known.base.images_per_s == 200.0
    sizes, seconds = [trial.quantities["mult_adds"] for trial in trials], [one.gpu_s for one in works]
    assert seconds[:6] == [4 * IMAGES / 900] * 2 + [4 * IMAGES / 200] * 4
    mean = sum(sizes[2:4]) / 2
    assert seconds[6:] == pytest.approx([4 * IMAGES / (200 * mean / size) for size in sizes[6:]])
    rows = {row.what: (row.records, row.scaled) for row in priced(trials, works, known)}
    assert rows == {"narrow": (2, False), "wide": (2, False), "decay": (2, False), "wider": (0, True)}


def test_a_published_network_has_a_rate_of_its_own(tmp_path: Path) -> None:
    reference = "pytorchcv:resnet20_cifar10"
    study = design(tmp_path, seeds=1)
    config = study.base.override({"network.reference": reference, "graph.nodes": 32, "network.channels": 78})
    assert rates.kind(config) != rates.kind(study.base)
    assert rates.kind(config) == rates.kind(config.override({"train.seed": 3}))
    assert rates.kind(study.base) == rates.kind(study.base.override({"graph.generator": "er:p=0.6", "graph.seed": 9}))


def test_a_search_that_chooses_graphs_too_has_a_rate_for_each_size(tmp_path: Path) -> None:
    study = design(tmp_path, settings=10, seeds=1, space=("network.channels=4,16", "graph.seed=0:99"))
    trials, known, works = plan_of(study, 100.0)
    assert known is not None
    rows = priced(trials, works, known)
    assert {row.what: row.scaled for row in rows} == {"network.channels=4": True, "network.channels=16": False}
    assert sum(row.trials for row in rows) == len(trials) == 10


def test_the_plan_tells_rates_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    design(tmp_path, search="grid", generators=("er",), seeds=1, variants=VARIANTS).open()

    def planned(*options: str) -> int:
        given = ("plan", "--runtime.output", str(tmp_path), "--images-per-s", "100", *options)
        return cli.study("study", None, given, lambda _: VARIANTS)

    assert planned("--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["what"] for row in shown["rates"]] == list(VARIANTS)
    assert sum(row["gpu_hours"] for row in shown["rates"]) == pytest.approx(shown["gpu_hours"])
    assert shown["images_per_s"] == 100.0
    assert planned() == 0
    text = capsys.readouterr().out
    assert f"at 100 to {shown['rates'][0]['images_per_s']:,.6g} images/s a GPU" in text
    (line,) = [line for line in text.splitlines() if line.startswith("  narrow")]
    assert line.endswith("images/s by multiply-adds")
    assert "rates without a record are scaled by multiply-adds" in text


def test_the_plan_takes_its_rate_from_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = design(tmp_path, seeds=2)
    options = ("--name", "study", "--settings", "3", "--graph.nodes", "12", "--train.epochs", "4")
    output = ("--runtime.output", str(tmp_path))
    for wish in (("--gpus", "4"), ("--price", "2.5")):
        assert command("plan", *options, *output, *wish) == 2
        assert "--images-per-s: missing" in capsys.readouterr().err
    train(study, "er:p=0.2", [800.0], 2)
    assert command("plan", *options, *output, "--gpus", "4", "--price", "2.5") == 0
    text = capsys.readouterr().out
    images = 6 * 4 * IMAGES
    assert f"6 trainings see {images:,} images: 0.0 GPU-hours at 400 images/s a GPU, measured in 2 records" in text
    # Two groups of two GPUs, three settings of two trials: two of them, one after the other.
    assert "that is 29 s on 4 GPUs, 2 for each setting, which train 75% of the time" in text
    assert "$0.06 at $2.5 a GPU-hour" in text
    assert command("plan", *options, *output, "--images-per-s", "100", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["images_per_s"], shown["measured_records"]) == (100.0, 0)
    assert shown["gpu_hours"] == pytest.approx(images / 100 / 3600)
    assert [row["state"] for row in shown["trials"]] == ["finished"] * 2 + ["pending"] * 4


def test_the_cost_is_that_of_all_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", "--settings", "14", "--seeds", "1", "--runtime.output", str(tmp_path), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (len(shown["trials"]), shown["later_settings"]) == (10, 4)
    assert (shown["planned_trials"], shown["training_images"]) == (14, 14 * 7 * IMAGES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "1", "--workers", "2"], "--gpus: 1 cannot hold a trial of 2 workers"),
        (["--gpus", "0"], "--gpus"),
        (["--gpus-per-worker", "0.5"], "--gpus-per-worker: is for the time on so many GPUs; give --gpus too"),
        (["--gpus", "1", "--gpus-per-worker", "2"], "--gpus-per-worker: must be 1 or a part of a GPU such as 0.25"),
        (["--gpus", "1", "--gpus-per-worker", "0.5", "--workers", "2"], "0.5 is for trials of one rank"),
        (["--gpus", "1", "--gpus-per-worker", "0.5", "--runtime.device", "cpu"], "runtime.device is cpu"),
        (["--price", "-1"], "--price"),
        (["--price", "nan"], "--price"),
        (["--images-per-s", "0"], "--images-per-s"),
        (["--images-per-s", "fast"], "--images-per-s"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", *arguments, "--runtime.output", str(tmp_path)) == 2
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.strip().splitlines())) == ("", 1)
    assert message in shown.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--gpus", "4"), "on 4 GPUs, 2 for each setting"),
        (("--gpus", "1"), "on 1 GPUs, 1 for each setting"),  # as a sweep there
        (("--gpus", "4", "--train.batch_size", "63"), "on 4 GPUs, 1 for each setting"),
        # Beside the last two of its six settings, half of the GPU has nothing to do.
        (
            ("--gpus", "1", "--gpus-per-worker", "0.25"),
            "on 1 GPUs, 0.25 of one for each setting, which train 75% of the time",
        ),
    ],
)
def test_a_plan_has_the_ranks_of_the_sweep(
    options: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("plan", *options, "--images-per-s", "100", "--runtime.output", str(tmp_path)) == 0
    assert told in capsys.readouterr().out


def test_a_plan_says_on_which_share_of_a_gpu_a_rate_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = design(tmp_path, seeds=2)
    study.open()
    shared(study, "er:p=0.2", 100.0, 0.25)
    plan = ("plan", "--name", study.folder.name, "--runtime.output", str(tmp_path))
    for options, told in (
        ((), "at 400 images/s a GPU, measured in 2 records of ranks with 0.25 of a GPU"),
        (("--gpus", "1", "--gpus-per-worker", "0.25"), "measured in 2 records of ranks with 0.25 of a GPU"),
    ):
        assert command(*plan, *options) == 0
        assert told in capsys.readouterr().out
    shared(study, "er:p=0.2", 100.0, None)
    assert command(*plan, "--gpus", "1", "--gpus-per-worker", "0.25") == 0
    assert "at 100 images/s a GPU, measured in 2 records of ranks that share no GPU" in capsys.readouterr().out
    assert command(*plan) == 0
    assert "measured in 2 records\n" in capsys.readouterr().out


def test_of_rates_on_several_shares_a_plan_has_the_one_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = design(tmp_path, seeds=2)
    study.open()
    shared(study, "er:p=0.2", 100.0, 0.25)
    shared(study, "ba:m=5", 130.0, None)
    plan = ("plan", "--name", study.folder.name, "--runtime.output", str(tmp_path), "--gpus", "1")
    for options, told in (
        ((), "at 130 images/s a GPU, measured in 2 records\n"),
        (("--gpus-per-worker", "0.25"), "at 400 images/s a GPU, measured in 2 records of ranks with 0.25 of a GPU\n"),
    ):
        assert command(*plan, *options) == 0
        assert told in capsys.readouterr().out


def test_every_quantity_of_a_trial_is_that_of_its_network(tmp_path: Path) -> None:
    study = design(tmp_path, search="grid", seeds=1)
    planned = planning.plan(study, planning.listing(study))
    for trial in planned[::4]:
        row = trial.to_row()
        samples = sample_graphs(trial.config)
        counted = count(trial.config, samples)
        assert (row["params"], row["mult_adds"]) == (counted.params, counted.mult_adds)
        measures = samples["conv3"].dag.measures().to_dict()
        assert {name: row[name] for name in measures} == pytest.approx(measures, rel=1e-15)
        assert row.keys() == {*QUANTITIES, "number", "digest", "setting", "graph_seed", "train_seed", "state"}


def test_many_trials_are_shown_by_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("plan", "--search", "grid", "--generators", "ba", "--runtime.output", str(tmp_path))
    assert command(*arguments, "--seeds", "40") == 0
    assert len(capsys.readouterr().out.splitlines()) > 200
    assert command(*arguments, "--seeds", "41") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 15
    assert "205 trials of 7 epochs" in "\n".join(lines)
    (line,) = [line for line in lines if line.startswith("BA(5)")]
    words = line.split()
    assert words[1] == "41"
    assert words[4:6] == ["35", "5"]  # M(N - M) edges and M sources, of every graph
    assert words[-2:] == ["41", "pending"]
    assert command(*arguments, "--seeds", "41", "--all") == 0
    listed = capsys.readouterr().out.splitlines()
    assert len([line for line in listed if line.endswith("pending")]) == 205


def test_a_plan_of_thousands_runs_no_network_and_validates_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"measure": 0, "override": 0, "sample": 0}

    def counted(owner: Any, name: str, key: str) -> None:
        original = getattr(owner, name)

        def wrapper(*arguments: Any, **options: Any) -> Any:
            calls[key] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, wrapper)

    for cached in (complexity._measured, requirements._quantities):
        cached.cache_clear()
    counted(complexity, "measure", "measure")
    counted(type(design(tmp_path).base), "override", "override")
    counted(wiring, "sample_graphs", "sample")
    study = design(tmp_path, search="grid", seeds=40, train_seeds=4)
    assert len(planning.plan(study, planning.listing(study))) == 29 * 160
    assert calls["measure"] <= 10  # once for each kind of layer
    assert calls["override"] <= 29 * 6  # by setting, not by trial
    assert calls["sample"] == 29 * 40  # one graph for all its training seeds


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path: Path) -> None:
    keys = ("--data.holdout", "360", "--runtime.output", str(tmp_path))
    process = commands.popen(["studies/generators.py", "plan", "--json", *keys])
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), stderr) == (0, "")
