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
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    """1, or a part of one; 0: ranks train on CPUs."""
    gpu_share: float = 1.0
    """The share of a GPU that a rank has when as many share it as fit; 1 on CPUs."""
    losses: int = 4
    """Times that a training may be lost without a checkpoint in between before it is given up."""
    local: bool = False
    """Whether the cluster ends with the sweep, and its workers with it."""
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def resources(self) -> dict[str, float]:
        """Ray's resources of one worker."""
        return {"CPU": self.cpus_per_worker, **({"GPU": self.gpus_per_worker} if self.gpu else {})}

    @property
    def gpu(self) -> bool:
        """Whether a rank gets a GPU, or a part of one."""
        return self.gpus_per_worker > 0
