"""What the driver of a sweep gives its workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from randwire.study.design import Design
from randwire.sweep.cluster import Timeouts


@dataclass(frozen=True)
class Job:
    """What all worker groups of a sweep are started with: the study, and what a training takes of the cluster."""

    design: Design
    """With an absolute output folder: workers have another working directory."""
    workers: int
    """Ranks of a training."""
    scratch: str
    """Folder on the head for what Ray keeps of a sweep."""
    command: str = ""
    """Command line of the sweep, for the records."""
    gpu: bool = False
    """Whether a rank gets a GPU."""
    cpus_per_worker: int = 1
    losses: int = 4
    """Times that a training may be lost without a checkpoint in between before it is given up."""
    local: bool = False
    """Whether the cluster ends with the sweep, and its workers with it."""
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def resources(self) -> dict[str, float]:
        """Ray's resources of one worker."""
        return {"CPU": self.cpus_per_worker, **({"GPU": 1} if self.gpu else {})}
