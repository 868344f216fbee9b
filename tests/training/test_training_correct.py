"""What a training leaves of which images it got right: `correct.npz` in its record."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import commands
import data_helpers
import numpy as np
import pytest
from test_train import CPU, SMALL, Stopping, settings

from randwire import data, inference, run
from randwire.config import RunConfig
from randwire.correct import FILE, Bits, Correct
from randwire.records import Record
from randwire.training import checkpoint
from randwire.training.evaluate import Scores, evaluate
from randwire.training.worker import ProcessWorker

IMAGES, HOLDOUT = 360, 301


def _correct(record: Record) -> Correct:
    correct = Correct.load(record)
    assert correct is not None
    return correct


def _of_checkpoint(record: Record, split: data.Reading = "val") -> Bits:
    """The bits of an evaluation of the newest checkpoint on one rank."""
    trained = inference.open_trained(record.folder)
    dataset = data.prepare(trained.config.data)
    with closing(data.Loader(dataset, split, trained.config.data, data.Batching(batch_size=50))) as loader:
        return evaluate(trained.network, loader.epoch(0), trained.normalise).correct


def _sha256(config: RunConfig, file: str = "val.beton") -> str:
    return data.prepare(config.data).sha256[file]


@pytest.mark.parametrize("worker", [ProcessWorker(CPU), Stopping(CPU)], ids=["finished", "pruned"])
def test_a_record_has_the_images_that_its_last_evaluation_got_right(tmp_path: Path, worker: ProcessWorker) -> None:
    config = settings(tmp_path)
    summary = run.run(config, worker)
    record = run.record_of(config)
    correct = _correct(record)
    assert (correct.split, correct.sha256, len(correct.bits)) == ("val", _sha256(config), IMAGES)
    assert correct.top1 == summary["val_top1"] == record.metrics()[-1]["val_top1"]
    assert 0 < correct.bits.sum() < IMAGES
    assert np.array_equal(correct.bits, _of_checkpoint(record))


class _InTheMidst(ProcessWorker):
    """Notes what lies in the record after each epoch."""

    def __init__(self, record: Record) -> None:
        super().__init__(CPU)
        self.record, self.seen = record, list[tuple[str, int, float]]()

    def report(self, row: Mapping[str, Any]) -> bool:
        correct = _correct(self.record)
        self.seen.append((correct.split, len(correct.bits), correct.top1 - row["val_top1"]))
        return False


def test_with_a_holdout_the_images_that_tell_replace_those_that_choose(tmp_path: Path) -> None:
    config = settings(tmp_path, data__holdout=HOLDOUT, train__epochs=2)
    record = run.record_of(config)
    worker = _InTheMidst(record)
    summary = run.run(config, worker)
    assert worker.seen == [("holdout", HOLDOUT, 0.0)] * 2
    correct = _correct(record)
    assert (correct.split, correct.sha256, len(correct.bits)) == ("val", _sha256(config), IMAGES)
    assert correct.top1 == summary["test_top1"]
    assert np.array_equal(correct.bits, _of_checkpoint(record))
    pruned = settings(tmp_path, data__holdout=HOLDOUT)
    run.run(pruned, Stopping(CPU))
    correct = _correct(run.record_of(pruned))
    assert (correct.split, correct.sha256) == ("holdout", _sha256(pruned, "train.beton"))
    assert np.array_equal(correct.bits, _of_checkpoint(run.record_of(pruned), "holdout"))


def test_an_epoch_whose_scores_are_no_numbers_leaves_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(tmp_path, train__epochs=1)
    monkeypatch.setattr(Scores, "to_row", lambda scores, test=False: {"val_loss": float("inf")})
    summary = run.run(config, ProcessWorker(CPU))
    assert (summary["status"], summary["cause"][:11]) == ("failed", "val loss is")
    record = run.record_of(config)
    assert (record.metrics(), Correct.load(record)) == ([], None)


MOMENTS = {
    "before the row": (Record, "append_metrics", 2),
    "before the checkpoint": (checkpoint, "save", 2),
    "after the checkpoint": (checkpoint, "save", 2),
    "before the summary": (run, "summarise", 1),
}
"""What a kill comes before or after, and at which call of it."""


@pytest.mark.parametrize("holdout", [0, HOLDOUT])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_training_goes_on_to_a_record_that_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, holdout: int
) -> None:
    config = settings(tmp_path, data__holdout=holdout, train__epochs=2)
    record, key = run.record_of(config), "test_top1" if holdout else "val_top1"
    where, name, at = MOMENTS[moment]
    original, calls = getattr(where, name), [0]

    def killed(*arguments: Any, **keys: Any) -> Any:
        calls[0] += 1
        if calls[0] < at:
            return original(*arguments, **keys)
        if moment.startswith("after"):
            original(*arguments, **keys)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, killed)
        with pytest.raises(KeyboardInterrupt):
            run.run(config, ProcessWorker(CPU))
    left, evaluated = _correct(record), [0]
    with monkeypatch.context() as patch:
        patch.setattr(run, "evaluate", _counting(evaluated))
        summary = run.run(config, ProcessWorker(CPU))
    assert evaluated[0] == (moment in ("before the row", "before the checkpoint")) + bool(holdout)
    correct = _correct(record)
    assert (correct.split, correct.top1) == ("val", summary[key])
    assert np.array_equal(correct.bits, _of_checkpoint(record))
    if not holdout or moment == "before the summary":
        assert np.array_equal(correct.bits, left.bits), "the same epoch again gives the same images"


def _counting(calls: list[int]) -> Any:
    def counted(*arguments: Any) -> Any:
        calls[0] += 1
        return evaluate(*arguments)

    return counted


def test_three_processes_write_what_one_counts(tmp_path: Path) -> None:
    """Of 101 images the ranks get 34, 34 and 33."""
    data_helpers.build(tmp_path / "noise", data_helpers.noise(20), data_helpers.noise(101, seed=1))
    keys = {**SMALL, "data.path": tmp_path / "noise", "train.batch_size": 9, "train.epochs": 1,
            "runtime.output": tmp_path}  # fmt: skip
    options = [f"--{key}={value}" for key, value in keys.items()]
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "3", "--rdzv-backend=c10d",
                "--rdzv-endpoint=127.0.0.1:0")  # fmt: skip
    done = commands.run(*launcher, "train.py", "digits", *options)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("local/*/config.yaml")
    record = Record(path.parent)
    assert [part["world_size"] for part in record.read_json("environment.json")] == [3]
    correct = _correct(record)
    assert len(correct.bits) == 101
    assert correct.bits.sum() > 0
    assert correct.top1 == record.metrics()[-1]["val_top1"]
    assert np.array_equal(correct.bits, _of_checkpoint(record))
    assert (record.folder / FILE).stat().st_size < 1500
