"""J. A sweep moves while an epoch lasts."""

import asyncio
import io
import re
import sys
from pathlib import Path
from typing import cast

import pytest
from study_helpers import design
from terminals import Terminal

from randwire.config import RunConfig
from randwire.study.setting import Setting
from randwire.sweep import progress as module
from randwire.sweep.callback import TrackingCallback
from randwire.sweep.channel import Channel
from randwire.sweep.cluster import Timeouts
from randwire.sweep.progress import Progress
from randwire.tracking import NullTracker


class _Stderr(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def sweeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> tuple[TrackingCallback, RunConfig]:
    monkeypatch.setattr(sys, "stderr", _Stderr(terminal))
    monkeypatch.setenv("TERM", "xterm")
    study = design(tmp_path, settings=1, seeds=1)
    progress = Progress(8, lambda config: Setting.of(config).label)
    callback = TrackingCallback(study, NullTracker(), progress, Timeouts(storage_s=0.0))
    (trial,) = study.trials(Setting.parse("ws:k=4,p=0.75"))
    callback.trials[trial.digest] = trial
    return callback, trial


@pytest.mark.condition("J", "a sweep on a terminal whose epochs take long", "steps move its bar by parts of an epoch")
def test_steps_move_the_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    callback, trial = sweeping(tmp_path, monkeypatch, terminal=True)
    bar = callback.progress.bar
    bar.mininterval = 0.0
    callback.on_steps({trial.digest: (1, 30, 120), "of another sweep": (1, 1, 2)})
    assert bar.n == 0.25
    assert "WS(4,0.75) g0 t0 epoch 1/4 step 30/120" in str(bar)
    assert "0.25/8" in str(bar)
    callback.progress.epoch(trial, {"epoch": 1})
    callback.on_steps({trial.digest: (1, 120, 120)})  # told before the row, and seen after it
    assert bar.n == 1
    callback.on_steps({trial.digest: (2, 60, 120)})
    assert bar.n == 1.5
    callback.on_steps({trial.digest: (2, 30, 120)})  # lost, and trained again from the last checkpoint
    assert bar.n == 1.25
    callback.ended.add(trial.digest)
    callback.on_steps({trial.digest: (2, 120, 120)})
    assert bar.n == 1.25


@pytest.mark.condition("J", "a sweep without a terminal whose epochs take long", "a line every few minutes")
def test_without_a_terminal_a_line_tells_of_long_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    callback, trial = sweeping(tmp_path, monkeypatch, terminal=False)
    stderr = cast(_Stderr, sys.stderr)
    callback.on_steps({trial.digest: (1, 30, 120)})
    assert stderr.getvalue() == ""
    monkeypatch.setattr(module, "LINE_S", 0.0)
    callback.on_steps({trial.digest: (1, 31, 120)})
    assert stderr.getvalue() == "WS(4,0.75) g0 t0 epoch 1/4 step 31/120\n"


def test_a_channel_keeps_the_last_step_of_its_training() -> None:
    async def told() -> object:
        channel = Channel()
        assert await channel.receive_steps() == {}
        await channel.send_step("a", (1, 2, 3))
        await channel.send_step("b", (1, 1, 3))
        return await channel.receive_steps()

    assert asyncio.run(told()) == {"b": (1, 1, 3)}


@pytest.mark.cluster
@pytest.mark.timeout(700)
def test_the_bar_of_a_sweep_moves_within_its_only_epoch(tmp_path: Path) -> None:
    terminal = Terminal(
        "studies/generators.py", "sweep", "--generators", "ws", "--settings", "1", "--seeds", "1", "--workers", "1",
        "--graph.nodes", "6", "--network.channels", "4", "--network.head", "16", "--train.epochs", "1",
        "--train.batch_size", "4", "--runtime.wandb", "disabled", "--runtime.output", str(tmp_path), columns=160,
    )  # fmt: skip
    try:
        shown = terminal.until(lambda shown: len(set(re.findall(r"epoch 1/1 step (\d+)/359", shown))) > 1, 500)
        assert re.search(r"\| 0\.\d*[1-9]\d*/1 \[", shown)
    finally:
        assert terminal.close() in (0, 130)  # the epoch may have ended by now
