"""The table of metrics: what is measured in every epoch of a training, and how it is named, counted and shown.

Rows of records, W&B, curves, tables and the terminal take keys and labels from here. To add a metric of the evaluation,
add an entry to EVALUATION, with the function that counts it; of the training, an entry to METRICS, and its value to
what `training.loop.train_epoch` returns. It then is in all of these. Needs no torch to be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """A number of a training."""

    key: str
    """In rows of metrics.jsonl, summaries and tables."""
    label: str
    """In words, for people."""
    unit: str = ""
    wandb: str = ""
    """The key in W&B."""
    digits: str = ".4f"
    """The format of its values in text."""
    curve: bool = False
    """Whether the report draws it against the epoch."""
    brief: bool = False
    """Whether the line of an epoch on the terminal shows it."""

    @property
    def title(self) -> str:
        """The label with the unit: `val top-1 (%)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, value: float) -> str:
        """A value with label and unit: `val top-1 77.50%`."""
        return f"{self.label} {value:{self.digits}}{'' if self.unit in ('', '%') else ' '}{self.unit}"


@dataclass(frozen=True)
class Outputs:
    """What an evaluation counts in: logits (B, classes), float32, and labels (B,) of one batch, on one device."""

    logits: Tensor
    labels: Tensor

    @cached_property
    def hits(self) -> Tensor:
        """Bool (B, min(5, classes)): whether the class of each rank, the most probable first, is the label."""
        return self.logits.topk(min(5, self.logits.shape[1])).indices == self.labels[:, None]


@dataclass(frozen=True, kw_only=True)
class EvaluationMetric(Metric):
    """A metric of the validation split: a mean over its images, of those with the unit % a share of them."""

    count: Callable[[Outputs], Tensor]
    """The sum over a batch, a tensor without dimensions on the batch's device; never waits for the device."""

    def mean(self, total: float, images: int) -> float:
        """The value for a total over `images` images."""
        return (100 * total if self.unit == "%" else total) / images

    @property
    def test(self) -> EvaluationMetric:
        """The same metric of the validation split where images held out of the training split choose in its place."""
        return replace(
            self,
            key=f"test_{self.key.removeprefix('val_')}",
            label=f"test {self.label.removeprefix('val ')}",
            wandb=self.wandb and f"test/{self.wandb.removeprefix('val/')}",
        )


def _cross_entropy(outputs: Outputs) -> Tensor:
    """Without label smoothing."""
    from torch.nn import functional

    return functional.cross_entropy(outputs.logits, outputs.labels, reduction="sum")


def _top1(outputs: Outputs) -> Tensor:
    return outputs.hits[:, 0].sum()


def _top5(outputs: Outputs) -> Tensor:
    """Of fewer than five classes, all count."""
    return outputs.hits.sum()


EVALUATION = (
    EvaluationMetric(key="val_loss", label="val loss", wandb="val/loss", curve=True, brief=True, count=_cross_entropy),
    EvaluationMetric(
        key="val_top1", label="val top-1", unit="%", wandb="val/top1", digits=".2f", curve=True, brief=True, count=_top1
    ),
    EvaluationMetric(
        key="val_top5", label="val top-5", unit="%", wandb="val/top5", digits=".2f", curve=True, count=_top5
    ),
)
"""The metrics of the validation split, in the order of a row."""
VAL_LOSS, VAL_TOP1, VAL_TOP5 = EVALUATION[:3]

TEST = tuple(metric.test for metric in EVALUATION)
"""The same of the images that only tell: see `data.holdout`. They are counted once, after the last epoch, and stand in
summaries alone; nothing that chooses gets to see them."""
TEST_LOSS, TEST_TOP1, TEST_TOP5 = TEST[:3]
TEST_IMAGES = "test_images"
"""How many these images are, in summaries."""


def choosing(values: Mapping[str, Any]) -> dict[str, Any]:
    """A summary without what only tells: what those may see that choose, and all that is on its way to them."""
    telling = {TEST_IMAGES, *(metric.key for metric in TEST)}
    return {key: value for key, value in values.items() if key not in telling}


METRICS: tuple[Metric, ...] = (
    # The learning rate of an epoch's first step.
    LR := Metric("lr", "lr", wandb="lr", brief=True),
    # Mean over the steps of an epoch, with label smoothing.
    TRAIN_LOSS := Metric("train_loss", "train loss", wandb="train/loss", curve=True, brief=True),
    *EVALUATION,
    # Trained images a second, of all ranks together.
    IMAGES_PER_S := Metric("images_per_s", "speed", "images/s", "speed/images_per_s", ".0f", brief=True),
    SECONDS_LOADER := Metric("seconds_loader", "waiting for images", "s", "speed/seconds_loader", ".1f"),
    # Seconds of an epoch's training without those in which it waits for images.
    SECONDS_STEP := Metric("seconds_step", "training", "s", "speed/seconds_step", ".1f"),
    STEPS := Metric("steps", "steps", wandb="speed/steps", digits="d"),
)
"""All numbers of an epoch's row, in the order in which they are shown."""

BEST_TOP1 = Metric("best_top1", "best val top-1", "%", "val/top1_best", ".2f")
"""The highest top-1 of any epoch so far; in summaries, and in W&B after every epoch."""
