"""The file dataset.json beside the images of a converted set: what the set is, and how it was made."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from randwire.data.reading import Reading
from randwire.data.sources import SPLITS, Mode, Split, load_source
from randwire.errors import DataError

SIDECAR = "dataset.json"
FORMAT: Literal[3] = 3

Channels = tuple[float, float, float]

MIN_STD = 1.0
"""The least standard deviation, in 0..255, that a conversion stores: images are divided by it. One step of an 8-bit
image is the least by which another image, such as one to be predicted, can differ."""


class FileRecord(BaseModel):
    """Size in bytes and SHA-256 of one file, and that of its tables: all of it but the images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str
    tables_sha256: str


class Sidecar(BaseModel):
    """The content of dataset.json.

    mode, quality, compress_probability and reduced_to are how the images are stored (`codec.Encoding`), max_side is the
    largest side that there is. source_sha256 is over the SHA-256 of each image as it was found, in order: the same
    whether they came from an archive or from files. skipped names the images that could not be used; left_out counts,
    by reason, what was found beside images. options are those of the source that decide which images a split has. std
    is never 0, whatever the file says. Files of format 2, which lack reading and left_out, are read, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[2, 3] = FORMAT
    source: str
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    sizes: dict[Split, Annotated[int, Field(ge=1)]]
    mean: Channels
    std: Channels
    mode: Mode
    quality: Annotated[int, Field(ge=1, le=100)] | None
    compress_probability: Annotated[float, Field(ge=0, le=1)] | None
    reduced_to: Annotated[int, Field(ge=1)] | None
    max_side: int
    source_sha256: dict[Split, str]
    skipped: dict[Split, tuple[str, ...]]
    left_out: dict[Split, dict[str, int]] = {}
    reading: Reading = Reading()
    options: dict[str, int | float] = {}
    files: dict[str, FileRecord]

    @property
    def encoding(self) -> dict[str, Any]:
        """How the images are stored, in plain values: the arguments of `codec.Encoding`."""
        chosen = {"quality": self.quality, "compress_probability": self.compress_probability}
        given = {name: value for name, value in chosen.items() if value is not None}
        return {"mode": self.mode, "max_side": self.reduced_to, **given}

    @field_validator("std")
    @classmethod
    def _can_be_divided_by(cls, std: Channels) -> Channels:
        if min(std) < 0:
            raise ValueError("a standard deviation is not negative")
        red, green, blue = (value or MIN_STD for value in std)
        return red, green, blue

    @model_validator(mode="before")
    @classmethod
    def _read_as_before(cls, content: Any) -> Any:
        """Sets of format 2 were read as their source says, without a choice."""
        if isinstance(content, dict) and content.get("format") == 2 and "reading" not in content:
            return {**content, "reading": {"upright": load_source(str(content.get("source"))).upright}}
        return content


def parse(content: bytes, name: str) -> Sidecar:
    """The content of the file `name`. Raises DataError if it is damaged, incomplete or of another version."""
    try:
        sidecar = Sidecar.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise DataError(f"{name}: damaged or of another version ({reason}); convert the data again") from None
    if "reading" not in sidecar.model_fields_set:  # a guess could be seen in no result
        raise DataError(f"{name}: damaged: it does not say how its images were read; convert the data again")
    if missing := [split for split in SPLITS if split not in sidecar.sizes or f"{split}.beton" not in sidecar.files]:
        raise DataError(f"{name}: damaged: it does not describe {missing[0]}; convert the data again")
    return sidecar
