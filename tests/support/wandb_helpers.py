"""A record to track, and what wandb has written or sent of it.

`script` makes a process that has these names.
"""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_wandb_server import FakeServer

from randwire import config as configuration
from randwire import drawing
from randwire.dag import DAG
from randwire.records import Record

KEY = "5ec2e7" * 7  # long enough to pass for an API key
DAGS: dict[str, Any] = {
    "stages": {
        "conv3": {"nodes": 3, "edges": [[0, 1], [1, 2]], "redraws": 2, "measures": {"depth": 3, "clustering": 0.5}},
        "conv4": {"nodes": 2, "edges": [[0, 1]], "redraws": 0, "measures": {"depth": 2}},
    }
}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

SVG = "<svg><title>a DAG</title></svg>"
KEYS = {"graph.generator": "ws:k=4,p=0.75", "graph.seed": 3, "train.seed": 1}
CONFIG = configuration.load("digits", KEYS)
GROUP = "WS(4,0.75)"
WANDB_HEADER_BYTES = 7


def without_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without a W&B account, whose home is a new folder, in this process and in those it starts."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("NETRC", str(folder / ".netrc"))
    monkeypatch.setattr(drawing, "png", lambda dags, title: PNG)  # matplotlib takes its time


def record(name: str) -> Record:
    """A record without epochs, in the user's home."""
    record = Record(Path(os.environ["HOME"], "records", name))
    record.write_text("config.yaml", CONFIG.to_yaml())
    record.write_json("dag.json", DAGS)
    record.write_text("dag.svg", SVG)
    for stage, about in DAGS["stages"].items():
        record.write_text(f"graphs/{stage}.txt", DAG(about["nodes"], tuple(map(tuple, about["edges"]))).to_text())
    record.write_json("complexity.json", {"params": 1000, "mult_adds": 2000, "stages": []})
    return record


def row(epoch: int, top1: float = 0.5) -> dict[str, Any]:
    return {
        "epoch": epoch, "lr": 0.1 / epoch, "train_loss": 2.0, "val_loss": 1.5, "val_top1": top1, "val_top5": 0.75,
        "images_per_s": 100.0, "seconds_loader": 0.25, "seconds_step": 1.0, "steps": 8, "digest": "not for W&B",
    }  # fmt: skip


def written(folder: Path, name: str = "") -> list[Path]:
    """The files of a trial's runs, in order of their start; wandb may write one a moment after its run has ended."""
    files = sorted(folder.glob(f"wandb/*run-*-{name}*/run-*.wandb"))
    deadline = time.monotonic() + 10
    while any(file.stat().st_size <= WANDB_HEADER_BYTES for file in files) and time.monotonic() < deadline:
        time.sleep(0.02)
    return files


def fragments(folder: Path, name: str) -> list[list[dict[str, Any]]]:
    """The records of every fragment of a run, in order of their start."""
    from wandb.util import get_core_path

    all_fragments = []
    for file in written(folder, name):
        command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(file)]
        lines = subprocess.run([*command, str(folder / "wandb")], capture_output=True, text=True, timeout=30).stdout
        all_fragments.append([json.loads(line) for line in lines.splitlines()])
    return all_fragments


def records(folder: Path, name: str, kind: str) -> list[dict[str, Any]]:
    return [each[kind] for fragment in fragments(folder, name) for each in fragment if each["type"] == kind]


def history(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of the epochs, without the row of the pictures."""
    return [item for item in (each["item"] for each in records(folder, name, "history")) if item["epoch"] > 0]


def summary(folder: Path, name: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in records(folder, name, "summary"):
        merged |= each["update"]
    return merged


_PRELUDE = """
import os, sys, time
sys.path[:0] = {paths}
from pathlib import Path
from randwire import drawing
from randwire.errors import TrackingError
from randwire.tracking import Choice, NullTracker, connection, open_tracker
from wandb_helpers import *
drawing.png = lambda dags, title: PNG  # matplotlib takes its time
"""


def script(body: str, *arguments: object) -> list[str]:
    """The command of a process that runs `body` with the names of this module."""
    root = Path(__file__).parents[2]
    prelude = _PRELUDE.format(paths=[str(root / "tests" / "support"), str(root)])
    return [sys.executable, "-c", prelude + body, *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def sync(folder: Path, server: FakeServer) -> None:
    """Upload what is offline in a folder, as a user does."""
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "wandb"],
        cwd=folder,
        env=environment(WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url, WANDB_ERROR_REPORTING="false"),
        capture_output=True,
        check=True,
        timeout=60,
    )
