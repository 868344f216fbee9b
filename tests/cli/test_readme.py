"""Every command of the README is run: here with small keys, `make` by continuous integration.

The first command of train.py, of a study and of a module is run in a process of its own; the others in this one, which
has imported torch.
"""

import itertools
import re
import shlex
from pathlib import Path

import commands
import pytest
from data_helpers import noise, samples_of, write_mnist
from PIL import Image

import randwire
from benchmarks import imagenet_like
from randwire.config import load
from randwire.data.sources.digits import Digits

# The record that the README goes on with: that of `python train.py digits`.
DIGEST = load("digits").digest
RECORD = f"runs/local/{DIGEST}"
TEXT = (commands.ROOT / "README.md").read_text(encoding="utf-8")
DATA = (commands.ROOT / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT + DATA, re.MULTILINE | re.DOTALL)
LINES = list(dict.fromkeys(line for block in BLOCKS for line in block.splitlines()))
PYTHON = re.findall(r"^```python\n(import randwire\n.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
MAKE = [line for line in LINES if line.startswith("make ")]
# `sweep` is run, as it stands here but smaller, by test_sweep.py, the sizes by test_sizes.py, graph damage without
# records by test_damage.py, what needs a W&B server by test_publish.py, and what needs a
# cluster by test_own_cluster.py, and several ranks by test_train.py.
PUBLISH = "python studies/generators.py report --publish"
ELSEWHERE = [
    *MAKE,
    "python studies/generators.py sweep",
    "python studies/sizes.py",
    "python studies/damage.py run",
    PUBLISH,
    commands.TORCHRUN,
    *(line for line in LINES if line.startswith("ray ")),
]
OTHERS = [line for line in LINES if line not in ELSEWHERE]
IN_PROCESSES = [
    next(line for line in OTHERS if line.startswith(start))
    for start in dict.fromkeys(re.match(r"python (-m )?\w+|\w+", line)[0] for line in OTHERS)  # type: ignore[index]
]


def test_the_readme_has_commands_of_every_kind() -> None:
    assert len(OTHERS) >= 19
    assert "python studies/generators.py sweep" in LINES
    assert commands.TORCHRUN in LINES


def test_continuous_integration_runs_the_make_commands() -> None:
    script = (commands.ROOT / ".ci" / "run").read_text()
    for line in MAKE:
        assert re.search(rf"^{line}\b", script, re.MULTILINE), line


def test_the_commands_for_contributors_are_those_of_the_readme() -> None:
    """And `make check`, which `make test` begins with."""
    text = (commands.ROOT / "CONTRIBUTING.md").read_text()
    lines = [
        line for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for line in block.split("\n")
    ]
    assert set(filter(None, lines)) - set(MAKE) == {"make check"}
    assert re.search("^test: check\\b", (commands.ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands need: MNIST's files, pictures of digits, and a small stand-in for RECORD."""
    folder = tmp_path_factory.mktemp("readme")
    write_mnist(folder / "mnist-files")
    imagenet_like.make(folder / "imagenet-files", train=1000, val=20, side=36)
    for split, name, pixels in itertools.product(("train", "val"), ("cat", "dog"), noise(16, 40, 40)):
        path = folder / "photos" / split / name / f"{pixels[0, 0, 1]:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    for (image, _), name in zip(samples_of(Digits(), "val"), ("seven.png", "four.png"), strict=False):
        Image.fromarray(image).save(folder / name)
    trained = randwire.train("digits", {**values_of(SMALL), "runtime.output": str(folder / "trained")})
    (folder / "record").symlink_to(trained)
    randwire.export(trained, folder / "digits.safetensors")
    return folder


SMALL = [*commands.TINY, "--train.epochs", "1", "--train.batch_size", "30", "--runtime.wandb", "disabled"]
OF_TRAINING = ("--train.epochs", "--train.batch_size", "--runtime.wandb")


def values_of(words: list[str]) -> dict[str, object]:
    return dict(zip((word.removeprefix("--") for word in words[::2]), words[1::2], strict=True))


def without(key: str, words: list[str]) -> list[str]:
    """The words of keys and values without one key."""
    return [word for k, word in enumerate(words) if words[k - k % 2] != key]


@pytest.mark.parametrize("line", OTHERS)
def test_a_command_of_the_readme_works(line: str, folder: Path) -> None:
    words, small = shlex.split(line), SMALL
    if "--network.reference" in words:  # it has no size to choose
        small = [word for pair in zip(small[::2], small[1::2], strict=True) if pair[0] in OF_TRAINING for word in pair]
    keys = ["--runtime.output", str(folder / "runs")]
    assert words[0] == "python"
    words = words[1:]
    if words[0] == "train.py":
        if "--show" in words:
            words += keys
        elif not {"--evaluate", "--predict", "--export"} & set(words):
            words += [*keys, *small]
    elif words[0] == "studies/generators.py":
        if words[1] in ("status", "report") or {"--confirm", "--longer"} & {*words}:
            commands.call(*words[:1], "trial", "1", *keys, *small)
        if "--with" in words:
            commands.call(*words[:1], "trial", "1", "--name", words[words.index("--with") + 1], *keys, *small)
        if "race" in words:  # of the paper's grid, which needs as many nodes
            at = small.index("--graph.nodes") + 1
            small = [*small[:at], "9", *small[at + 1 :]]
        if "--match-mult-adds" in words:
            small = without("--network.channels", small)
        if "--space" in words:  # whose graphs need more nodes
            small = without("--graph.nodes", small)
        own = {"--base", "--longer"} & {*words}  # of the sizes that a base or an earlier study has
        words += [*keys, *small] if words[1] in ("plan", "trial") and not own else keys
    elif words[0] == "studies/damage.py":
        words += ["--output", str(folder / "damage"), "--recalibrate", "1"]
    paths = {
        "birds/": "photos/train",
        "data/mnist": "mnist",
        "data/imagenet": "imagenet",
        "data/photos": "converted",
        "data/birds": "birds-converted",
        RECORD: "record",
    }
    paths |= {name: f"imagenet-files/{name}" for name in words if name.startswith(("ILSVRC", "synset"))}
    paths |= {name: name for name in ("mnist-files/", "imagenet-files/", "photos/", "seven.png", "four.png")}
    paths |= {
        name: name
        for name in ("digits.onnx", "digits.safetensors", "trials.parquet", "small-graphs", "study.log", "both.html")
    }
    words = [str(folder / paths[word]) if word in paths else word for word in words]
    done = (commands.run if line in IN_PROCESSES else commands.call)(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "convert" in line


def test_the_python_of_the_readme_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(PYTHON) == 1
    monkeypatch.chdir(folder)
    smaller = ", ".join(f'"{key}": {value}' for key, value in (("graph.nodes", 7), ("network.channels", 4)))
    code = PYTHON[0].replace('"train.epochs": 20', f'"train.epochs": 1, "runtime.wandb": "disabled", {smaller}')
    assert code != PYTHON[0]
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["record"], Path)
    assert (folder / "digits.pt2").is_file()
    assert (folder / "digits.safetensors").is_file()
    assert len((names["record"] / "evaluations.jsonl").read_text().splitlines()) == 1


def test_the_records_of_the_readme_are_those_of_its_command() -> None:
    assert set(re.findall(r"runs/local/(\w+)", TEXT)) == {DIGEST}


def test_the_sizes_of_the_readme_are_those_of_the_page() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| Table") and "±" in line]
    assert len(rows) == 8
    page = (commands.ROOT / "docs" / "sizes.md").read_text().splitlines()
    assert all(row in page for row in rows)
