"""A published network from its training to its use, as any other."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
from thread_ranks import on_ranks
from trained_helpers import refused, weights

import randwire
from randwire import config as configuration
from randwire import inference, run
from randwire.model import references
from randwire.records import Record
from randwire.training.loop import average_buffers
from randwire.training.worker import ProcessWorker

CPU = torch.device("cpu")
NAME = "pytorchcv:resnet20_cifar10"
KEYS: Mapping[str, object] = {"network.reference": NAME, "data.resolution": 12, "train.epochs": 3}
TIMES = ("images_per_s", "seconds_loader", "seconds_step")


def _options(folder: Path, **keys: object) -> list[str]:
    values = {**KEYS, "runtime.output": folder, "runtime.wandb": "disabled"}
    values |= {key.replace("__", "."): value for key, value in keys.items()}
    return [word for key, value in values.items() for word in (f"--{key}", str(value))]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a published network, trained on the digits by the command."""
    folder = tmp_path_factory.mktemp("reference")
    done = commands.call("train.py", "digits", *_options(folder))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["val_top1"] > 85
    return next((folder / "local").glob("*/config.yaml")).parent


def _numbers(record: Record) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in record.metrics()]


class _Interrupting(ProcessWorker):
    """Ctrl-C after the first epoch."""

    def report(self, row: Mapping[str, Any]) -> bool:
        raise KeyboardInterrupt


def test_its_record_has_all_but_graphs(reference: Path) -> None:
    record = Record(reference)
    assert record.read_json("dag.json") == {"stages": {}}
    assert record.graphs() == {}
    assert not (reference / "dag.svg").exists()
    complexity = record.read_json("complexity.json")
    assert complexity["params"] == 272_474
    assert [stage["name"] for stage in complexity["stages"]][-1] == "output"
    assert configuration.load(str(reference)).network.reference == NAME


def test_a_resumed_training_gives_the_numbers_of_an_uninterrupted_one(reference: Path, tmp_path: Path) -> None:
    config = configuration.load(str(reference), {"runtime.output": str(tmp_path)})
    with pytest.raises(KeyboardInterrupt):
        run.run(config, _Interrupting(CPU))
    run.run(config, ProcessWorker(CPU))
    again = run.record_of(config)
    assert _numbers(again) == _numbers(Record(reference))
    assert all(torch.equal(value, weights(again.folder)[name]) for name, value in weights(reference).items())


def test_it_is_evaluated_loaded_and_predicts(reference: Path, pictures: tuple[list[Path], list[int]]) -> None:
    last = Record(reference).metrics()[-1]
    done = commands.call("train.py", str(reference), "--evaluate")
    row = json.loads(done.stdout)
    assert (row["val_top1"], row["images"]) == (last["val_top1"], 360)
    larger = randwire.evaluate(reference, {"data.resolution": 20})
    assert larger["resolution"] == 20
    network = randwire.load(reference)
    assert not network.training
    assert network(torch.zeros(1, 3, 12, 12)).shape == (1, 10)
    paths, labels = pictures
    best = [next(iter(prediction.top(1)))[0] for prediction in randwire.predict(reference, paths[:40])]
    assert sum(name == str(label) for name, label in zip(best, labels[:40], strict=True)) > 30


def test_it_is_exported(reference: Path, tmp_path: Path) -> None:
    randwire.export(reference, tmp_path / "network.pt2", 16)
    randwire.export(reference, tmp_path / "network.safetensors")
    loaded = randwire.load(tmp_path / "network.safetensors")
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(images), randwire.load(reference)(images))
    program = torch.export.load(tmp_path / "network.pt2").module()
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    normalise = inference.open_trained(reference).normalise
    with torch.no_grad():
        torch.testing.assert_close(program(pixels), loaded(normalise(pixels)), rtol=1e-3, atol=1e-3)


def test_its_weights_begin_another_training_of_it_alone(reference: Path, tmp_path: Path, trained: Path) -> None:
    options = _options(tmp_path, train__epochs=1, train__lr=1e-4, train__warmup_epochs=0, train__pretrained=reference)
    done = commands.call("train.py", "digits", *options)
    assert "loaded 128 of 128 tensors" in done.stderr
    assert json.loads(done.stdout)["val_top1"] > 85
    other = refused("digits", *_options(tmp_path, train__pretrained=trained))
    assert f"is another network: it has random graphs, this one network.reference {NAME}" in other
    keys = {"train.pretrained": reference, "runtime.output": tmp_path, "runtime.wandb": "disabled"}
    random = refused("digits", *(word for key, value in keys.items() for word in (f"--{key}", str(value))))
    assert f"it has network.reference {NAME}, this one random graphs" in random


def test_what_it_cannot_do_is_a_line(reference: Path, tmp_path: Path) -> None:
    unknown = refused("digits", *_options(tmp_path, network__reference="pytorchcv:resnet20_cifar"))
    assert "pytorchcv has no network 'resnet20_cifar'; close: " in unknown
    fixed = refused("digits", *_options(tmp_path, network__reference="pytorchcv:vgg11"))
    assert "vgg11 does not work on images of 12 pixels" in fixed
    matched = refused("digits", *_options(tmp_path), "--match-mult-adds", "1e6", "--show")
    assert f"--match-mult-adds: chooses network.channels, and {NAME} has none" in matched
    done = commands.call("studies/damage.py", "run", str(reference), "--output", str(tmp_path / "damage"))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "is resnet20_cifar10, a published network: it has no graphs to damage" in done.stderr
    assert not (tmp_path / "damage").exists()


def test_show_tells_its_parts(tmp_path: Path) -> None:
    done = commands.call("train.py", "digits", *_options(tmp_path), "--show")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert next(line for line in lines if line.startswith("stage2")).split() == [
        "stage2",
        "32x6x6",
        "51,648",
        "1,843,200",
    ]
    assert ", resnet20_cifar10" in next(line for line in lines if line.startswith("digest"))
    shown = json.loads(commands.call("train.py", "digits", *_options(tmp_path), "--show", "--json").stdout)
    assert shown["graphs"] == {}


# What other networks than ours have, and ours do not.


def test_a_network_without_statistics_is_averaged_too() -> None:
    assert not list(references.build("pytorchcv:squeezenet_v1_1", 10, 64).buffers())
    on_ranks(2, lambda _: average_buffers(torch.nn.Linear(1, 1), 2))


def test_parameters_without_a_part_in_the_loss_are_known() -> None:
    """Distributed training must be told of them."""
    assert references.is_trained_whole(NAME, 10, 32)
    assert not references.is_trained_whole("pytorchcv:msdnet22_cifar10", 10, 32)
