"""A device without enough memory: one line that says what to lower, wherever the device is used, and no second try."""

import contextlib
import json
import os
import socket
import weakref
from collections.abc import Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import killed_ranks
import pytest
import ray
import ray.train
import torch
from study_helpers import design
from torch import Tensor
from trained_helpers import CPU, SMALL, settings

from randwire import cli
from randwire import config as configuration
from randwire.errors import DeviceMemoryError
from randwire.model.network import RandWire
from randwire.records import Record
from randwire.study.design import Design
from randwire.study.setting import Setting
from randwire.sweep import worker
from randwire.sweep.channel import USER_ERROR
from randwire.sweep.job import Job
from randwire.training.memory import is_out_of_memory, told_of_memory, training_told
from randwire.training.worker import ProcessWorker

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 1.20 GiB. GPU 0 has a total capacity of 21.96 GiB of which 88.00 MiB is "
    "free. Including non-PyTorch memory, this process has 21.86 GiB memory in use. If reserved but unallocated memory "
    "is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"
)
TRAINING = (
    "cpu: not enough memory for a training of {} images of 32 x 32 pixels a rank in {} (Tried to allocate 1.20 GiB); "
    "to go on with it, set runtime.recompute or train on more ranks; for another one, lower train.batch_size or lower "
    "data.resolution"
)
TOO_LARGE = "cpu: not enough memory for {} (Tried to allocate 1.20 GiB); "


@contextlib.contextmanager
def full_after(calls: int, training: bool = True) -> Iterator[None]:
    """Networks that train, or that do not, find no memory after so many calls."""
    forward, left = RandWire.forward, [calls]

    def full(network: RandWire, images: Tensor) -> Tensor:
        if network.training == training:
            if not left[0]:
                raise torch.OutOfMemoryError(OUT_OF_MEMORY)
            left[0] -= 1
        return forward(network, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RandWire, "forward", full)
        yield


def told(*arguments: str) -> str:
    """The last line of a command that ends for the memory of its device."""
    done = commands.call(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_training_is_a_line_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    keys = {**SMALL, "train.epochs": 2, "train.batch_size": 720, "runtime.output": str(tmp_path)}
    words = ("train.py", "digits", *(f"--{key}={value}" for key, value in keys.items()))
    with full_after(1):  # an epoch has one step
        assert told(*words) == f"error: {TRAINING.format(720, 'fp32')} or train in bf16"
    (path,) = tmp_path.glob("local/*")
    assert Record(path).summary() is None
    assert [row["epoch"] for row in Record(path).metrics()] == [1]
    done = commands.call(*words, "--runtime.recompute=true")
    assert done.returncode == 0
    assert "epoch 1/2" not in done.stderr
    assert json.loads(done.stdout)["epochs"] == 2


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        ({"runtime.recompute": True}, "to go on with it, train on more ranks; for another one, "),
        ({"runtime.step": "captured"}, "set runtime.recompute or train on more ranks or use runtime.step eager; for"),
        ({"train.precision": "bf16"}, "lower train.batch_size or lower data.resolution$"),
        ({"network.reference": "pytorchcv:resnet20_cifar10"}, "to go on with it, train on more ranks; for another"),
    ],
)
def test_it_advises_what_is_not_done_yet(keys: Mapping[str, object], advice: str, tmp_path: Path) -> None:
    config = configuration.load("digits", {**keys, "runtime.output": str(tmp_path)})
    with pytest.raises(DeviceMemoryError, match=advice), training_told(config, ProcessWorker(CPU)):
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)


def test_a_share_of_a_gpu_may_be_raised(tmp_path: Path) -> None:
    sharing = ProcessWorker(CPU)
    sharing.gpu_share = 0.25
    with (
        pytest.raises(DeviceMemoryError, match="or raise --gpus-per-worker"),
        training_told(settings(tmp_path), sharing),
    ):
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)


def test_evaluations_and_predictions_are_a_line(trained: Path, pictures: Any, tmp_path: Path) -> None:
    evaluation = TOO_LARGE.format("an evaluation of {} images of 32 x 32 pixels at a time in fp32")
    lower = "lower train.batch_size, which is that of an evaluation too, or use --runtime.device cpu"
    with full_after(0, training=False):
        assert told("train.py", str(trained), "--evaluate") == f"error: {evaluation.format(64)}{lower}"
        words = ("studies/damage.py", "run", str(trained), "--nodes=0", "--edges=0", "--recalibrate=0")
        few = ("--train.batch_size=7", "--output", str(tmp_path))
        assert told(*words, *few) == f"error: {evaluation.format(7)}{lower}"
        task = TOO_LARGE.format("the prediction of up to 4 images of 32 x 32 pixels at a time in fp32")
        assert (
            told("train.py", str(trained), "--predict", str(pictures[0][0])) == f"error: {task}use --runtime.device cpu"
        )


