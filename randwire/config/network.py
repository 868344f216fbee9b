"""The section `network`: the network around the graphs, or a published one in its place."""

import re
from typing import Literal

from pydantic import Field, field_validator

from randwire import registry
from randwire.config.section import Section

MIN_CHANNELS, MAX_CHANNELS = 2, 4096
"""Bounds of the base channels."""


class NetworkConfig(Section):
    """The network around the graphs (paper, Table 1 and section 3.1)."""

    regime: Literal["small", "regular", "tiny"] = Field(
        "small", description="columns of Table 1 (A); tiny: small with a stem at stride 1"
    )
    channels: int = Field(
        78, ge=MIN_CHANNELS, le=MAX_CHANNELS, description="base channels: 78 small, 109 and 154 regular (B)"
    )
    op: str = Field("sepconv", description="node operation, a file of randwire/model/ops")
    head: int = Field(1280, ge=1, description="channels of the 1x1 convolution of the classifier (A)")
    head_relu: bool = Field(True, description="ReLU between the last BN and the pooling of the classifier (-)")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="before the fully connected layer; 0.2 in the regular regime (B)"
    )
    drop_edge: float = Field(
        0.0, ge=0, le=1, description="probability to do a step without one edge; 0.1 in the regular regime (C)"
    )
    drop_edge_scope: Literal["stage", "network"] = Field(
        "stage", description="one draw for each random stage, or one for the whole network (-)"
    )
    drop_edge_ranks: Literal["shared", "independent"] = Field(
        "shared", description="the same edge on all ranks of a step, or one for each (-)"
    )
    aggregation_init: float = Field(0.0, description="initial aggregation parameter; its sigmoid is the weight (-)")
    reference: str | None = Field(
        None, description="a published network instead, such as pytorchcv:resnet50b: no graph.* nor other network.* key"
    )

    @field_validator("op")
    @classmethod
    def _registered(cls, value: str) -> str:
        ops = registry.names("randwire.model.ops")
        if value not in ops:
            raise ValueError(f"unknown node operation {value!r}; known: {', '.join(ops)}")
        return value

    @field_validator("reference")
    @classmethod
    def _of_a_provider(cls, value: str | None) -> str | None:
        # Which names a provider has is known where networks are built: records stay readable without its package.
        providers = registry.names("randwire.model.references")
        if value is not None and not re.fullmatch(rf"({'|'.join(providers)}):[A-Za-z0-9]\w*", value):
            raise ValueError(f"must be PROVIDER:NAME, such as pytorchcv:resnet50b; providers: {', '.join(providers)}")
        return value
