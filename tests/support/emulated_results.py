"""What the groups of cases of emulated_groups.py did on the emulated CUDA device, each in a process of its own.

The device must be there before PyTorch is, so it cannot be in the process of the tests.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from commands import ROOT


@cache
def results_of(group: str) -> Mapping[str, Mapping[str, Any]]:
    """What `emulated_cases.result` says of each case of a group, by its name."""
    support = Path(__file__).parent
    paths = os.pathsep.join([str(ROOT), str(support)])
    command = [sys.executable, str(support / "emulated_cases.py"), group]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def column(group: str, name: str) -> dict[str, Any]:
    """What the cases of a group say under a name, those alone that say something."""
    return {case: result[name] for case, result in results_of(group).items() if result[name]}