def test_a_setting_of_a_sweep_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row that its worker sends ends the setting: see test_driver.py."""
    study = Design(design(tmp_path).base.override({**SMALL, "train.epochs": 2}), settings=1, seeds=1)
    study.open()
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    resources = SimpleNamespace(get_assigned_resources=lambda: {"CPU": 1})
    for name, value in (("get_runtime_context", lambda: resources), ("get", lambda value: value)):
        monkeypatch.setattr(ray, name, value)
    monkeypatch.setattr(worker, "get_device", lambda: CPU)
    monkeypatch.setattr(worker, "machines_going", frozenset)
    monkeypatch.setattr(ray.train, "report", lambda row: None)
    sent: list[Any] = []
    channel = SimpleNamespace(
        send_step=SimpleNamespace(remote=lambda *_: None), send_row=SimpleNamespace(remote=sent.append)
    )
    setting = Setting.parse("ws:k=4,p=0.75")
    job = Job(study, workers=1, scratch="", losses=4)
    with full_after(0), pytest.raises(DeviceMemoryError):
        worker.train_setting(setting, job, channel)
    assert sent == [{USER_ERROR: f"{TRAINING.format(64, 'fp32')} or train in bf16"}]
    (trial,) = study.trials(setting)
    assert study.record(trial).summary() is None


def _rank(words: list[str], rank: int, port: int, stderr: Path) -> None:
    """One of two ranks as torchrun starts it, whose second has no memory left in its third step."""
    torch.set_num_threads(1)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    about |= {"RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_RUN_ID": "none"}
    os.environ.update({name: str(value) for name, value in about.items()})
    with full_after(2 if rank else 1000):
        os._exit(cli.train(words))


def test_each_rank_of_torchrun_has_the_line(tmp_path: Path) -> None:
    """Also the one that would fail for the connection that is lost."""
    keys = {**SMALL, "runtime.output": str(tmp_path), "train.batch_size": 360, "train.precision": "bf16"}
    words = ["digits", *(f"--{key}={value}" for key, value in keys.items())]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    killed_ranks.start_server()
    files = [tmp_path / f"rank{rank}.txt" for rank in range(2)]
    processes: list[BaseProcess] = [
        killed_ranks.CONTEXT.Process(target=_rank, args=(words, rank, port, files[rank])) for rank in range(2)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(commands.PATIENCE)
    finally:
        for process in processes:
            process.kill()
            process.join()
    line = TRAINING.format(180, "bf16")
    assert [file.read_text().splitlines()[-1] for file in files] == [f"error: rank 1: {line}", f"error: {line}"]
    assert "Traceback" not in files[0].read_text() + files[1].read_text()
    assert [process.exitcode for process in processes] == [2, 2]
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("NCCL error: unhandled cuda error, Last error:\nCuda failure 2 'out of memory'", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", False),
    ],
)
def test_what_the_libraries_say_of_memory(text: str, memory: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) == memory
    assert is_out_of_memory(ValueError(text)) is False


def test_what_ends_after_it_does_not_hide_it() -> None:
    def capture() -> None:
        try:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    with pytest.raises(DeviceMemoryError, match=r"\(Tried to allocate 1\.20 GiB\)"), told_of_memory("a task", "advice"):
        capture()


def test_other_errors_are_left_as_they_are() -> None:
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError) as caught, told_of_memory("a task", "advice"):
        raise error
    assert caught.value is error


def test_a_gpu_tells_its_memory_as_far_as_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 1 << 30
    answers = {"current_device": 1, "mem_get_info": (gib // 2, 22 * gib), "memory_reserved": 20 * gib}
    for name, value in {**answers, "is_available": True, "get_device_name": "NVIDIA L4"}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    assert _line() == (
        "cuda:1 (NVIDIA L4, 22.0 GiB, 20.0 of them of this process, 0.5 free): not enough memory for a task (Tried to "
        "allocate 1.20 GiB); advice"
    )

    def failed(*_: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", failed)
    assert _line() == "cuda: not enough memory for a task (Tried to allocate 1.20 GiB); advice"


def _line() -> str:
    with pytest.raises(DeviceMemoryError) as caught, told_of_memory("a task", "advice"):
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)
    return str(caught.value)


def test_the_tensors_of_the_step_are_freed() -> None:
    """Who goes on in the same process, in a notebook say, finds the memory that the failed step has held."""
    seen: list[weakref.ref[Tensor]] = []

    def step() -> None:
        held = torch.zeros(3)
        seen.append(weakref.ref(held))
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)

    with pytest.raises(DeviceMemoryError) as caught, told_of_memory("a task", "advice"):
        step()
    assert caught.value.__context__ is not None
    assert seen[0]() is None
