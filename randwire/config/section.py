"""What all sections of the configuration share."""

from pydantic import BaseModel, ConfigDict

CERTAINTY = {
    "A": "read off the paper",
    "B": "several sources agree",
    "C": "one source",
    "R": "recalled",
    "-": "not established, our choice",
}
"""How certain the value is that the paper used: the codes in the descriptions of keys."""


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def no_orphan(sha256: str | None, key: str) -> None:
    if sha256 is not None:
        raise ValueError(f"{key}_sha256 stands without {key}; it is filled in, leave it out")
