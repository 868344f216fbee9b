"""The table of metrics: one entry is all that a new one needs."""

from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from torch.nn import functional

from randwire import config as configuration
from randwire import metrics, report, run
from randwire.cli import train_command
from randwire.metrics import EvaluationMetric, Outputs
from randwire.report.plots import learning_curves
from randwire.tracking import wandb_tracker
from randwire.training import evaluate, finite


def test_the_evaluation_counts_as_the_definitions_say() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
    outputs = Outputs(logits, labels)
    ranks = (logits > logits.gather(1, labels[:, None])).sum(1)
    assert metrics.VAL_TOP1.count(outputs) == (ranks < 1).sum()
    assert metrics.VAL_TOP5.count(outputs) == (ranks < 5).sum()
    assert metrics.VAL_LOSS.count(outputs) == functional.cross_entropy(logits, labels, reduction="sum")
    few = Outputs(logits[:, :3], labels % 3)
    assert metrics.VAL_TOP5.count(few) == 50, "of three classes all count"


def test_texts_and_names() -> None:
    assert metrics.VAL_TOP1.title == "val top-1 (%)"
    assert metrics.VAL_TOP1.text(77.5) == "val top-1 77.50%"
    assert metrics.IMAGES_PER_S.text(1234.5) == "speed 1234 images/s"
    assert metrics.TEST_TOP1.text(77.5) == "test top-1 77.50%"
    assert metrics.choosing({"val_top1": 1, "test_top1": 2, "test_images": 3, "status": 4}) == {
        "val_top1": 1,
        "status": 4,
    }
    assert metrics.LR.text(0.1) == "lr 0.1000"
    every = (*metrics.METRICS, metrics.BEST_TOP1, *metrics.TEST)
    keys = [metric.key for metric in every]
    names = [metric.wandb for metric in every]
    assert len(set(keys)) == len(set(names)) == len(keys)


def test_a_new_metric_is_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The entry alone brings it to rows, terminal, W&B, and the curves and table of the report."""
    new = EvaluationMetric(
        "val_sure", "val sure", "%", "val/sure", ".1f", curve=True, brief=True,
        count=lambda outputs: (outputs.logits.softmax(1).amax(1) > 0.5).sum(),
    )  # fmt: skip
    for module in (evaluate, finite, wandb_tracker, learning_curves, train_command):
        for name in ("EVALUATION", "METRICS"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, (*getattr(metrics, name), new))
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(wandb.Run, "log", lambda run, row: sent.append(row))
    tiny = {"graph.nodes": 6, "network.channels": 4, "network.head": 16, "train.epochs": 1}
    config = configuration.load("digits", {**tiny, "runtime.output": str(tmp_path), "runtime.wandb": "offline"})
    assert train_command.train_one(config) == 0
    (row,) = run.record_of(config).metrics()
    assert 0 <= row["val_sure"] <= 100
    assert f"  val sure {row['val_sure']:.1f}%" in capfd.readouterr().err
    assert [logged["val/sure"] for logged in sent if logged["epoch"] == 1] == [row["val_sure"]]
    assert "val sure (%)" in report.learning_curves(tmp_path / "local").to_json()
    report.write_table(tmp_path / "local", tmp_path / "table.csv")
    assert "val_sure" in (tmp_path / "table.csv").read_text()
