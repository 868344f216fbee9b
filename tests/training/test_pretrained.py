"""Pretrained weights: a training that starts from those of another."""

import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
from trained_helpers import CPU, SMALL, settings, weights, with_classes

import randwire
from randwire import config as configuration
from randwire import run
from randwire.config import RunConfig
from randwire.errors import CheckpointError, ConfigError
from randwire.records import checkpoint_file
from randwire.training import checkpoint
from randwire.training.worker import ProcessWorker


def _initial(config: RunConfig) -> dict[str, torch.Tensor]:
    """The weights that a training starts from: the checkpoint of an epoch at a rate too small to change anything."""
    frozen = config.override({"train.lr": 1e-30, "train.epochs": 1, "train.weight_decay": 0, "train.momentum": 0})
    run.run(frozen, ProcessWorker(CPU))
    return weights(run.record_of(frozen).folder)


@pytest.mark.parametrize("kind", ["record", "checkpoint", "safetensors"])
def test_a_training_goes_on_from_weights(trained: Path, tmp_path: Path, kind: str) -> None:
    source = checkpoint_file(trained) if kind == "checkpoint" else trained
    keys: dict[str, object] = {}
    if kind == "safetensors":
        source = tmp_path / "net.safetensors"
        randwire.export(trained, source)
        with pytest.raises(ConfigError, match=f"has other graphs .* --graph.path {source}$"):
            run.run(settings(tmp_path, train__pretrained=str(source), graph__seed=1), ProcessWorker(CPU))
        keys = {"graph__path": str(source), "graph__seed": 1}  # of a network whose seed is not known
    config = settings(tmp_path, train__pretrained=str(source), **keys)
    initial, given = _initial(config), weights(trained)
    for name, value in given.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(initial[name], value), name
    (path,) = tmp_path.glob("local/*/pretrained.json")
    loaded = json.loads(path.read_text())
    assert loaded["left_out"] == {}
    assert loaded["loaded"] == len(given)
    assert loaded["epoch"] == 3


def test_a_training_that_goes_on_is_better_than_one_that_starts(trained: Path, tmp_path: Path) -> None:
    top1 = {}
    for name, keys in (("fresh", {}), ("pretrained", {"train__pretrained": str(trained)})):
        config = settings(
            tmp_path / name, train__epochs=1, train__seed=7, train__lr=0.02, train__warmup_epochs=0, **keys
        )
        run.run(config, ProcessWorker(CPU))
        top1[name] = run.record_of(config).metrics()[0]["val_top1"]
    assert top1["pretrained"] > top1["fresh"] + 10
    assert settings(tmp_path, train__pretrained=str(trained)).digest != settings(tmp_path).digest


def test_another_number_of_classes_keeps_all_but_the_last_layer_and_says_so(trained: Path, tmp_path: Path) -> None:
    source = with_classes(trained, tmp_path / "seven.pt", list("abcdefg"))
    keys = [f"--{key}={value}" for key, value in SMALL.items()]
    done = commands.call("train.py", "digits", *keys, "--train.epochs=1", "--train.pretrained", str(source),
                        "--runtime.output", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    total = len(weights(trained))
    assert f"seven.pt (epoch 3): loaded {total - 2} of {total} tensors" in done.stderr
    assert "not loaded: stages.classifier.fc.weight: 7x24 in the file, 10x24 here" in done.stderr
    assert "not loaded: stages.classifier.fc.bias: 7 in the file, 10 here" in done.stderr
    (path,) = tmp_path.glob("local/*/pretrained.json")
    assert set(json.loads(path.read_text())["left_out"]) == {
        "stages.classifier.fc.weight",
        "stages.classifier.fc.bias",
    }


def test_classes_of_other_names_do_not_get_each_others_weights(trained: Path, tmp_path: Path) -> None:
    source = with_classes(trained, tmp_path / "letters.pt", list("abcdefghij"))
    initial = _initial(settings(tmp_path, train__pretrained=str(source)))
    given = weights(trained)
    assert torch.equal(initial["stages.classifier.conv.weight"], given["stages.classifier.conv.weight"])
    assert not torch.equal(initial["stages.classifier.fc.weight"], given["stages.classifier.fc.weight"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"network__channels": 8}, "is another network: stages.conv1.0.weight: 3x3x3x3 in the file, 4x3x3x3 here"),
        ({"network__op": "conv"}, "is another network"),
        ({"graph__seed": 1}, "has other graphs .* --graph.path RECORD"),
        ({"graph__generator": "ba:m=2"}, "has other graphs"),
    ],
    ids=str,
)
def test_weights_of_another_network_are_refused(
    trained: Path, tmp_path: Path, keys: dict[str, object], message: str
) -> None:
    config = settings(tmp_path, train__pretrained=str(trained), **keys)
    with pytest.raises(ConfigError, match=message) as caught:
        run.run(config, ProcessWorker(CPU))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("local/*/config.yaml")), "nothing is left that looks like a trial"


