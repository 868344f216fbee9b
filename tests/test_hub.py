"""torch.hub: the entry points of hubconf.py, from a clone, and from a cache as a download from GitHub leaves it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
import torch

import hubconf
import randwire
from randwire import config as configuration
from randwire.errors import ConfigError
from randwire.model.network import RandWire
from randwire.wiring import dags_of, sample_graphs

ROOT = str(commands.ROOT)
REPOSITORY = "OWNER/randwire"
SMALL = {"graph.nodes": 6, "network.channels": 6, "network.head": 24}
README = re.findall(r"^```python\n(import torch\n.*?)^```", (commands.ROOT / "README.md").read_text(), re.M | re.S)


def _load(entry: str, *arguments: object, **options: object) -> Any:
    """By torch.hub, from this clone."""
    return torch.hub.load(ROOT, entry, *arguments, source="local", **options)  # type: ignore[no-untyped-call]


@pytest.fixture
def downloaded(tmp_path: Path) -> Iterator[Path]:
    """The folder of torch.hub, as if it had downloaded the branch main of the repository."""
    before = torch.hub.get_dir()
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / f"{REPOSITORY.replace('/', '_')}_main").symlink_to(ROOT)
    torch.hub.set_dir(tmp_path / "hub")
    yield tmp_path / "hub"
    torch.hub.set_dir(before)


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub") / "digits.safetensors"
    randwire.export(trained, path)
    return path


def test_a_trained_network_of_a_record_or_of_weights(trained: Path, exported: Path) -> None:
    images = torch.randn(2, 3, 32, 32)
    for source in (trained, exported):
        network = _load("randwire", record_or_weights=source)
        backbone = _load("randwire", source, features=True, out_indices=(0, 3))
        with torch.no_grad():
            assert torch.equal(network(images), randwire.load(trained)(images))
            assert torch.equal(network.stages["classifier"](backbone(images)[1]), network(images))


def test_an_untrained_network_has_the_graphs_and_weights_that_its_training_starts_from() -> None:
    values = {**SMALL, "graph.seed": 3, "train.seed": 5}
    stream = torch.get_rng_state()
    network = _load("untrained", "digits", values)
    assert torch.equal(torch.get_rng_state(), stream)
    config = configuration.load("digits", values)
    dags = dags_of(sample_graphs(config))
    torch.manual_seed(5)
    expected = RandWire(config.network, dags, 10).state_dict()
    assert network.training
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    assert {name: network.stages[name].dag for name in dags} == dags
    other = _load("untrained", "digits", {**values, "graph.seed": 4})
    assert other.stages["conv4"].dag != dags["conv4"]


def test_an_untrained_network_of_other_classes_and_as_a_backbone() -> None:
    network = _load("untrained", "small", {**SMALL, "graph.nodes": 8}, 7)
    assert network.eval()(torch.randn(1, 3, 64, 64)).shape == (1, 7)
    backbone = _load("untrained", "digits", SMALL, features=True, out_indices=2)
    assert backbone.feature_info.channels() == [12, 24]


def test_mistakes_are_lines() -> None:
    with pytest.raises(ConfigError, match="unknown preset 'none'"):
        _load("untrained", "none")
    with pytest.raises(ConfigError, match=r"graph.sed: unknown key"):
        _load("untrained", "digits", {"graph.sed": 3})
    published = {"network.reference": "pytorchcv:resnet20_cifar10"}
    with pytest.raises(ConfigError, match="resnet20_cifar10 is a published network"):
        _load("untrained", "digits", published, features=True)
    assert _load("untrained", "digits", published).eval()(torch.randn(1, 3, 32, 32)).shape == (1, 10)


FRESH = """
import builtins, json, sys, torch
real, names = builtins.__import__, set()

def noting(name, globals=None, locals=None, fromlist=(), level=0):
    if not level and str((globals or {}).get("__name__")).partition(".")[0] in ("randwire", "hubconf"):
        names.add(name.partition(".")[0])
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = noting
torch.hub.set_dir(sys.argv[1])
entries = torch.hub.list("OWNER/randwire:main")
told = [torch.hub.help("OWNER/randwire:main", entry) for entry in entries]
network = torch.hub.load("OWNER/randwire:main", "randwire", sys.argv[2])
fresh = torch.hub.load("OWNER/randwire:main", "untrained", "digits", {"graph.seed": 3}, features=True)
network(torch.randn(1, 3, 32, 32)), fresh(torch.randn(2, 3, 32, 32))
import randwire
print(json.dumps({
    "entries": entries, "told": told, "home": randwire.__file__,
    "names": sorted(names - set(sys.stdlib_module_names) - {"randwire"}),
    "heavy": sorted({"ray", "ffcv", "wandb", "optuna", "matplotlib"} & set(sys.modules)),
}))
"""


def test_another_program_loads_it_as_from_github(downloaded: Path, exported: Path, tmp_path: Path) -> None:
    """Without the network: what is in torch.hub's folder is trusted and used. Python knows of no other randwire."""
    words = [sys.executable, "-I", "-c", FRESH, str(downloaded), str(exported)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["entries"] == ["randwire", "untrained"]
    assert all("torch.hub.load(REPOSITORY, " in text for text in told["told"])
    assert Path(told["home"]).parent.parent == downloaded / "OWNER_randwire_main"
    assert told["names"] == sorted(hubconf.dependencies)
    assert told["heavy"] == []


def test_the_lines_of_the_readme_work(
    downloaded: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = README
    assert f'"{REPOSITORY}"' in code
    monkeypatch.chdir(exported.parent)
    names: dict[str, Any] = {}
    exec(code.replace(REPOSITORY, f"{REPOSITORY}:main"), names)  # without a branch, GitHub is asked which one it has
    assert names["backbone"].feature_info.reduction() == [1, 2, 4, 8]
    assert names["fresh"].stages["conv3"].dag.nodes == 12
