"""Evaluate one network on 101 images with the ranks that torchrun started; rank 0 prints the scores as JSON."""

import json
import sys
from pathlib import Path

import data_helpers
import torch

from randwire import config as configuration
from randwire import data, wiring
from randwire.model.network import RandWire
from randwire.training.evaluate import Normalise, evaluate
from randwire.training.worker import process_group

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with process_group("cpu") as (device, rank, world_size):
        if rank == 0 and not folder.exists():
            data_helpers.build(folder, data_helpers.noise(20), data_helpers.noise(101, seed=1))
        if world_size > 1:
            torch.distributed.barrier()
        config = configuration.load("digits", {"data.path": str(folder), "data.resolution": 16, "network.channels": 8})
        dataset = data.prepare(config.data)
        torch.manual_seed(0)
        dags = {stage: sample.dag for stage, sample in wiring.sample_graphs(config).items()}
        network = RandWire(config.network, dags, 10)
        loader = data.Loader(dataset, "val", config.data, data.Batching(batch_size=8, rank=rank, world_size=world_size))
        scores = evaluate(network, loader.epoch(0), Normalise(dataset.mean, dataset.std).to(device))
        loader.close()
        if rank == 0:
            print(json.dumps({"images": scores.images, **scores.totals}))
