"""How long a fresh process takes until the first batch."""

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.loader.baseline import BATCH
from benchmarks.loader.processes import run_command

STARTS = 5
"""How often the time to the first batch is measured."""
FIRST_BATCH = """
import json, resource, sys, time
from randwire.config import DataConfig
from randwire.data import Batching, Loader, prepare
config = DataConfig.model_validate({"source": "imagenet", "path": sys.argv[1]})
dataset = prepare(config)
start = time.monotonic()
batch = next(Loader(dataset, "train", config, Batching(batch_size=int(sys.argv[2]), threads=0)).epoch(0))
end, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([start, end, used.ru_utime + used.ru_stime]))
"""
"""A process that reports when it constructs a loader, when the first batch is there, and its CPU seconds until then."""


@dataclass
class Start:
    """Seconds to the first batch in fresh processes, with an empty cache of compiled code or a filled one."""

    cache: str
    from_constructor_s: list[float]
    from_process_start_s: list[float]
    cpu_s: list[float]


def first_batches(folder: Path) -> list[Start]:
    """Fresh processes, each time one that must compile and one that finds what the former compiled."""
    starts = [Start("empty", [], [], []), Start("filled", [], [], [])]
    for _ in tqdm(range(STARTS), desc="first batches", disable=None):
        with tempfile.TemporaryDirectory() as cache:
            for start in starts:
                environment = {**os.environ, "RANDWIRE_CACHE": cache}
                environment.pop("NUMBA_CACHE_DIR", None)
                began = time.monotonic()  # one clock for all processes of a machine
                output = run_command(
                    [sys.executable, "-c", FIRST_BATCH, str(folder.absolute()), str(BATCH)], environment
                )
                constructed, end, cpu = json.loads(output)
                start.from_constructor_s.append(end - constructed)
                start.from_process_start_s.append(end - began)
                start.cpu_s.append(cpu)
    return starts
