"""A GPU that PyTorch cannot use is told in one line, and never just left out."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed import HashStore  # type: ignore[attr-defined]

from randwire import machine
from randwire.errors import ConfigError
from randwire.training import gpus, worker
from randwire.training.worker import pick_device, process_group

OLD = (
    "The NVIDIA driver on your system is too old (found version 11040).\nPlease update your GPU driver by downloading "
    "and installing a new version"
)
BUILT = f"PyTorch {torch.__version__}"
MEND = "; mend that, or use --runtime.device cpu\n"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that may be given GPUs, and a process that has told of none."""
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    worker._tell.cache_clear()
    return tmp_path


def files(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def broken_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build for CUDA whose driver does not serve it; PyTorch warns of that, in lines of its own."""

    def init() -> None:
        raise RuntimeError(OLD)

    def is_available() -> bool:
        warnings.warn(f"CUDA initialization: {OLD}", stacklevel=1)
        return False

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.cuda, "is_available", is_available)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["dev/nvidia0", "dev/nvidiactl", "dev/nvidia-uvm"], "this machine has /dev/nvidia0"),
        (["dev/nvidia0", "dev/nvidia3"], "this machine has /dev/nvidia0 and /dev/nvidia3"),
        (["dev/nvidia10", "dev/nvidia2", "dev/nvidia0"], "this machine has /dev/nvidia0 and 2 more"),
        (["proc/driver/nvidia/gpus/0000:01:00.0/information"], "the driver of this machine lists 1 GPU"),
    ],
)
def test_auto_tells_what_it_leaves_out(
    names: list[str], found: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pick_device("auto").type == "cpu"
    assert capsys.readouterr().err == ""
    files(root, *names)
    assert [pick_device("auto").type for _ in range(2)] == ["cpu", "cpu"]
    line = capsys.readouterr().err
    assert line.startswith(f"runtime.device: auto is cpu here: {found}")
    assert line.endswith(f", and {BUILT} is built without CUDA{MEND}")
    assert line.count("\n") == 1
    broken_driver(monkeypatch)
    assert pick_device("auto", local_rank=1).type == "cpu"
    assert capsys.readouterr().err == "", "the first rank of the machine tells it"
    assert pick_device("auto").type == "cpu"
    assert capsys.readouterr().err.endswith(f", and {BUILT} cannot use it: {OLD.replace(chr(10), ' ')}{MEND}")


def test_cuda_is_refused_with_the_same_reason(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _refused() == "runtime.device: is cuda, but PyTorch finds no GPU; use auto or cpu"
    files(root, "dev/nvidia0")
    broken_driver(monkeypatch)
    reason = f"this machine has /dev/nvidia0, and {BUILT} cannot use it: {OLD.replace(chr(10), ' ')}"
    assert _refused() == f"runtime.device: is cuda, but PyTorch finds no GPU ({reason}); use auto or cpu"


def _refused() -> str:
    with pytest.raises(ConfigError) as caught:
        pick_device("cuda")
    return str(caught.value)


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"])
@pytest.mark.parametrize("value", gpus.HIDDEN)
def test_gpus_that_are_hidden_on_purpose_are_not_told(
    name: str, value: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files(root, "dev/nvidia0")
    monkeypatch.setenv(name, value)
    assert pick_device("auto").type == "cpu"
    assert capsys.readouterr().err == ""


def test_a_choice_of_gpus_that_gives_none_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(root, "dev/nvidia0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    seen = f"this machine has /dev/nvidia0, CUDA_VISIBLE_DEVICES is '7', and {BUILT} finds none"
    assert gpus.unusable() == seen


def test_who_asks_for_the_cpu_is_told_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(root, "dev/nvidia0")
    assert pick_device("cpu").type == "cpu"
    assert capsys.readouterr().err == ""


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", given.append)
    assert pick_device("auto", 1) == torch.device("cuda", 1)
    assert given == [torch.device("cuda", 1)]
    with pytest.raises(ConfigError) as caught:
        pick_device("auto", 2)
    assert str(caught.value) == (
        "--nproc-per-node: rank 2 of this machine has no GPU, for PyTorch finds 2; start at most 2 ranks here, or use "
        "--runtime.device cpu"
    )


@pytest.mark.parametrize(
    ("device", "backend", "bound"),
    [(torch.device("cuda", 1), "nccl", torch.device("cuda", 1)), (torch.device("cpu"), "gloo", None)],
)
def test_a_group_of_gpus_is_bound_to_the_gpu_of_its_rank(
    device: torch.device, backend: str, bound: torch.device | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise NCCL guesses the device by the rank, and says so at every barrier."""

    def init(name: str, **keywords: object) -> None:
        assert (name, keywords) == (backend, {"device_id": bound})
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "pick_device", lambda choice, local_rank: device)
    monkeypatch.setattr(distributed, "init_process_group", init)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(KeyboardInterrupt), process_group("auto"):
        pass


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((8, 9), "sm_75 sm_80 sm_90 compute_120", True),
        ((9, 0), "sm_75 sm_80 sm_90 compute_120", True),
        ((7, 0), "sm_75 sm_80 sm_90 compute_120", False),  # a V100 and a build for CUDA 13
        ((10, 0), "sm_75 sm_80 sm_90", False),
        ((10, 0), "sm_75 sm_80 compute_90", True),
        ((12, 0), "sm_90 sm_100 sm_120a", True),
    ],
)
def test_a_build_without_code_for_the_gpu_is_told(
    capability: tuple[int, int], built: str, runs: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(root, "dev/nvidia0")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    values = {"is_available": True, "device_count": 1, "get_device_capability": capability, "get_device_name": "A GPU"}
    for name, value in {**values, "get_arch_list": built.split(), "set_device": None}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    assert gpus.usable() == runs
    if runs:
        assert pick_device("auto").type == "cuda"
        return
    number = 10 * capability[0] + capability[1]
    reason = f"this machine has /dev/nvidia0, and {BUILT} is built for {built}, and A GPU is sm_{number}"
    assert gpus.unusable() == reason
    assert pick_device("auto").type == "cpu"
    assert _refused() == f"runtime.device: is cuda, but PyTorch finds no GPU ({reason}); use auto or cpu"


def test_a_gpu_whose_driver_fails_later_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def capability(device: int) -> tuple[int, int]:
        raise RuntimeError(OLD)

    files(root, "dev/nvidia0")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    for name, value in {"is_available": True, "device_count": 1, "get_arch_list": ["sm_90"]}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert gpus.unusable() == f"this machine has /dev/nvidia0, and {BUILT} cannot use it: {OLD.replace(chr(10), ' ')}"


@pytest.mark.parametrize(
    ("kind", "error", "destroyed"),
    [("cuda", ValueError, False), ("cuda", KeyboardInterrupt, True), ("cuda", None, True), ("cpu", ValueError, True)],
)
def test_a_rank_that_fails_does_not_wait_for_the_others(
    kind: str, error: type[BaseException] | None, destroyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(worker, "pick_device", lambda choice, local_rank: torch.device(kind, 0))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: ended.append(True))
    for name in ("init_process_group", "get_rank", "get_world_size"):
        monkeypatch.setattr(distributed, name, lambda *_, **__: 0)
    monkeypatch.setattr(distributed.distributed_c10d, "_get_default_store", lambda: HashStore())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with contextlib.suppress(ValueError, KeyboardInterrupt), process_group("auto"):
        if error is not None:
            raise error
    assert bool(ended) == destroyed
