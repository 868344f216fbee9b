"""The process group of the ranks of a trial."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ray.train.torch import TorchConfig

from randwire.sweep.ray_internals import TorchBackend
from randwire.training import gpus


class Backend(TorchBackend):
    """NCCL where all ranks can use the GPUs that they have; else gloo, and they train on CPUs.

    Ray asks nobody: it takes NCCL for whoever has a GPU, and PyTorch raises where it can use none.
    """

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        on_gpus = backend_config.backend != "nccl" or all(worker_group.execute(gpus.usable))
        super().on_start(worker_group, backend_config if on_gpus else replace(backend_config, backend="gloo"))


class RanksConfig(TorchConfig):
    """Ray Train's configuration of a group with this backend."""

    @property
    def backend_cls(self) -> type[Backend]:
        return Backend
