"""Every command of the README is run: here with small keys, `make` by continuous integration."""

import re
import shlex
from pathlib import Path

import commands
import pytest
from data_helpers import write_mnist

TEXT = (commands.ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
MAKE = [line for line in LINES if line.startswith("make ")]
# `sweep` is run, as it stands here but smaller, by tests/test_sweep.py.
OTHERS = [line for line in LINES if line not in MAKE and line != "python studies/generators.py sweep"]


def test_the_readme_has_commands_of_every_kind() -> None:
    assert len(OTHERS) >= 11
    assert "python studies/generators.py sweep" in LINES


def test_continuous_integration_runs_the_make_commands() -> None:
    script = (commands.ROOT / ".ci" / "run").read_text()
    for line in MAKE:
        assert re.search(rf"^{line}\b", script, re.MULTILINE), line


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands need: a finished trial, and MNIST's files."""
    folder = tmp_path_factory.mktemp("readme")
    write_mnist(folder / "mnist-files")
    return folder


@pytest.mark.parametrize("line", OTHERS)
def test_a_command_of_the_readme_works(line: str, place: Path) -> None:
    words = shlex.split(line)
    small = [*commands.TINY, "--train.epochs", "1", "--train.batch_size", "16", "--runtime.wandb", "disabled"]
    keys = ["--runtime.output", str(place / "runs")]
    if words[0] == "torchrun":
        words = ["-m", "torch.distributed.run", *words[1:], *small, *keys]
    else:
        assert words[0] == "python"
        words = words[1:]
        if words[0] == "train.py":
            words += keys if "--show" in words else [*keys, *small]
        elif words[0] == "studies/generators.py":
            if words[1] == "report":
                commands.run(*words[:1], "trial", "1", *keys, *small)
            words += [*keys, *small] if words[1] in ("plan", "trial") else keys
    words = [
        word.replace("mnist-files", str(place / "mnist-files")).replace("data/mnist", str(place / "mnist"))
        for word in words
    ]
    done = commands.run(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "convert" in line
