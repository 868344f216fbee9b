"""The section `train`: the optimisation."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from randwire.config.section import Section, no_orphan


class TrainConfig(Section):
    """The optimisation (paper, section 4)."""

    epochs: int = Field(100, ge=1, description="250 for Table 2 (B), 100 for Figure 4 (R) and the regular regime (A)")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of weights, data order, augmentation and dropout")
    batch_size: int = Field(256, ge=1, description="images in a step over all ranks (R)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="optimizer (B)")
    lr: float = Field(0.1, gt=0, description="learning rate at the start of the schedule, after warm-up (B)")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD (B)")
    nesterov: bool = Field(False, description="Nesterov momentum of SGD (-)")
    betas: tuple[float, float] = Field((0.9, 0.999), description="decay rates of the moments of Adam and AdamW")
    eps: float = Field(1e-8, gt=0, description="added to the denominator of Adam and AdamW")
    weight_decay: float = Field(5e-5, ge=0, description="decay of the weights: 5e-5 small (B), 1e-5 regular (R)")
    decay_vectors: bool = Field(False, description="decay BN, biases and aggregation parameters (ndim < 2) too (-)")
    schedule: Literal["cosine", "step", "exponential"] = Field(
        "cosine", description="of the learning rate; cosine: half a cosine to 0 (B)"
    )
    milestones: tuple[float, ...] = Field(
        (0.5, 0.75), description="of the step schedule: shares of the epochs after warm-up where lr drops"
    )
    milestone_factor: float = Field(0.1, gt=0, le=1, description="of the step schedule: factor of lr at a milestone")
    epoch_factor: float = Field(0.97, gt=0, le=1, description="of the exponential schedule: factor of lr an epoch")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs of linear warm-up before the schedule (-)")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="probability mass spread over all classes (B)")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: off")
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32",
        description="tf32: products and convolutions of the training in TF32, on GPUs; bf16: autocast of its forward "
        "pass; evaluation is in fp32",
    )
    pretrained: Path | None = Field(None, description="initial weights: a record, or a checkpoint or safetensors file")
    pretrained_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the file at train.pretrained; filled in when it is read"
    )

    @field_validator("betas")
    @classmethod
    def _rates(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("must be two numbers with 0 <= number < 1")
        return value

    @field_validator("milestones")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or not all(0 < share < 1 for share in value):
            raise ValueError("must be ascending numbers between 0 and 1")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be below epochs ({self.epochs})")
        if self.nesterov and (self.momentum == 0 or self.optimizer != "sgd"):
            raise ValueError("nesterov needs optimizer sgd with a momentum above 0")
        if self.pretrained is None:
            no_orphan(self.pretrained_sha256, "pretrained")
        return self
