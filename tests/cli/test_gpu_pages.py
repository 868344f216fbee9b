"""Every command of docs/gpu.md and docs/sharing.md is run, or is one that only a GPU machine has."""

import re
import shlex
from pathlib import Path

import commands
import pytest

PAGES = [commands.ROOT / "docs" / name for name in ("gpu.md", "sharing.md")]
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
]
LINES = list(dict.fromkeys(line for block in BLOCKS for line in block.splitlines()))
OTHER_PROGRAMS = (
    "git ",
    "cd ",
    "pip ",
    "export CUDA_MPS_",
    "mkdir ",
    "nvidia-cuda-mps-control",
    "echo quit | nvidia-cuda",
)
"""What begins a line of a machine with a GPU."""
OURS = [line for line in LINES if not line.startswith(OTHER_PROGRAMS)]
REFUSED = {
    "python train.py small --runtime.step captured": (
        "runtime.step: is captured, which needs a CUDA device, and this one is cpu; use eager"
    ),
    "python studies/generators.py sweep --base cifar10 --gpus-per-worker 0.25": "--gpus-per-worker: ",
}
"""What needs a GPU is understood, and refused without one."""


def test_all_commands_are_known() -> None:
    assert all(line.startswith("python ") for line in OURS)
    assert len(OURS) == 5
    assert set(REFUSED) < set(OURS)


@pytest.mark.parametrize("line", REFUSED)
def test_what_needs_a_gpu_is_refused_in_one_line_without_one(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)[1:]
    done = commands.call(*words, "--runtime.output", str(tmp_path), "--runtime.wandb", "disabled")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {REFUSED[line]}")
    assert len(done.stderr.splitlines()) == 1
    assert not [*tmp_path.rglob("config.yaml")]


def test_a_plan_of_parts_of_a_gpu_tells_how_long_it_takes(tmp_path: Path) -> None:
    (line,) = (line for line in OURS if " plan " in line)
    done = commands.call(*shlex.split(line)[1:], "--runtime.output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "on 1 GPU" in done.stdout


@pytest.mark.parametrize("line", [line for line in OURS if "benchmarks.gpu" in line])
def test_the_benchmark_takes_these_options(line: str, tmp_path: Path) -> None:
    words = [word for word in shlex.split(line.partition(" > ")[0])[1:] if word not in ("speed", "profile")]
    if "--only" in words:
        words.insert(words.index("--only") + 1, "machine")
    else:
        words += ["--only", "machine"]
    words = [str(tmp_path / word) if word == "gpu.json" else word for word in words]
    done = commands.run(*words, "--dry")
    assert done.returncode == 0, done.stderr
    assert "machine" in done.stdout
    assert (tmp_path / "gpu.json").exists() == ("--json" in words)
