"""Records of made-up trainings, and the content of a report's page."""

import json
import random
from html.parser import HTMLParser
from pathlib import Path
from shutil import rmtree
from typing import Any

from randwire import config as configs
from randwire.config import RunConfig
from randwire.records import Record
from randwire.training.optim import learning_rate

HOSTILE = "</script><script>alert('x')</script> {{plotly}} & \"quotes\""


BASE = {"graph.nodes": 16, "train.epochs": 8, "train.warmup_epochs": 1}
"""Keys of all made-up trials, laid over the preset `digits`."""
GRID = ("ws:k=4,p=0.75", "ws:k=4,p=0.5", "ba:m=5", "er:p=0.2", "ws:k=4,p=0")
"""Settings of a grid, the last without random graphs."""


def add_trial(
    study: Path,
    generator: str = "ws:k=4,p=0.75",
    graph_seed: int = 0,
    top1: float = 90.0,
    status: str | None = "finished",
    epochs: int | None = None,
    cause: str | None = None,
    loss: float | None = None,
    **keys: Any,
) -> RunConfig:
    """A record as a run leaves it, with made-up numbers that end in `top1`, and in a validation `loss` if it is given.

    No summary.json if `status` is None.
    """
    values = {**BASE, "graph.generator": generator, "graph.seed": graph_seed}
    config = configs.load("digits", {**values, **{key.replace("__", "."): value for key, value in keys.items()}})
    sample = config.generator.sample(config.graph.nodes, random.Random(f"{graph_seed}"))
    record = Record(study / config.digest)
    record.write_text("config.yaml", config.to_yaml())
    environment = {
        "commit": "71160f4c0ffee",
        "dirty": False,
        "packages": {"torch": "2.13.0", "ray": "2.60.0", "ffcv": None},
        "hardware": {"cpu": "Some CPU", "cores": 2, "gpu": None},
        "world_size": 2,
        "command": "studies/generators.py sweep",
        "started": "2025-01-02T03:04:05+00:00",
    }
    record.write_json("environment.json", environment)
    stages = ("conv3", "conv4", "conv5")
    for stage in stages:
        record.write_text(f"graphs/{stage}.txt", sample.dag.to_text())
    described = {
        "nodes": sample.dag.nodes,
        "edges": [list(edge) for edge in sample.dag.edges],
        "redraws": sample.redraws,
        "measures": sample.dag.measures().to_dict(),
    }
    record.write_json("dag.json", {"stages": dict.fromkeys(stages, described)})
    size = 40_000 + 30 * len(sample.dag.edges)
    record.write_json("complexity.json", {"params": size, "mult_adds": 90 * size, "stages": []})
    done = config.train.epochs if epochs is None else epochs
    noise = random.Random(config.digest)
    for epoch in range(1, done + 1):
        score = top1 if epoch == done else top1 * (1 - 0.8 * 0.55**epoch) + noise.gauss(0, 0.4)
        record.append_metrics(
            {
                "epoch": epoch,
                "lr": learning_rate((epoch - 1) * 22, 22, config.train),
                "steps": 22,
                "train_loss": 2.3 * 0.7**epoch + 0.5,
                "val_loss": 2.3 * 0.72**epoch + 0.45 if loss is None or epoch < done else loss,
                "val_top1": score,
                "val_top5": min(100.0, score + 8),
                "images_per_s": 850.0 + noise.gauss(0, 20),
                "seconds_loader": 0.1,
                "seconds_step": 1.5,
            }
        )
    if status is not None:
        final = top1 if done else None
        summary = {"status": status, "cause": cause, "epochs": done, "val_top1": final, "best_top1": final}
        record.write_json("summary.json", {**summary, "seconds": 16.5})
    return config


def add_reference(study: Path, name: str, train_seed: int = 0, top1: float = 95.0, **keys: Any) -> RunConfig:
    """A record of a published network, with made-up numbers that end in `top1`."""
    values: dict[str, object] = {key: value for key, value in BASE.items() if not key.startswith("graph.")}
    values |= {"network.reference": name, "train.seed": train_seed}
    config = configs.load("digits", {**values, **{key.replace("__", "."): value for key, value in keys.items()}})
    made = add_trial(study, "ws:k=4,p=0.75", 10_000 + train_seed, top1)
    record = Record((study / made.digest).rename(study / config.digest))
    record.write_text("config.yaml", config.to_yaml())
    rmtree(record.folder / "graphs")
    record.write_json("dag.json", {"stages": {}})
    record.write_json("complexity.json", {"params": 272_474, "mult_adds": 10_203_776, "stages": []})
    return config


def write_design(folder: Path, search: str, **more: Any) -> None:
    """The design of a study in study.json, with made-up numbers of settings and seeds."""
    design = {"search": search, "settings": 4, "seeds": [0, 1, 2], "train_seeds": [0], "seed": 7}
    design |= {"generators": ["er", "ba", "ws"], "require": [], "variants": {}}
    base = configs.load("digits", BASE).identity()
    del base["graph"]["generator"]
    Record(folder).write_json("study.json", {**design, "early_stopping": False, "base": base, **more})


def add_grid(study: Path, seeds: int = 5, train_seeds: int = 1, search: str = "grid", **more: Any) -> None:
    """Four settings within noise of each other, and WS(4,0), without random graphs and far below."""
    noise = random.Random(0)
    for spec in GRID:
        for seed in range(seeds):
            graph = 0.0 if spec.endswith("p=0") else noise.gauss(0, 0.3)
            for run in range(train_seeds):
                seeded = seed * train_seeds + run if spec.endswith("p=0") else run
                top1 = (68.0 if spec.endswith("p=0") else 73.0) + graph + noise.gauss(0, 0.1)
                add_trial(study, spec, seed, top1, train__seed=seeded)
    write_design(study, search, **more)


def add_study(folder: Path) -> Path:
    """Three settings with 3, 2 and 1 finished trials, and one trial of each kind that must not count."""
    for seed, top1 in enumerate((90.0, 91.0, 95.0)):
        add_trial(folder, "ws:k=4,p=0.75", seed, top1)
    for seed, top1 in enumerate((88.25, 89.25)):
        add_trial(folder, "ba:m=5", seed, top1)
    add_trial(folder, "er:p=0.2", 0, 77.5)
    add_trial(folder, "er:p=0.6", 0, 12.125, status="pruned", epochs=3, cause="stopped early after epoch 3")
    add_trial(folder, "er:p=0.6", 1, 13.125, status="failed", epochs=2, cause=HOSTILE)
    add_trial(folder, "er:p=0.6", 2, 14.125, status=None, epochs=4)
    write_design(folder, "tpe")
    return folder


class Page(HTMLParser):
    """The tables, texts and tags of a report; scripts are no text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.cell = False
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.cell = True
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag in ("script", "style") else self.inside
        if tag in ("td", "th"):
            self.tables[-1][-1][-1] = self.tables[-1][-1][-1].rstrip()
            self.cell = False

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.words.append(data)
            if self.cell:
                self.tables[-1][-1][-1] = f"{self.tables[-1][-1][-1]}{data}".lstrip()

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    @property
    def figures(self) -> dict[str, Any]:
        """The figures by their label and number."""
        text = next(script for script in self.scripts if script.startswith("{"))
        return {f"{figure['label']} {name}": figure for name, figure in json.loads(text).items()}

    def table(self, head: str) -> dict[str, list[str]]:
        """The rows of the first table whose first heading is `head`, by their first cell."""
        table = next(table for table in self.tables if table[0][0] == head)
        return {row[0]: row[1:] for row in table[1:]}
