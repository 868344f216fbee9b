"""Runs a group of cases on the emulated CUDA device, and prints what each did as JSON: `emulated_cases.py GROUP`."""

import gc
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import emulated_cuda
import torch
from emulated_operations import SETUP, Operations, Wait
from emulated_runs import BEFORE, END, EVALUATION, Run, batches, settings

SHARE = 0.9
"""Of a step or of a batch: what the device must have to do at least while the host waits for an event."""
Case = Callable[[Operations], Mapping[str, Any]]
TINY: Mapping[str, object] = {
    "graph.generator": "complete", "graph.nodes": 3, "network.channels": 8, "network.head": 16,
}  # fmt: skip


def training(preset: str, keys: Mapping[str, object], steps: int = 2, evaluated: bool = True, ranks: int = 1) -> Case:
    """An epoch, then an evaluation whose last batch is smaller."""

    def case(operations: Operations) -> Mapping[str, Any]:
        config = settings(preset, keys)
        run = Run(operations, config, ranks)
        side = config.data.resolution
        run.train(batches(steps, 16, side))
        if evaluated:
            run.evaluate([*batches(3 if steps > 2 else 2, 16, side), *batches(1, 3, side)])
        with operations.during(END):
            run.step.close()
        launched = {"step": run.launched_in_a_step, EVALUATION: run.launched_in_a_batch}
        return {"step": run.of_a_step, "batch": run.of_a_batch, "launched": launched}

    return case


def results(cases: Mapping[str, Case]) -> dict[str, Any]:
    """What each case did, by its name."""
    return {name: result(case) for name, case in cases.items()}


def result(case: Case) -> dict[str, Any]:
    """What a case says of itself, waits by where in an epoch, faults of streams, and the error that ended it."""
    found: dict[str, Any] = {"error": None}
    with emulated_cuda.emulated() as operations:
        try:
            found.update(case(operations))
        except Exception as error:
            lines = [frame for frame in traceback.extract_tb(error.__traceback__) if "/randwire/" in frame.filename]
            place = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else "?"
            found["error"] = f"{type(error).__name__}: {str(error)[:300]} at {place}"
    inside = [wait for wait in operations.waits if wait.phase not in (SETUP, BEFORE, END)]
    events = [pair for pair in operations.event_waits if pair[0].phase not in (SETUP, BEFORE, END)]
    launched = found.get("launched", {})
    stalls = [
        (wait, behind)
        for wait, behind in events
        if behind < SHARE * launched.get(wait.phase if wait.phase == EVALUATION else "step", 0)
    ]
    found["waits"] = [_told(wait) for wait in [*inside, *(wait for wait, _ in stalls)]]
    found["event_waits"] = [behind for _, behind in events]
    found["waits_before"] = [_told(wait) for wait in operations.waits if wait.phase == BEFORE]
    found["waits_at_the_end"] = [_told(wait) for wait in operations.waits if wait.phase == END]
    found["faults"] = sorted(set(operations.streams.faults))
    return found


def _told(wait: Wait) -> str:
    return f"{wait.phase}: {wait.kind}: {wait.where}"


def main() -> None:
    from emulated_groups import GROUPS

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    gc.freeze()  # modules stay: no collection looks at them
    gc.set_threshold(100_000)
    print(json.dumps(results(GROUPS[sys.argv[1]]())))


if __name__ == "__main__":
    main()
