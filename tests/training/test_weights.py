"""Networks as safetensors files: the same network from the file alone, and no other from a damaged one."""

import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from trained_helpers import refused, weights

import randwire
from randwire import config as configuration
from randwire import inference
from randwire.errors import CheckpointError, ConfigError, ExportError
from randwire.model.features import backbone
from randwire.records import Record, checkpoint_file
from randwire.training import weights as files
from randwire.wiring import initial_network


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    done = commands.call("train.py", str(trained), "--export", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(path)
    assert done.stderr == "logits differ by 0.0e+00 of the largest\n"
    return path


def test_a_network_comes_back_from_its_file_alone(
    trained: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = inference.open_trained(trained)
    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("nothing is unpickled"))
    given = inference.open_trained(exported)
    for name in ("classes", "mean", "std", "epoch", "graphs"):
        assert getattr(given, name) == getattr(expected, name)
    assert given.config.digest == expected.config.digest
    assert given.config.runtime == type(given.config.runtime)(), "what belongs to a machine stays there"
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(randwire.load(exported)(images), expected.network(images))
        maps = randwire.load(exported, features=True, out_indices=1)(images)
        assert torch.equal(maps[0], backbone(expected.network, expected.config.network)(images)[-1])


def test_other_programs_find_all_of_it(trained: Path, exported: Path) -> None:
    with safe_open(exported, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["graphs"]) == Record(trained).graphs()
    assert json.loads(metadata["classes"]) == list("0123456789")
    assert json.loads(metadata["config"])["network"]["channels"] == 6
    tensors, given = load_file(exported), weights(trained)
    assert tensors.keys() == given.keys()
    assert all(torch.equal(value, given[name]) for name, value in tensors.items())


def test_equal_networks_are_equal_files(trained: Path, exported: Path, tmp_path: Path) -> None:
    """So that a training that starts from one has the same name wherever it was exported."""
    for source in (trained, checkpoint_file(trained), exported):
        randwire.export(source, tmp_path / "again.safetensors")
        assert (tmp_path / "again.safetensors").read_bytes() == exported.read_bytes()


def test_the_file_is_used_as_a_record_is(trained: Path, exported: Path, pictures: tuple[list[Path], list[int]]) -> None:
    done = commands.call("train.py", str(exported), "--evaluate")
    assert done.returncode == 0, done.stderr
    row, last = json.loads(done.stdout), Record(trained).metrics()[-1]
    assert {key: row[key] for key in ("epoch", "val_top1")} == {key: last[key] for key in ("epoch", "val_top1")}
    names = [str(path) for path in pictures[0][:3]]
    assert (
        commands.call("train.py", str(exported), "--predict", *names).stdout
        == commands.call("train.py", str(trained), "--predict", *names).stdout
    )


def _cut(content: bytes) -> bytes:
    return content[: len(content) - 5]


def _cut_header(content: bytes) -> bytes:
    return content[:100]


def _flip_weight(content: bytes) -> bytes:
    return content[:-2000] + bytes([content[-2000] ^ 1]) + content[-1999:]


def _flip_header(content: bytes) -> bytes:
    return content.replace(b'\\"channels\\": 6', b'\\"channels\\": 7')


def _long_header(content: bytes) -> bytes:
    return b"\xff" * 8 + content[8:]


DAMAGE: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "not a readable safetensors file: damaged, or cut short"),
    "text": (lambda content: b"no tensors at all", "not a readable safetensors file"),
    "cut": (_cut, "not a readable safetensors file"),
    "cut header": (_cut_header, "not a readable safetensors file"),
    "long header": (_long_header, "not a readable safetensors file"),
    "weight": (_flip_weight, "damaged, or changed by another program"),
    "header": (_flip_header, "damaged, or changed by another program"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_a_line(kind: str, exported: Path, tmp_path: Path) -> None:
    damage, message = DAMAGE[kind]
    path, content = tmp_path / "net.safetensors", exported.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    assert f"{path}: {message}" in refused(str(path), "--predict", "x.png")


def test_a_foreign_file_is_a_line(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        randwire.load(path)
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.ones(2)}, path, metadata)
        assert "not a network of randwire: no epoch in its header" in refused(str(path), "--evaluate")
    shutil.copy(exported, tmp_path / "net.pt")
    assert "not a readable checkpoint" in refused(str(tmp_path / "net.pt"), "--evaluate")


def test_a_wrong_export_gets_no_name(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = files.write

    def writes_another(path: Path, state: Mapping[str, Any]) -> None:
        name = "stages.classifier.fc.bias"
        right(path, {**state, "network": {**state["network"], name: state["network"][name] + 1}})

    monkeypatch.setattr(files, "write", writes_another)
    with pytest.raises(ExportError, match="not written: its logits differ"):
        randwire.export(trained, tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_weights_have_no_resolution(trained: Path, tmp_path: Path) -> None:
    line = refused(str(trained), "--export", str(tmp_path / "net.safetensors"), "--data.resolution", "40")
    assert "holds weights, and no program of one resolution; leave data.resolution out" in line
    assert list(tmp_path.iterdir()) == []


def test_a_published_network_is_a_file_too(tmp_path: Path) -> None:
    config = configuration.load("digits", {"network.reference": "pytorchcv:resnet20_cifar10"})
    network = initial_network(config)
    state = {
        "network": network.state_dict(),
        "epoch": 2,
        "config": config.model_dump(mode="json"),
        "graphs": {},
        "data": {"classes": list("0123456789"), "mean": [0.0] * 3, "std": [1.0] * 3},
    }
    torch.save({**state, "optimizer": {}}, tmp_path / "net.pt")
    path = tmp_path / "net.safetensors"
    assert randwire.export(tmp_path / "net.pt", path) == 0
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(randwire.load(path)(images), network.eval()(images))
    with pytest.raises(ConfigError, match="pytorchcv:resnet20_cifar10 is a published network, without the stages of"):
        randwire.load(path, features=True)
    assert "holds a published network, which has no random graphs" in refused(
        "digits", "--show", "--graph.path", str(path)
    )
