"""Cases of trained networks in use on the emulated CUDA device: graph damage, prediction, exported programs."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import emulated_cuda
import torch
from emulated_cases import TINY, Case
from emulated_operations import SETUP, Operations
from emulated_runs import CLASSES, Batch, batches, settings
from PIL import Image
from torch import nn

from randwire import data, deploy
from randwire.damage import measure
from randwire.damage.removal import Damage, stage_dags
from randwire.data.reading import Reading
from randwire.inference import Trained
from randwire.model.building import build
from randwire.model.network import RandWire
from randwire.prediction import Prediction, predictions
from randwire.training import weights
from randwire.wiring import dags_of, sample_graphs

BATCHES = 4


def network_in_use(keys: Mapping[str, object] | None = None) -> Trained:
    """A network as if it had been trained on the digits, on the host."""
    config = settings("digits", {**TINY, **(keys or {})})
    graphs = sample_graphs(config)
    network = build(config.network, dags_of(graphs), CLASSES, config.data.resolution).eval()
    texts = {stage: dag.to_text() for stage, dag in dags_of(graphs).items()}
    names = tuple(map(str, range(CLASSES)))
    return Trained(
        Path("record"), network, config, 1, names, (120.0,) * 3, (60.0,) * 3, texts, Reading(), {"mode": "raw"}
    )


def _moving_is_setup(operations: Operations) -> Any:
    """Modules are moved to the device before they are used: there the host may wait."""
    return mock.patch.object(nn.Module, "to", operations.wrapped(SETUP, nn.Module.to))


class LoaderOfNothing:
    """In the place of a loader: batches whose images have no content."""

    def __init__(self, dataset: object, split: str, config: Any, batching: Any) -> None:
        self._size, self._side = batching.batch_size, config.resolution

    def epoch(self, number: int, *_: Any) -> Iterator[Batch]:
        yield from batches(BATCHES, self._size, self._side)

    def close(self) -> None:
        pass


def damages(recalibrate: int) -> Case:
    """The whole network, a node and an edge less, each with recalibrated statistics too if there are batches for it."""

    def case(operations: Operations) -> Mapping[str, Any]:
        trained = network_in_use()
        (stage, dag), *_ = stage_dags(trained.network).items()
        broken = [None, Damage(stage, (0,)), Damage(stage, dag.edges[0])]
        tasks = [(damage, count) for damage in broken for count in sorted({0, recalibrate})]
        sizes = {"train": 10_000, "val": BATCHES * trained.config.train.batch_size}
        with (
            mock.patch.object(measure, "evaluation_data", return_value=SimpleNamespace(sizes=sizes)),
            mock.patch.object(data, "Loader", LoaderOfNothing),
            mock.patch.object(measure, "pick_device", return_value=emulated_cuda.DEVICE),
            _moving_is_setup(operations),
            operations.during("damage"),
        ):
            options = measure.Options(recalibrate=recalibrate)
            subject = mock.Mock(protocol=mock.Mock(images=sizes["val"]))
            found = list(measure.measure(trained, trained.config, subject, options, tasks))
        assert isinstance(trained.network, RandWire)
        return {"evaluations": len(found)}

    return case


def prediction(operations: Operations) -> Mapping[str, Any]:
    """Seven images, of three batches."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(7)]
        for path in paths:
            Image.new("RGB", (40, 30)).save(path)
        trained = network_in_use()
        with _moving_is_setup(operations), operations.during("prediction"):
            found = [each for each in predictions(trained, paths, emulated_cuda.DEVICE) if isinstance(each, Prediction)]
    return {"predictions": len(found)}


def exported() -> Case:
    """A program of `randwire.export`, made on the host and moved to the device."""
    trained = network_in_use()
    state = {
        "network": trained.network.state_dict(),
        "epoch": 1,
        "config": trained.config.model_dump(mode="json", exclude={"runtime"}),
        "graphs": trained.graphs,
        "data": {"classes": trained.classes, "mean": trained.mean, "std": trained.std, "encoding": trained.encoding},
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "network.safetensors", Path(folder) / "program.pt2"
        weights.write(source, state)
        deploy.export(source, target)
        program = torch.export.load(target).module()

    def case(operations: Operations) -> Mapping[str, Any]:
        program.to(emulated_cuda.DEVICE)
        side = trained.config.data.resolution
        images = torch.zeros(5, 3, side, side, dtype=torch.uint8, device=emulated_cuda.DEVICE)
        with operations.during("program"), torch.no_grad():
            logits = program(images)
        return {"device": str(logits.device), "shape": list(logits.shape)}

    return case
