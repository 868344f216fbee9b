"""One training run: its record, its errors, resuming, several ranks."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
import yaml
from trained_helpers import Interrupting

from randwire import config as configuration
from randwire import drawing, run, wiring
from randwire.config import RunConfig
from randwire.dag import DAG
from randwire.errors import ConfigError
from randwire.model.network import RandWire
from randwire.records import Record
from randwire.study import results
from randwire.tracking import WandbTracker
from randwire.training import checkpoint
from randwire.training.loop import Training
from randwire.training.optim import learning_rate
from randwire.training.worker import ProcessWorker

CPU = torch.device("cpu")
TIMES = ("images_per_s", "seconds_loader", "seconds_step")
SMALL = {"graph.nodes": 6, "network.channels": 4, "network.head": 16, "train.epochs": 3,
         "data.resolution": 16, "runtime.wandb": "disabled"}  # fmt: skip


def settings(folder: Path, **keys: object) -> RunConfig:
    dotted = {key.replace("__", "."): value for key, value in keys.items()}
    return configuration.load("digits", {**SMALL, "runtime.output": str(folder), **dotted})


def numbers(record: Record) -> list[dict[str, Any]]:
    """The rows without what depends on the clock."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in record.metrics()]


class Stopping(ProcessWorker):
    def report(self, row: Mapping[str, Any]) -> bool:
        return bool(row["epoch"] == 2)


def test_a_trial_leaves_a_whole_record_without_ray(tmp_path: Path) -> None:
    code = "import sys; from randwire.cli import train; assert not train(); assert 'ray' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, "digits", *commands.TINY, "--train.epochs", "2", "--runtime.output", str(tmp_path),
         "--runtime.wandb", "offline"],
        capture_output=True, text=True, cwd=commands.ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = (path.parent for path in tmp_path.glob("local/*/config.yaml"))
    record = Record(folder)
    config = configuration.load(str(folder))
    assert folder.name == config.digest
    summary = record.summary()
    assert summary is not None
    assert json.loads(done.stdout) == summary
    rows = record.metrics()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert summary["val_top1"] == rows[-1]["val_top1"] > 10
    assert [row["lr"] for row in rows] == [learning_rate(epoch * 22, 22, config.train) for epoch in range(2)]
    assert set(record.graphs()) == {"conv3", "conv4", "conv5"}
    sampled = wiring.sample_graphs(config)
    for stage, text in record.graphs().items():
        assert DAG.from_text(text) == sampled[stage].dag
        assert record.read_json("dag.json")["stages"][stage]["edges"] == [
            list(edge) for edge in sampled[stage].dag.edges
        ]
    network = RandWire(config.network, {stage: DAG.from_text(text) for stage, text in record.graphs().items()}, 10)
    network.load_state_dict(checkpoint.read(record.checkpoint / "newest.pt")["network"])
    assert record.read_json("complexity.json")["params"] == sum(value.numel() for value in network.parameters())
    assert (folder / "dag.svg").read_text().startswith("<svg")
    (environment,) = record.read_json("environment.json")
    assert environment["packages"]["torch"] == "2.13.0+cpu" or environment["packages"]["torch"].startswith("2.13.0")
    assert environment["packages"]["pytorchcv"], "its initialisation decides numbers of published networks"
    assert environment["world_size"] == 1
    assert list(tmp_path.glob("local/wandb/**/*.wandb"))
    assert not list(tmp_path.rglob("*.partial"))


def test_a_recorded_configuration_replays_to_the_same_numbers(tmp_path: Path) -> None:
    first = settings(tmp_path)
    run.run(first, ProcessWorker(CPU))
    record = run.record_of(first)
    again = configuration.load(str(record.folder / "config.yaml"), {"runtime.study": "again"})
    run.run(again, ProcessWorker(CPU))
    assert again.digest == first.digest
    assert numbers(run.record_of(again)) == numbers(record)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(tmp_path: Path, dropout: float) -> None:
    whole = settings(tmp_path / "whole", network__dropout=dropout)
    run.run(whole, ProcessWorker(CPU))
    parts = settings(tmp_path / "parts", network__dropout=dropout)
    for after in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run.run(parts, Interrupting(after))
        assert run.record_of(parts).summary() is None
    assert run.run(parts, ProcessWorker(CPU))["epochs"] == 3
    assert numbers(run.record_of(parts)) == numbers(run.record_of(whole))
    states = [checkpoint.read(run.record_of(config).checkpoint / "newest.pt") for config in (whole, parts)]
    for name, tensor in states[0]["network"].items():
        assert torch.equal(tensor, states[1]["network"][name]), name


def test_rows_beyond_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run(config, Interrupting(1))
    record = run.record_of(config)
    record.append_metrics({**record.metrics()[0], "epoch": 2, "val_top1": -1.0})
    run.run(config, ProcessWorker(CPU))
    assert [row["epoch"] for row in record.metrics()] == [1, 2, 3]
    assert all(row["val_top1"] >= 0 for row in record.metrics())


def test_a_damaged_newest_checkpoint_costs_one_epoch(tmp_path: Path) -> None:
    whole, config = settings(tmp_path / "whole"), settings(tmp_path / "damaged")
    run.run(whole, ProcessWorker(CPU))
    with pytest.raises(KeyboardInterrupt):
        run.run(config, Interrupting(2))
    record = run.record_of(config)
    (record.checkpoint / "newest.pt").write_bytes(b"torn")
    run.run(config, ProcessWorker(CPU))
    assert numbers(record) == numbers(run.record_of(whole))


def test_an_ended_trial_is_not_run_again(tmp_path: Path) -> None:
    config = settings(tmp_path)
    summary = run.run(config, ProcessWorker(CPU))
    before = (run.record_of(config).folder / "metrics.jsonl").stat().st_mtime_ns
    assert run.run(config, ProcessWorker(CPU)) == summary
    assert (run.record_of(config).folder / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_loss_that_is_not_finite_ends_the_trial_as_failed(tmp_path: Path) -> None:
    keys = (*commands.TINY, "--train.epochs", "2", "--train.lr", "1e30", "--runtime.wandb", "disabled")
    done = commands.call("train.py", "digits", *keys, "--runtime.output", str(tmp_path))
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert summary["status"] == "failed"
    assert "training loss is nan in epoch 1" in summary["cause"]
    assert "train.lr" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_network_without_a_finite_validation_loss_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step of an epoch may break what the training loss of that step does not show yet."""

    def broken(training: Training, *rest: Any) -> dict[str, float]:
        torch.nn.init.constant_(next(training.network.parameters()), float("nan"))
        return {"train_loss": 2.0}

    monkeypatch.setattr(run, "train_epoch", broken)
    summary = run.run(settings(tmp_path), ProcessWorker(CPU))
    assert (summary["status"], summary["epochs"]) == ("failed", 0)
    assert summary["cause"].startswith("val loss is nan after epoch 1 ")


def test_graphs_size_and_picture_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker takes them from the record."""
    config = settings(tmp_path, runtime__variant="conv")
    calls: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            calls.append(name)
            return function(*values)

        return call

    for module, name in ((run, "sample_graphs"), (run, "count"), (drawing, "svg")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    monkeypatch.setattr(run, "train_epoch", lambda *values: pytest.fail("not reached"))
    tracker = WandbTracker("offline", "project", "study", tmp_path / "wandb")
    monkeypatch.setattr(tracker, "start", lambda record, group: calls.append(f"{record.folder.name} {group}"))
    with pytest.raises(pytest.fail.Exception):
        run.run(config, ProcessWorker(CPU), tracker)
    assert calls == ["sample_graphs", "svg", "count", f"{config.digest} WS(4,0.75) conv"]


def test_a_graph_of_two_parts_is_trained_and_recorded(tmp_path: Path) -> None:
    """The length of its paths is infinite, which JSON does not know."""
    (tmp_path / "graph.txt").write_text("0 1 0 0\n0 0 0 0\n0 0 0 1\n0 0 0 0\n")
    config = settings(tmp_path, graph__path=str(tmp_path / "graph.txt"), train__epochs=1)
    assert run.run(config, ProcessWorker(CPU))["status"] == "finished"
    stages = run.record_of(config).read_json("dag.json")["stages"]
    assert all("depth" in stage["measures"] and "path_length" not in stage["measures"] for stage in stages.values())
    (trial,), _ = results.load(tmp_path / "local")
    assert trial.measures["depth"] == 2
    assert "path_length" not in trial.measures


def test_a_stopped_trial_is_pruned(tmp_path: Path) -> None:
    summary = run.run(settings(tmp_path), Stopping(CPU))
    assert (summary["status"], summary["epochs"]) == ("pruned", 2)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of an epoch without any option."""
    config = settings(tmp_path_factory.mktemp("plain"), train__epochs=1)
    run.run(config, ProcessWorker(CPU))
    return run.record_of(config)


@pytest.mark.parametrize(
    "keys",
    [
        {"train__precision": "bf16"},
        {"train__clip_norm": 0.01},
        {"train__nesterov": True},
        {"data__flip": 0.5},
        {"train__optimizer": "adamw", "train__lr": 0.01},
        {"train__schedule": "exponential"},
        {"data__rotate": 10, "data__brightness": 0.2},
        {"network__op": "maxpool"},
    ],
    ids=str,
)
def test_options_change_the_numbers_and_train(plain: Record, tmp_path: Path, keys: dict[str, object]) -> None:
    changed = settings(tmp_path, train__epochs=1, **keys)
    assert run.run(changed, ProcessWorker(CPU))["status"] == "finished"
    assert numbers(plain) != numbers(run.record_of(changed))


def test_stage_graphs() -> None:
    base = configuration.load("small", {"network.regime": "regular"})
    shared = wiring.sample_graphs(base)
    assert list(shared) == ["conv2", "conv3", "conv4", "conv5"]
    assert shared["conv3"] == shared["conv4"] == shared["conv5"]
    assert shared["conv2"].dag.nodes == 16
    independent = wiring.sample_graphs(base.override({"graph.stages": "independent"}))
    assert len({independent[stage].dag for stage in ("conv3", "conv4", "conv5")}) == 3
    assert wiring.sample_graphs(base) == shared
    assert wiring.sample_graphs(base.override({"graph.seed": 1})) != shared
    with pytest.raises(ConfigError, match=r"conv2 of 4 nodes"):
        wiring.sample_graphs(base.override({"graph.nodes": 8}))


@pytest.mark.parametrize(("graph", "params", "mult_adds"), [
    ("ws:k=4,p=0", 5_929_468, 603_665_420), ("ba:m=5", 5_677_900, 583_760_444),
])  # fmt: skip
def test_show(graph: str, params: int, mult_adds: int, tmp_path: Path) -> None:
    keys = ("--graph.generator", graph, "--graph.seed=3", "--runtime.output", str(tmp_path / "none"))
    shown = json.loads(commands.call("train.py", "small", "--show", "--json", *keys).stdout)
    assert (shown["params"], shown["mult_adds"]) == (params, mult_adds)
    assert shown["config"]["graph"] == {
        "generator": graph, "nodes": 32, "seed": 3, "stages": "shared", "path": None, "path_sha256": None,
    }  # fmt: skip
    assert [stage["output"] for stage in shown["stages"]] == [
        [39, 112, 112], [78, 56, 56], [78, 28, 28], [156, 14, 14], [312, 7, 7], [1000, 1, 1],
    ]  # fmt: skip
    larger = json.loads(
        commands.call("train.py", "small", "--show", "--json", *keys, "--data.resolution", "320").stdout
    )
    assert larger["params"] == params
    assert larger["mult_adds"] > 2 * mult_adds
    text = commands.call("train.py", "small", "--show", *keys).stdout
    assert f"{params:,}" in text
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--graph.generator", "ws:k=3,p=0.5"], "k must be even"),
        (["digits", "--train.epochs", "-1"], "train.epochs: input should be greater than or equal to 1, is -1"),
        (["digits", "--train.epcohs", "5"], "did you mean train.epochs?"),
        (["digits", "--train.epochs"], "train.epochs: missing value"),
        (["digits", "--train.lr", "fast"], "train.lr"),
        (["digits", "5"], "unrecognized arguments: 5"),
        (["digit"], "unknown preset 'digit'"),
        (["none.yaml"], "none.yaml: cannot be read"),
        (["digits", "--data.path", "/nonexistent"], "/nonexistent"),
        (["mnist", "--data.path", "/nonexistent"], "randwire.data.convert mnist"),
        (["digits", "--runtime.output", "/proc/1/no"], "/proc/1/no"),
        (["digits", "--runtime.device", "tpu"], "runtime.device"),
        (["digits", "--train.batch_size", "2000"], "train.batch_size"),
        ([], "config"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    output = () if "--runtime.output" in arguments else ("--runtime.output", str(tmp_path / "runs"))
    done = commands.call("train.py", *arguments, *output, "--runtime.wandb", "disabled")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_process_goes_on_from_its_checkpoint(number: signal.Signals, tmp_path: Path) -> None:
    keys = (*commands.TINY, "--train.epochs", "6", "--runtime.output", str(tmp_path), "--runtime.wandb", "offline")
    process = commands.popen(["train.py", "digits", *keys])
    deadline = time.monotonic() + 120
    while not (rows := list(tmp_path.glob("local/*/checkpoint/newest.pt"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert rows, stderr
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), stderr
    assert "Traceback" not in stderr
    done = commands.call("train.py", "digits", *keys)
    assert done.returncode == 0
    assert "epoch 1/6" not in done.stderr
    assert "epoch 6/6" in done.stderr
    assert json.loads(done.stdout)["epochs"] == 6


def test_one_process_at_a_time_works_on_a_trial(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with run.record_of(config).lock():
        done = commands.call("train.py", "digits", *(f"--{key}={value}" for key, value in SMALL.items()),
                            "--runtime.output", str(tmp_path))  # fmt: skip
    assert done.returncode == 2
    assert "another process is working on this trial" in done.stderr


def test_torchrun_trains_one_network_on_two_ranks(tmp_path: Path) -> None:
    """By the README's command; an edge is dropped in every step, and ranks wait for the gradients of all parameters."""
    words = shlex.split(commands.TORCHRUN)
    keys = [f"--{key}={value}" for key, value in {**SMALL, "network.drop_edge": 1}.items()]
    done = commands.run("-m", "torch.distributed.run", *words[1:], *keys, "--runtime.output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("local/*/config.yaml")
    record = Record(path.parent)
    assert [part["world_size"] for part in record.read_json("environment.json")] == [2]
    assert [row["epoch"] for row in record.metrics()] == [1, 2, 3]
    single = settings(tmp_path / "single", graph__seed=4, network__drop_edge=1)
    run.run(single, ProcessWorker(CPU))
    one_rank, two_ranks = numbers(run.record_of(single))[0], numbers(record)[0]
    assert yaml.safe_load(path.read_text())["train"]["batch_size"] == 64
    # The same images in the same steps: only the statistics of BN are taken over half of a batch.
    assert two_ranks["train_loss"] == pytest.approx(one_rank["train_loss"], abs=0.15)
    assert two_ranks["lr"] == one_rank["lr"]
