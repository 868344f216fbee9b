"""Random graph generators: one file each. `parse("ws:k=4,p=0.75")` gives the generator of a spec."""

from randwire.graphs._base import Domain, Generator, SampledGraph
from randwire.graphs._saved import ALL_STAGES, read_saved, saved_sha256
from randwire.graphs._spec import parse

__all__ = ["ALL_STAGES", "Domain", "Generator", "SampledGraph", "parse", "read_saved", "saved_sha256"]
