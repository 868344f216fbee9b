"""The section `graph`: the random graphs of the stages."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from randwire import graphs
from randwire.config.section import Section, no_orphan


class GraphConfig(Section):
    """The random graphs of the stages (paper, sections 3.2 and 3.3)."""

    generator: str = Field("ws:k=4,p=0.75", description="generator and parameters, such as er:p=0.2, ba:m=5")
    nodes: int = Field(32, ge=1, le=4096, description="N, nodes of a stage without its input and output node (B)")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the graphs, and of nothing else")
    stages: Literal["shared", "independent"] = Field(
        "shared", description="one graph for all stages of equal size, as the paper's Figure 1 shows, or one for each"
    )
    path: Path | None = Field(
        None,
        description="saved ones: of a record, a .safetensors, a folder with conv3.txt, ..., or one .txt for all stages",
    )
    path_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the graphs at graph.path; filled in when they are read"
    )

    @field_validator("generator")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return str(graphs.parse(value))

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.path is None:
            no_orphan(self.path_sha256, "path")
            try:
                graphs.parse(self.generator).check(self.nodes)
            except ValueError as error:  # a generator's own message may not name it
                raise ValueError(str(error) if self.generator in str(error) else f"{self.generator}: {error}") from None
        return self
