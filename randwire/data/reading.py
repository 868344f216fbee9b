"""How image files become pixels: what of it is chosen, recorded with a set, and done again for what is predicted."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Level = Annotated[int, Field(ge=0, le=255)]


class Reading(BaseModel):
    """How the image files of a set are read.

    upright: turned as their EXIF data says. background: the colour (red, green, blue) under what is transparent.
    value_range: the values of 32-bit integer and float images that become 0 and 255; None: such images are refused.
    max_pixels: of an image; larger ones are refused, before their pixels are read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    upright: bool = True
    background: tuple[Level, Level, Level] = (255, 255, 255)
    value_range: tuple[float, float] | None = None
    max_pixels: Annotated[int, Field(ge=1)] = 300_000_000

    @field_validator("value_range")
    @classmethod
    def _rises(cls, value_range: tuple[float, float] | None) -> tuple[float, float] | None:
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError("the value that becomes black must be less than that which becomes white")
        return value_range
