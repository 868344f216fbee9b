"""Exact evaluation on any number of ranks: the counts, and which images are right."""

from contextlib import closing
from functools import partial
from pathlib import Path

import data_helpers
import pytest
import torch
from thread_ranks import on_ranks

from randwire import config as configuration
from randwire import data, wiring
from randwire.config import DataConfig
from randwire.model.network import RandWire
from randwire.training.evaluate import Normalise, Scores, evaluate


@pytest.mark.parametrize("images", [101, 1])
def test_validation_counts_every_image_once_over_any_number_of_ranks(tmp_path: Path, images: int) -> None:
    """Neither 2 nor 3 divides 101, nor does the batch of 8; with one image, ranks have none."""
    data_helpers.build(tmp_path, data_helpers.noise(20), data_helpers.noise(images, seed=1))
    config = configuration.load("digits", {"data.path": str(tmp_path), "data.resolution": 16, "network.channels": 8})
    dataset = data.prepare(config.data)
    torch.manual_seed(0)
    network = RandWire(config.network, wiring.dags_of(wiring.sample_graphs(config)), 10)

    def scores(rank: int, world_size: int) -> Scores:
        loader = data.Loader(dataset, "val", config.data, data.Batching(batch_size=8, rank=rank, world_size=world_size))
        try:
            return evaluate(network, loader.epoch(0), Normalise(dataset.mean, dataset.std))
        finally:
            loader.close()

    alone = scores(0, 1)
    assert alone.images == images
    if images > 1:
        assert 0 < alone.totals["val_top1"] < alone.totals["val_top5"] < images
    assert alone.correct.tolist() == _right(network, dataset, config.data)
    for world_size in (2, 3):
        for of_rank in on_ranks(world_size, partial(scores, world_size=world_size)):
            assert of_rank.images == images
            assert of_rank.totals == {**alone.totals, "val_loss": pytest.approx(alone.totals["val_loss"], rel=1e-6)}
            assert of_rank.correct.tolist() == alone.correct.tolist()
            assert of_rank.correct.sum() == of_rank.totals["val_top1"]


def _right(network: torch.nn.Module, dataset: data.Dataset, config: DataConfig) -> list[bool]:
    """For each image of the file, by itself, whether its class has the highest logit."""
    normalise = Normalise(dataset.mean, dataset.std)
    with closing(data.Loader(dataset, "val", config, data.Batching(batch_size=1))) as loader, torch.no_grad():
        network.eval()
        return [bool(network(normalise(image)).argmax() == label) for image, label in loader.epoch(0)]