@pytest.mark.parametrize(
    ("held_out", "theirs"),
    [((0, 0), "no data.holdout"), ((99, 0), "data.holdout 99 and .* 0"), ((100, 1), "data.holdout 100 and .* 1")],
)
def test_images_that_weights_were_trained_on_do_not_choose(
    trained: Path, tmp_path: Path, held_out: tuple[int, int], theirs: str
) -> None:
    def of(holdout: int, holdout_seed: int) -> Path:
        state = checkpoint.read(checkpoint_file(trained))
        state["config"]["data"] |= {"holdout": holdout, "holdout_seed": holdout_seed}
        torch.save(state, file := tmp_path / f"{holdout}-{holdout_seed}.pt")
        return file

    keys: dict[str, object] = {"data__holdout": 100, "train__epochs": 1}
    with pytest.raises(ConfigError, match=rf"^data.holdout: .* was trained with {theirs}, on images"):
        run.run(settings(tmp_path, train__pretrained=str(of(*held_out)), **keys), ProcessWorker(CPU))
    same = settings(tmp_path, train__pretrained=str(of(100, 0)), **keys)
    assert run.run(same, ProcessWorker(CPU))["status"] == "finished"


def test_another_head_keeps_the_stages(trained: Path, tmp_path: Path) -> None:
    config = settings(tmp_path, train__pretrained=str(trained), network__head=32)
    initial, given = _initial(config), weights(trained)
    convolutions = [name for name in given if name.startswith("stages.conv") and name.endswith(".weight")]
    assert convolutions
    assert all(torch.equal(initial[name], given[name]) for name in convolutions)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_malicious_file_is_refused_and_not_run(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = dict.fromkeys(checkpoint.KEYS, _Bomb())
    file = tmp_path / "bomb.pt"
    if how == "torch":
        torch.save(state, file)
    else:
        file.write_bytes(pickle.dumps(state))
    monkeypatch.chdir(tmp_path)
    for action in (
        lambda: run.run(settings(tmp_path, train__pretrained=str(file)), ProcessWorker(CPU)),
        lambda: randwire.load(file),
        lambda: randwire.predict(file, []),
    ):
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            action()
    assert not (tmp_path / "exploded").exists()


def test_weights_that_change_are_noticed(trained: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(checkpoint_file(trained), tmp_path / "copy.pt"))
    config = settings(tmp_path, train__pretrained=str(file))
    state = checkpoint.read(file)
    torch.save({**state, "epoch": 9}, file)
    with pytest.raises(ConfigError, match=r"copy.pt has changed since"):
        run.run(config, ProcessWorker(CPU))


def test_a_resumed_training_does_not_need_its_pretrained_weights(trained: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(checkpoint_file(trained), tmp_path / "copy.pt"))
    config = settings(tmp_path, train__pretrained=str(file))

    class Interrupting(ProcessWorker):
        def report(self, row: Mapping[str, Any]) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(config, Interrupting(CPU))
    file.unlink()
    again = configuration.load(str(run.record_of(config).folder))
    assert run.run(again, ProcessWorker(CPU))["status"] == "finished"
