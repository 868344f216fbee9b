"""Imported by the server of `killed_ranks` alone: what a training needs at its first step, once for all trainings."""

import tempfile
from contextlib import closing
from pathlib import Path

from killed_ranks import settings

from randwire import data, wiring

with tempfile.TemporaryDirectory() as folder:
    CONFIG = settings(Path(folder))
    wiring.count(CONFIG, wiring.sample_graphs(CONFIG))
    with closing(data.Loader(data.prepare(CONFIG.data), "train", CONFIG.data, data.Batching(8))):
        pass
