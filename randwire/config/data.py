"""The section `data`: the data set and its augmentation."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from randwire import registry, storage
from randwire.config.section import Section, no_orphan

Staging = Literal["auto", "always", "never"]
FOLDER_SOURCE = "folder"
"""The data source that stands for any set of images: which one it is belongs to the identity of a run."""


class DataConfig(Section):
    """The data set and its augmentation. Crops are as in torchvision's RandomResizedCrop and CenterCrop."""

    source: str = Field("imagenet", description="data source, a file of randwire/data/sources")
    path: str | None = Field(
        None, min_length=1, description="converted set: a folder, or a URL such as s3://bucket/set; empty: the cache"
    )
    path_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the dataset.json of source folder; filled in when it is read"
    )
    stage: Staging = Field(
        "auto", description="copy the set to $RANDWIRE_CACHE/staged first; auto: if it is a URL or on a network disk"
    )
    stage_budget_gb: float | None = Field(
        None, gt=0, description="limit of such copies in GB; unused ones are removed first; empty: what the disk holds"
    )
    holdout: int = Field(
        0,
        ge=0,
        description="images of the training split that choose in place of the validation split, which then only tells, "
        "as test_top1; we propose 10,000 for ImageNet; 0: none",
    )
    holdout_seed: int = Field(0, ge=0, lt=2**63, description="of which images these are, as even by class as can be")
    order: Literal["random", "quasi-random"] = Field(
        "random", description="of training; quasi-random reads the file part by part, for sets larger than the memory"
    )
    resolution: int = Field(224, ge=8, le=1024, description="pixels of the square input")
    start_resolution: int | None = Field(
        None, ge=8, le=1024, description="pixels in the first epochs of progressive resolution; empty: data.resolution"
    )
    ramp: tuple[float, float] = Field(
        (0.7, 0.85), description="shares of the epochs between which the resolution rises (FFCV's recipe)"
    )
    eval_resolution: int | None = Field(
        None, ge=8, le=1024, description="pixels in evaluation; 320 in Table 4 (A); empty: data.resolution"
    )
    crop_area: tuple[float, float] = Field(
        (0.08, 1.0), description="smallest and largest share of the image's area (C/R)"
    )
    crop_aspect: tuple[float, float] = Field((3 / 4, 4 / 3), description="smallest and largest width / height (C/R)")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip (C/R)")
    eval_crop: float = Field(
        0.875, gt=0, le=1, description="share of the image's side in the centre crop: 224/256 (C/R)"
    )
    rotate: float = Field(0.0, ge=0, le=180, description="largest angle of a random rotation, in degrees, either way")
    translate: float = Field(
        0.0, ge=0, lt=1, description="largest shift by a random translation, as a share of the side"
    )
    scale: tuple[float, float] = Field((1.0, 1.0), description="smallest and largest factor of a random scaling")
    shear: float = Field(
        0.0, ge=0, lt=90, description="largest angle of a random horizontal shear, in degrees, either way"
    )
    brightness: float = Field(0.0, ge=0, le=1, description="largest change of a random brightness factor from 1")
    contrast: float = Field(0.0, ge=0, le=1, description="largest change of a random contrast factor from 1")
    saturation: float = Field(0.0, ge=0, le=1, description="largest change of a random saturation factor from 1")

    @field_validator("source")
    @classmethod
    def _registered(cls, value: str) -> str:
        sources = registry.names("randwire.data.sources")
        if value not in sources:
            raise ValueError(f"unknown data source {value!r}; known: {', '.join(sources)}")
        return value

    @field_validator("crop_area", "crop_aspect", "scale")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("must be two numbers with 0 < first <= second")
        return value

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        return value if value is None or storage.is_url(value) else str(Path(value).absolute())

    @field_validator("ramp")
    @classmethod
    def _shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("must be two numbers with 0 <= first <= second <= 1")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.crop_area[1] > 1:
            raise ValueError(f"crop_area must not exceed 1, is {self.crop_area[1]:g}")
        if self.start_resolution is not None and self.start_resolution > self.resolution:
            raise ValueError(f"start_resolution must not exceed resolution, {self.resolution}")
        if self.path is not None and storage.is_url(self.path) and "@" in self.path.split("/")[2]:
            # Checked here, not at the field: its message would show the value.
            raise ValueError("path must hold no credentials, since it is recorded: they belong in the environment")
        if self.source == FOLDER_SOURCE and self.path is None:
            raise ValueError(f"source {FOLDER_SOURCE} needs path, the folder that its conversion wrote")
        if self.holdout_seed and not self.holdout:
            raise ValueError("holdout_seed stands without holdout, and decides nothing; give both, or leave it out")
        if self.source != FOLDER_SOURCE:
            no_orphan(self.path_sha256, "path")
        return self

    def resolution_in(self, epoch: int, epochs: int) -> int:
        """Pixels of the square input in an epoch (1-based) of `epochs`: progressive resolution by FFCV's recipe.

        `start_resolution` until the first share of `ramp`, then a linear rise in steps of 32, `resolution` from the
        second share on.
        """
        if self.start_resolution is None:
            return self.resolution
        first, last = (share * epochs for share in self.ramp)
        if epoch <= first:
            return self.start_resolution
        if epoch >= last:
            return self.resolution
        between = self.start_resolution + (self.resolution - self.start_resolution) * (epoch - first) / (last - first)
        return min(max(self.start_resolution, round(between / 32) * 32), self.resolution)

    def cost_of_epochs(self, epochs: int) -> float:
        """The cost of `epochs` in epochs at `resolution`: that of an image is proportional to its pixels."""
        return sum((self.resolution_in(epoch, epochs) / self.resolution) ** 2 for epoch in range(1, epochs + 1))

    @property
    def evaluation(self) -> "DataConfig":
        """The same data for evaluation: `resolution` is that of evaluation."""
        return self.model_copy(update={"resolution": self.eval_resolution or self.resolution, "eval_resolution": None})
