"""What the record of a training on a GPU tells of it, and what a report makes of that."""

from pathlib import Path
from typing import Any

import pytest
import torch
from report_helpers import Page, add_trial

from randwire import machine
from randwire.environment import environment
from randwire.parts import parts_of
from randwire.records import Record
from randwire.report.page.study_page import write_report
from randwire.training import gpus
from randwire.training.precision import computing
from randwire.training.worker import ProcessWorker

GPU = torch.device("cuda", 0)
DRIVERS = {
    "535.183.01": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024",
    "550.90.07": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.90.07  Release Build  (dvs-builder@U16)",
}
CUDA = {"CUDA": "12.8", "cuDNN": "9.10.2", "NCCL": "2.27.5", "driver": "550.90.07", "Triton": "3.6.0"}
ARITHMETIC = {"convolutions": "ieee", "products": "ieee", "cudnn_benchmark": True}


def _driver(root: Path, text: str) -> None:
    path = root / "proc/driver/nvidia/version"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")


@pytest.mark.parametrize("version", DRIVERS)
def test_the_version_of_the_driver(version: str, tmp_path: Path) -> None:
    assert gpus.driver(tmp_path) is None
    _driver(tmp_path, DRIVERS[version])
    assert gpus.driver(tmp_path) == version
    _driver(tmp_path, "another text")
    assert gpus.driver(tmp_path) is None


@pytest.mark.parametrize(("precision", "set_to"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_a_record_tells_what_is_beneath_and_what_is_in_force(
    precision: str, set_to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _driver(tmp_path, DRIVERS["550.90.07"])
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 27, 5))
    monkeypatch.setattr("randwire.environment._version", {"triton": "3.6.0"}.get)
    worker = ProcessWorker(GPU)
    worker.gpu_share = 0.25
    with computing(precision, GPU):
        about = environment(worker, "")
    assert about["cuda"] == CUDA
    assert about["arithmetic"] == {"convolutions": set_to, "products": set_to, "cudnn_benchmark": True}
    assert (about["hardware"]["gpu"], about["hardware"]["gpu_share"]) == ("Some GPU", 0.25)


def test_a_record_of_a_cpu_has_none_of_it() -> None:
    about = environment(ProcessWorker(torch.device("cpu")), "")
    assert (about["cuda"], about["arithmetic"], about["hardware"]["gpu_share"]) == (None, None, None)


def test_versions_of_cudnn() -> None:
    assert [gpus._of_cudnn(number) for number in (None, 8902, 90100, 91002)] == [None, "8.9.2", "9.1.0", "9.10.2"]


def _study(folder: Path, *changes: dict[str, Any]) -> str:
    """The text of the report on a study whose trials differ in what is told of them."""
    for seed, each in enumerate(changes):
        record = Record(folder / add_trial(folder, graph_seed=seed).digest)
        before = record.read_json("environment.json")
        record.write_json("environment.json", {**before, **each})
    text = Page(write_report(folder)).text
    assert isinstance(text, str)
    return text


def test_a_report_tells_what_was_beneath_and_in_force(tmp_path: Path) -> None:
    hardware = {"gpu": "Some GPU", "gpu_share": 0.25}
    text = _study(tmp_path, *[{"cuda": CUDA, "arithmetic": ARITHMETIC, "hardware": hardware}] * 2, {})
    assert "CUDA 12.8, cuDNN 9.10.2, NCCL 2.27.5, driver 550.90.07, Triton 3.6.0" in text
    assert "convolutions ieee, products ieee, cudnn benchmark on" in text
    assert "0.25 of a Some GPU" in text
    assert "beneath PyTorch" not in text, "a record of before tells nothing of it"
    assert "ways" not in text


def test_a_report_tells_where_trials_differ_in_it(tmp_path: Path) -> None:
    other, faster = {**CUDA, "driver": "535.183.01"}, {**ARITHMETIC, "convolutions": "tf32"}
    text = _study(
        tmp_path, {"cuda": CUDA, "arithmetic": ARITHMETIC}, {"cuda": other, "arithmetic": faster}, {"cuda": None}
    )
    assert "The trials ran with different versions beneath PyTorch: CUDA 12.8, cuDNN 9.10.2" in text
    exact = "convolutions ieee, products ieee, cudnn benchmark on"
    assert f"Trials in fp32 computed in 2 ways: {exact}; convolutions tf32, products ieee" in text


def test_a_report_tells_what_changed_within_a_trial(tmp_path: Path) -> None:
    record = Record(tmp_path / add_trial(tmp_path).digest)
    before = record.read_json("environment.json")
    first = {**before, "cuda": CUDA, "arithmetic": ARITHMETIC}
    changed = {"cuda": {**CUDA, "CUDA": "13.0"}, "arithmetic": {**ARITHMETIC, "cudnn_benchmark": False}}
    record.write_json("environment.json", [first, {**before, **changed, "first_epoch": 3, "first_step": 1}])
    text = Page(write_report(tmp_path)).text
    assert "1 trial went on with other versions beneath PyTorch than it began" in text
    assert "1 trial went on in another arithmetic than it began" in text


def test_a_damaged_part_is_told(tmp_path: Path) -> None:
    record = Record(tmp_path)
    for name in ("cuda", "arithmetic"):
        record.write_json("environment.json", [{name: 5}])
        with pytest.raises(ValueError, match="damaged: must hold a list of objects"):
            parts_of(record)
