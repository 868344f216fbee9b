"""The section `runtime`: where and how a run happens."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from randwire.config.section import Section

Device = Literal["auto", "cpu", "cuda"]
StepKind = Literal["eager", "captured", "auto"]


def _project() -> str:
    """The default is that of W&B's users, so that what is recorded is the project in which a run is."""
    return os.environ.get("WANDB_PROJECT") or "randwire"


STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""The names that a study can have."""


class RuntimeConfig(Section):
    """Where and how a run happens. Changes no number beyond floating-point order; not part of the digest."""

    output: Path = Field(Path("runs"), description="folder of all records")
    study: str = Field("local", pattern=STUDY_NAME, description="folder below output, W&B group")
    variant: str = Field("", description="variant of a study that this run belongs to; set by the study")
    device: Device = Field("auto", description="auto: cuda where there is one")
    loader_workers: int = Field(0, ge=0, description="threads of the loader in each rank; 0: from the CPUs it may use")
    checkpoint_minutes: float = Field(
        10, ge=0, description="minutes between checkpoints in the middle of an epoch; 0: at the end of epochs only"
    )
    recompute: bool = Field(
        False, description="hold less memory in training by computing nodes of random stages again in the backward pass"
    )
    compile: bool = Field(
        False,
        description="compile the aggregation in random stages, once for each number of inputs; needs g++, or a GPU",
    )
    step: StepKind = Field(
        "auto",
        description="captured: replay training steps as CUDA graphs, for small networks and batches on a GPU; has not "
        "been run on one yet, so that auto is eager",
    )
    channel_multiple: int = Field(
        1,
        ge=1,
        le=64,
        description="store the channels of random stages as a multiple of this in training, the further ones as zeros; "
        "8 may gain on a GPU in bf16, and has not been measured on one",
    )
    wandb: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto", description="auto: online if there is a key and the server answers, else offline"
    )
    project: str = Field(
        default_factory=_project, description="W&B project; not given: that of WANDB_PROJECT, if it is set"
    )

    @field_validator("output", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if value == "":
            raise ValueError("must name a folder; this one is .")
        return value
