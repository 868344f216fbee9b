"""A training with a holdout: what chooses, what tells, and when the validation split is looked at."""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import commands
import pytest
from test_train import CPU, Stopping, numbers, settings
from trained_helpers import Interrupting

from randwire import data, inference, run
from randwire.config import RunConfig
from randwire.errors import ConfigError
from randwire.metrics import TEST, TEST_TOP1
from randwire.records import Record
from randwire.tracking import WandbTracker
from randwire.training.evaluate import Scores, evaluate
from randwire.training.worker import ProcessWorker

HOLDOUT, VAL = 300, 360
KEYS = {metric.key for metric in TEST}


def _settings(folder: Path, **keys: object) -> RunConfig:
    return settings(folder, **{"data__holdout": HOLDOUT, "train__epochs": 2, **keys})


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = _settings(tmp_path_factory.mktemp("whole"))
    run.run(config, ProcessWorker(CPU))
    return run.record_of(config)


def _summary(record: Record) -> dict[str, Any]:
    """The summary without what depends on the clock."""
    summary = record.summary()
    assert summary is not None
    return {key: value for key, value in summary.items() if key != "seconds"}


def _scores(record: Record, split: data.Reading) -> Scores:
    trained = inference.open_trained(record.folder)
    dataset = data.prepare(trained.config.data)
    with closing(data.Loader(dataset, split, trained.config.data, data.Batching(batch_size=50))) as loader:
        return evaluate(trained.network, loader.epoch(0), trained.normalise)


def test_rows_are_of_the_holdout_and_the_summary_tells_of_the_validation_split(record: Record) -> None:
    summary = _summary(record)
    held_out, official = _scores(record, "holdout"), _scores(record, "val")
    assert (held_out.images, official.images) == (HOLDOUT, VAL)
    last = record.metrics()[-1]
    expected = {key: pytest.approx(value, rel=1e-4) for key, value in held_out.to_row().items()}
    assert {key: last[key] for key in expected} == expected
    assert summary["val_top1"] == last["val_top1"]
    told = {key: pytest.approx(value, rel=1e-4) for key, value in official.to_row(test=True).items()}
    assert {key: summary[key] for key in KEYS} == told
    assert summary["test_top1"] != summary["val_top1"]
    assert not KEYS & {key for row in record.metrics() for key in row}
    assert last["steps"] == (1437 - HOLDOUT) // 64


def test_a_run_without_a_holdout_has_no_test(tmp_path: Path) -> None:
    config = settings(tmp_path, train__epochs=1)
    assert not KEYS & set(run.run(config, ProcessWorker(CPU)))


def test_holdouts_name_runs(tmp_path: Path) -> None:
    digests = {
        _settings(tmp_path, **keys).digest
        for keys in ({"data__holdout": 0}, {}, {"data__holdout": 301}, {"data__holdout_seed": 1})
    }
    assert len(digests) == 4


class EndingAfterTheLast(ProcessWorker):
    """Ctrl-C between the last epoch and the summary."""

    def report(self, row: Mapping[str, Any]) -> bool:
        if row["epoch"] == 2:
            raise KeyboardInterrupt
        return False


