"""The kernels of `runtime.compile`, made before a training begins."""

import os
import sys
import time
from collections.abc import Mapping

import torch

from randwire.cache import cache_folder
from randwire.dag import DAG
from randwire.errors import ConfigError, one_line
from randwire.model import aggregation
from randwire.training.memory import is_out_of_memory


def prepare_kernels(dags: Mapping[str, DAG], device: torch.device, precision: str, report: bool) -> None:
    """Have the kernels of `runtime.compile` ready; `report` says on stderr how long it took.

    Raises ConfigError if they cannot be made here.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
    counts = {len(inputs) for dag in dags.values() for inputs in dag.predecessors}
    started = time.monotonic()
    try:
        aggregation.prepare(counts, device, torch.bfloat16 if precision == "bf16" else torch.float32)
    except Exception as error:  # each compiler has its own
        if is_out_of_memory(error):
            raise
        reason = one_line(error)
        raise ConfigError(
            f"runtime.compile: nothing can be compiled here ({reason[:200]}); it needs a C++ compiler for CPUs and "
            "Triton for GPUs; leave it out, or install one"
        ) from None
    if report:
        print(f"runtime.compile: ready in {time.monotonic() - started:.1f} s", file=sys.stderr)
