"""What is counted is counted in fp32, whatever trained the network."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from trained_helpers import CPU, SMALL, refused

import randwire
from randwire import data, inference
from randwire.records import Record
from randwire.training.evaluate import Normalise, evaluate, full_precision

KINDS: Mapping[str, Mapping[str, object]] = {
    "ours": SMALL,
    "published": {"network.reference": "pytorchcv:resnet20_cifar10", "data.resolution": 16},
}


def _logits(record: Path, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The logits (360, 10) of the record's checkpoint for the validation images, by autocast, and the labels."""
    trained = inference.open_trained(record)
    dataset = data.prepare(trained.config.data)
    with (
        closing(data.Loader(dataset, "val", trained.config.data, data.Batching(batch_size=90))) as loader,
        torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16),
    ):
        parts = [(trained.network(trained.normalise(images)).float(), labels) for images, labels in loader.epoch(0)]
    logits, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return logits, labels


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_in_bf16_is_evaluated_in_fp32(tmp_path: Path, kind: str) -> None:
    keys = {"train.epochs": 1, "train.precision": "bf16", "runtime.wandb": "disabled", "runtime.output": str(tmp_path)}
    folder = randwire.train("digits", {**KINDS[kind], **keys})
    (row,) = Record(folder).metrics()
    logits, labels = _logits(folder, torch.float32)
    assert row["val_top1"] == 100 * int((logits.argmax(1) == labels).sum()) / 360
    assert row["val_loss"] == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-5)
    rounded, _ = _logits(folder, torch.bfloat16)
    assert row["val_loss"] != pytest.approx(float(functional.cross_entropy(rounded, labels)), rel=1e-5)
    best = logits.topk(2).values
    assert bool((best[:, 0] > best[:, 1]).all()), "no image was decided by a tie"


class _Reading(nn.Module):
    """Logits (B, 2) that differ by 2^-12 of their size, which bf16 cannot tell; which is higher, the channels say."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False)
        self.linear.weight.data = 1 + torch.tensor([[0.0, 1, 0], [1, 0, 0]]) / 4096

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def _settings() -> tuple[str, ...]:
    backends: Any = torch.backends
    return tuple(
        setting.fp32_precision
        for setting in (backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul)
    )


def test_no_setting_of_pytorch_makes_it_less() -> None:
    network, seen = _Reading(), []
    network.register_forward_hook(lambda *_: seen.append(_settings()))
    images = torch.eye(3, dtype=torch.uint8)[:2, :, None, None]
    batches, normalise = [(images, torch.tensor([1, 0]))], Normalise([0] * 3, [1] * 3)
    before = _settings()
    assert before[0] == "tf32", "PyTorch's default, from which it must be told"
    try:
        torch.set_float32_matmul_precision("medium")
        chosen = _settings()
        with torch.autocast("cpu", torch.bfloat16):
            scores = evaluate(network, batches, normalise)
            tied = network(images.float())
        assert tied[:, 0].equal(tied[:, 1])
        assert scores.to_row()["val_top1"] == 100, "a tie would decide one of the two images at most"
        assert seen == [("ieee",) * 4, chosen]
        assert _settings() == chosen
        with pytest.raises(KeyboardInterrupt), full_precision(CPU):
            raise KeyboardInterrupt
        assert _settings() == chosen
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_precision_of_a_training_is_no_choice_of_an_evaluation(trained: Path) -> None:
    line = refused(str(trained), "--evaluate", "--train.precision", "bf16")
    assert "train.precision: is what" in line
