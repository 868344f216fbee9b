"""A GPU that PyTorch cannot use, in a sweep: told once where ranks may train on CPUs, an error where they may not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import commands
import pytest
import ray
import ray.train
import torch
from study_helpers import design, end
from test_adapters import SETTING, SHORT, _Reports
from test_driver import _Driver
from trained_helpers import SMALL

from randwire import machine
from randwire.errors import ConfigError
from randwire.records import Row
from randwire.study.design import Design
from randwire.study.setting import Setting
from randwire.sweep import launch, worker
from randwire.sweep.channel import SETTING_ENDED, TOLD, USER_ERROR
from randwire.sweep.cluster import Cluster
from randwire.sweep.job import Job
from randwire.tracking import NullTracker

SEEN = f"machine-7 has a GPU for a rank, and PyTorch {torch.__version__} there is built without CUDA"


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get", lambda value: value)


def _study(folder: Path, device: str) -> Design:
    base = design(folder).base.override({**SMALL, "train.epochs": 1, "runtime.device": device})
    study = Design(base, settings=1, seeds=1)
    study.open()
    return study


def _sent(study: Design, monkeypatch: pytest.MonkeyPatch, gpus_per_worker: float = 1.0) -> list[Row]:
    """What the rank of a trial sends through the channel, on a machine whose PyTorch cannot use the GPU it is given."""
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    monkeypatch.setattr("platform.node", lambda: "machine-7")
    monkeypatch.setattr(worker, "RayWorker", lambda *_: None)
    monkeypatch.setattr(worker, "run", lambda *_, **__: {"status": "finished", "val_top1": 50.0})
    monkeypatch.setattr(ray.train, "report", lambda row: None)
    rows: list[Row] = []
    channel: Any = SimpleNamespace(send_row=SimpleNamespace(remote=rows.append))
    job = Job(study, workers=1, scratch="", gpus_per_worker=gpus_per_worker)
    try:
        worker.train_setting(Setting.parse(SETTING), job, channel)
    except ConfigError as error:
        rows.append({"raised": str(error)})
    return rows


def test_under_auto_a_rank_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"runtime.device: auto is cpu there: {SEEN}; mend that machine, or use --runtime.device cpu"
    assert _sent(_study(tmp_path, "auto"), monkeypatch) == [{TOLD: line}]


def test_under_cuda_it_ends_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"runtime.device: is cuda, but {SEEN}; mend that machine, or use auto or cpu"
    assert _sent(_study(tmp_path, "cuda"), monkeypatch) == [{USER_ERROR: line}, {"raised": line}]


def test_a_rank_without_a_gpu_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _sent(_study(tmp_path, "auto"), monkeypatch, gpus_per_worker=0) == []


def test_the_driver_passes_it_on_and_it_is_no_progress(tmp_path: Path) -> None:
    study = _study(tmp_path, "auto")
    end(study, SETTING)
    one = _Driver(study, [[{TOLD: "a line"}, {SETTING_ENDED: 0}]], SETTING)
    first, last = one.results_for_tune()
    assert first == {TOLD: "a line"}
    assert last["outcome"] == "finished"


def test_the_sweep_says_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = _Reports(_study(tmp_path, "auto"), SETTING)
    for line in ("a line", "a line", "of another machine", "a line"):
        report({TOLD: line})
    assert capsys.readouterr().err.splitlines()[1:] == ["a line", "of another machine"]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """This machine has a GPU that PyTorch cannot use; what is seen of it."""
    (tmp_path / "root/dev").mkdir(parents=True)
    (tmp_path / "root/dev/nvidia0").touch()
    monkeypatch.setattr(machine, "ROOT", tmp_path / "root")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return f"this machine has /dev/nvidia0, and PyTorch {torch.__version__} is built without CUDA"


def test_a_sweep_of_this_machine_tells_it_before_it_starts(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(cluster: Cluster) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "steered", stop)
    for device, lines in (
        ("auto", [f"runtime.device: auto is cpu here: {broken}; mend that, or use --runtime.device cpu"]),
        ("cpu", []),
    ):
        with pytest.raises(KeyboardInterrupt):
            launch.sweep(_study(tmp_path / device, device), Cluster(timeouts=SHORT), NullTracker())
        told = capsys.readouterr().err.splitlines()
        assert [line for line in told if "runtime.device" in line] == lines


def test_a_sweep_on_cuda_is_refused_with_what_is_seen(broken: str, tmp_path: Path) -> None:
    keys = ("--runtime.device", "cuda", "--runtime.output", str(tmp_path / "runs"))
    done = commands.call("studies/generators.py", "sweep", *keys)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: runtime.device: is cuda, but PyTorch finds no GPU ({broken}); use auto or cpu\n"


def test_a_machine_of_a_cluster_tells_it_where_its_ray_is_started(broken: str) -> None:
    done = commands.call("randwire/sweep/share.py")
    assert "--num-gpus=0" in done.stdout.split()
    assert done.stderr == f"--num-gpus=0: {broken}\n"
