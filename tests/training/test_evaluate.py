"""Exact evaluation on any number of ranks."""

from functools import partial
from pathlib import Path

import data_helpers
import pytest
import torch
from thread_ranks import on_ranks

from randwire import config as configuration
from randwire import data, wiring
from randwire.model.network import RandWire
from randwire.training.evaluate import Normalise, Scores, evaluate


def test_validation_counts_every_image_once_over_any_number_of_ranks(tmp_path: Path) -> None:
    """101 images: neither 2 nor 3 divides them, nor does the batch of 8."""
    data_helpers.build(tmp_path, data_helpers.noise(20), data_helpers.noise(101, seed=1))
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
    assert alone.images == 101
    assert 0 < alone.totals["val_top1"] < alone.totals["val_top5"] < 101
    for world_size in (2, 3):
        for of_rank in on_ranks(world_size, partial(scores, world_size=world_size)):
            assert of_rank.images == 101
            assert of_rank.totals == {**alone.totals, "val_loss": pytest.approx(alone.totals["val_loss"], rel=1e-6)}