@pytest.mark.parametrize("worker", [Interrupting(1), EndingAfterTheLast(CPU)], ids=["epoch 1", "before the summary"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path: Path, record: Record, worker: ProcessWorker) -> None:
    config = _settings(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run(config, worker)
    parts = run.record_of(config)
    assert parts.summary() is None
    run.run(config, ProcessWorker(CPU))
    assert numbers(parts) == numbers(record)
    assert _summary(parts) == _summary(record)


def test_the_validation_split_is_evaluated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = data.Loader

    def spy(dataset: data.Dataset, split: data.Reading, *rest: Any) -> data.Loader:
        read.append(split)
        return original(dataset, split, *rest)

    monkeypatch.setattr(data, "Loader", spy, raising=False)
    run.run(_settings(tmp_path), ProcessWorker(CPU))
    assert read == ["train", "holdout", "val"]
    read.clear()
    run.run(_settings(tmp_path), ProcessWorker(CPU))
    assert read == [], "an ended trial is not run again"
    assert run.run(_settings(tmp_path, train__epochs=3), Stopping(CPU))["status"] == "pruned"
    assert read == ["train", "holdout"]


def test_pruned_and_failed_trials_are_not_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned = run.run(_settings(tmp_path, train__epochs=3), Stopping(CPU))
    failed = run.run(_settings(tmp_path, train__lr=1e30), ProcessWorker(CPU))
    assert (pruned["status"], failed["status"]) == ("pruned", "failed")
    assert not KEYS & {*pruned, *failed}
    # A network that cannot be judged by the images that tell has failed too.
    monkeypatch.setattr(Scores, "to_row", _infinite_test)
    summary = run.run(_settings(tmp_path, graph__seed=1), ProcessWorker(CPU))
    assert (summary["status"], summary["epochs"]) == ("failed", 2)
    assert summary["cause"].startswith("test loss is inf after epoch 2 ")
    assert not KEYS & set(summary)


def _infinite_test(scores: Scores, test: bool = False) -> dict[str, float]:
    prefix = "test" if test else "val"
    return {f"{prefix}_loss": float("inf") if test else 1.0, f"{prefix}_top1": 50.0, f"{prefix}_top5": 90.0}


def test_channels_are_normalised_by_the_whole_split(record: Record) -> None:
    """Two means of the same pictures would make networks with and without a holdout differ in their input."""
    trained = inference.open_trained(record.folder)
    dataset = data.prepare(trained.config.data.model_copy(update={"holdout": 0}))
    assert (trained.mean, trained.std) == (dataset.mean, dataset.std)


def test_a_later_evaluation_is_of_the_validation_split(record: Record) -> None:
    done = commands.call("train.py", str(record.folder), "--evaluate", "--data.resolution", "16")
    row = json.loads(done.stdout)
    assert (row["test_top1"], row["images"]) == (_summary(record)["test_top1"], VAL)
    assert "val_top1" not in row
    assert "test top-1" in done.stderr
    assert record.rows(inference.EVALUATIONS_FILE)[-1] == row
    for key in ("data.holdout", "data.holdout_seed"):
        with pytest.raises(ConfigError, match=rf"^{key}: is what .* was trained with"):
            inference.evaluate(record.folder, {key: 1})


def test_the_terminal_and_wandb_get_it_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[dict[str, Any]] = []
    monkeypatch.setattr(WandbTracker, "_end", lambda tracker, run, status: updates.append(dict(run.summary)))
    keys = [f"--{key}" for key in ("data.holdout=300", "train.epochs=1", "runtime.wandb=offline")]
    done = commands.call("train.py", "digits", *commands.TINY, *keys, "--runtime.output", str(tmp_path))
    summary = json.loads(done.stdout)
    assert f"which chose nothing: test loss {summary['test_loss']:.4f}, test top-1" in done.stderr
    (sent,) = updates
    assert {metric.wandb: sent[metric.wandb] for metric in TEST} == {
        metric.wandb: summary[metric.key] for metric in TEST
    }
    assert not any(key.startswith("trial/test") for key in sent)
    assert TEST_TOP1.wandb == "test/top1"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["--data.holdout", "1400"], "data.holdout: 1400 of the 1437 training images of digits leave fewer than"),
        (["--data.holdout", "-1"], "data.holdout: input should be greater than or equal to 0, is -1"),
        (["--data.holdout", "2.5"], "data.holdout: "),
        (["--data.holdout_seed", "3"], "holdout_seed stands without holdout"),
        (["--data.holdout", "9", "--data.holdout_seed", "-3"], "data.holdout_seed: "),
    ],
)
def test_impossible_holdouts_get_one_line(keys: list[str], message: str, tmp_path: Path) -> None:
    done = commands.call("train.py", "digits", *keys, "--runtime.output", str(tmp_path), "--runtime.wandb", "disabled")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr
