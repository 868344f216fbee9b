"""`train.precision`: what products are computed in is set on purpose, and refused where the device does not have it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
from torch import distributed
from trained_helpers import CPU, SMALL, refused, settings

from randwire import run
from randwire.errors import ConfigError
from randwire.records import Row
from randwire.training.evaluate import full_precision
from randwire.training.precision import check_precision, computing, in_force
from randwire.training.worker import ProcessWorker

GPU = torch.device("cuda", 0)
PRECISIONS = {"fp32": "ieee", "tf32": "tf32", "bf16": "ieee"}


@pytest.fixture
def products() -> Iterator[list[Any]]:
    """What says how fp32 numbers are multiplied, put back as it was after the test."""
    backends: Any = torch.backends
    settings = [backends.cudnn.conv, backends.cuda.matmul]
    before = [setting.fp32_precision for setting in settings]
    yield settings
    for setting, value in zip(settings, before, strict=True):
        setting.fp32_precision = value


def gpus(monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    """A machine that pretends to have GPUs of these compute capabilities."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device.index])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("default", ["none", "ieee", "tf32"])
def test_it_is_set_for_the_training_and_put_back(name: str, default: str, products: list[Any]) -> None:
    for setting in products:
        setting.fp32_precision = default
    before, own = in_force(GPU), PRECISIONS[name]

    def train() -> None:
        with computing(name, GPU):
            assert in_force(GPU) == {"convolutions": own, "products": own, "cudnn_benchmark": True}
            with full_precision(CPU):  # of an evaluation between two epochs
                assert in_force(GPU) == {"convolutions": "ieee", "products": "ieee", "cudnn_benchmark": True}
            assert in_force(GPU) == {"convolutions": own, "products": own, "cudnn_benchmark": True}
            raise KeyError

    with pytest.raises(KeyError):
        train()
    assert in_force(GPU) == before


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_cpu_computes_as_it_did(name: str) -> None:
    before = in_force(GPU)
    with computing(name, CPU):
        assert in_force(GPU) == before
        assert in_force(CPU) is None


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_run_computes_in_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, (9, 0))
    monkeypatch.setattr(run, "_train", lambda *_: in_force(GPU))
    seen: Row | None = run.run(settings(tmp_path, train__precision=name), ProcessWorker(GPU))
    assert seen is not None
    assert {seen["convolutions"], seen["products"]} == {PRECISIONS[name]}


def test_tf32_on_a_cpu_is_a_line_before_anything_is_written(tmp_path: Path) -> None:
    keys = [f"--{key}={value}" for key, value in SMALL.items()]
    told = refused("digits", *keys, "--train.precision", "tf32", "--runtime.output", str(tmp_path))
    assert told == (
        "error: train.precision: tf32 is for GPUs, and the device of this training is cpu; use fp32 or bf16\n"
    )
    assert not [*tmp_path.rglob("*.json"), *tmp_path.rglob("config.yaml")]


@pytest.mark.parametrize("name", ["tf32", "bf16"])
def test_an_old_gpu_is_a_line_with_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, (7, 5), (8, 0))
    with pytest.raises(ConfigError) as caught:
        check_precision(name, ProcessWorker(GPU))
    assert str(caught.value) == (
        f"train.precision: {name} takes a GPU of compute capability 8.0 or later, and cuda:0 (GPU 0) has 7.5; use fp32"
    )
    check_precision("fp32", ProcessWorker(GPU))
    check_precision(name, ProcessWorker(torch.device("cuda", 1)))


def test_all_ranks_end_if_the_gpu_of_one_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, (8, 0), (7, 0))
    texts, barrier, told = ["", ""], threading.Barrier(2), ["", ""]

    def gather(gathered: list[str], own: str) -> None:
        texts[int(threading.current_thread().name)] = own
        barrier.wait(60)
        gathered[:] = texts

    def rank(number: int) -> None:
        try:
            check_precision("bf16", ProcessWorker(torch.device("cuda", number), number, 2))
        except ConfigError as error:
            told[number] = str(error)

    monkeypatch.setattr(distributed, "all_gather_object", gather)
    threads = [threading.Thread(target=rank, args=[number], name=str(number)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told[0] == told[1]
    assert "cuda:1 (GPU 1) has 7.0" in told[0]


def test_a_sweep_on_cpus_refuses_tf32_before_it_starts(tmp_path: Path) -> None:
    keys = ("--train.precision", "tf32", "--runtime.device", "cpu", "--runtime.output", str(tmp_path))
    done = commands.call("studies/generators.py", "sweep", *keys)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: train.precision: tf32 is for GPUs, and the device of this training is cpu; use fp32 or bf16\n"
    )
    assert list(tmp_path.iterdir()) == []
