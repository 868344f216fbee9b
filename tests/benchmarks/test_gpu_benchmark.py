"""The benchmark of a GPU runs on a bare checkout, and tells what is wrong, fails or has no time left."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pretended_cuda import pretended_cuda
from torch import Tensor
from torch._C._autograd import DeviceType
from torch.nn import functional

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import profile, ranks, right, same, shared, speed, training, waits
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.older import compiling
from benchmarks.gpu.processes import Process, Tell, told_by_all
from benchmarks.gpu.report import Section, headline
from randwire.training.augment import Augment
from randwire.training.loop import train_epoch
from randwire.training.step import EagerStep

ROOT = Path(__file__).parents[2]
BARE = ROOT / "tests" / "support" / "bare_checkout.py"


class Found(Section):
    """A dry section in this process, which takes in what it is told."""

    @property
    def bench(self) -> Bench:
        return Bench(torch.device("cpu"), dry=True, until=time.monotonic() + 300, tell=self.add)


@pytest.fixture
def found() -> Iterator[Found]:
    threads = torch.get_num_threads()
    yield Found("section")
    torch.set_num_threads(threads)


def test_all_sections_run_on_a_bare_checkout_with_an_older_torch(tmp_path: Path) -> None:
    """Neither NumPy nor Ray nor FFCV is there, and torch has the arguments of 2.11."""
    file = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, str(BARE), "--older", "benchmarks.gpu", "--dry", "--json", str(file), "--minutes", "30"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    whole = json.loads(file.read_text())
    sections = whole["sections"]
    assert list(sections) == [
        "machine", "right", "waits", "same", "speed", "kernels", "profile", "ranks", "inference", "shared",
    ]  # fmt: skip
    for name, section in sections.items():
        assert section["rows"], name
        assert (section["wrong"], section["errors"]) == ([], []), name
        assert f"## {name}\n" in done.stdout
    assert whole["dry"]
    assert whole["about"]["packages"]["torch"] == torch.__version__
    assert {"commit", "started", "hardware"} <= set(whole["about"])
    names = {name: [row["name"] for row in section["rows"]] for name, section in sections.items()}
    assert [name for name in names["right"] if name.startswith("sepconv, ")]
    assert [name for name in names["ranks"] if name.startswith("2 rank(s)")]
    assert [name for name in names["shared"] if "2 training(s)" in name]
    assert len(sections["speed"]["goals"]) == 2
    timed = [row for row in sections["speed"]["rows"] if "ms" in row]
    assert timed
    assert all(row["ms"] > 0 and row["n"] == 1 for row in timed)
    parts = [row["name"] for row in sections["speed"]["rows"] if "ms" not in row]
    assert [name.partition(": ")[2] for name in parts] == [
        "epoch of 2 batches, eager bf16", "epoch of 2 batches, captured bf16", "evaluation of 2 batches",
    ]  # fmt: skip


def test_a_bare_checkout_has_few_packages() -> None:
    """Or the test above would show nothing."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); import bare_checkout as b; print(*b.Installed().absent)"
    done = subprocess.run(
        [sys.executable, "-c", script, str(BARE.parent)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    absent = set(done.stdout.split())
    assert {"numpy", "ray", "ffcv", "numba", "optuna", "wandb", "tqdm", "PIL", "sklearn"} <= absent
    assert not absent & {"torch", "pydantic", "pydantic_core", "yaml", "networkx", "sympy", "randwire"}


def test_a_wrong_gradient_is_found(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the steps with recomputation alone, one part in a thousand off: more than fp32 ever is."""
    monkeypatch.setattr(right, "OPS", ("sepconv",))
    monkeypatch.setattr(right, "WAYS", [way for way in right.WAYS if way.step == "eager" and way.multiple == 1])

    class Wrong(EagerStep):
        def __init__(self, network: Any, *arguments: Any) -> None:
            super().__init__(network, *arguments)
            self.trained = network

        def __call__(self, *arguments: Any) -> Tensor:
            before = [parameter.detach().clone() for parameter in self.trained.parameters()]
            loss = super().__call__(*arguments)
            if self.trained.stages["conv3"].recompute:
                with torch.no_grad():
                    for parameter, value in zip(self.trained.parameters(), before, strict=True):
                        parameter += 0.001 * (parameter - value)
            return loss

    monkeypatch.setattr(training, "EagerStep", Wrong)
    right.measure(found.bench)
    assert not found.errors
    assert len(found.wrong) == 1
    assert found.wrong[0].startswith("sepconv, eager fp32, recompute: gradients off by 1.0e-03")


def test_a_precision_that_is_another_is_found(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of 8 digits where fp32 was asked for."""
    real = functional.linear

    def of_few_digits(images: Tensor, weights: Tensor) -> Tensor:
        short = images.dtype == torch.float32
        out: Tensor = real(*(value.bfloat16().float() if short else value for value in (images, weights)))
        return out

    monkeypatch.setattr("benchmarks.gpu.right.functional.linear", of_few_digits)
    right._arithmetic(found.bench, "fp32")
    assert [what.partition(":")[0] for what in found.wrong] == ["product in fp32"]


def test_a_wait_in_every_step_is_found_with_its_line(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at the end of an epoch is none."""
    monkeypatch.setattr(waits, "CASES", {"plain": {}})
    epoch = train_epoch

    def ends_with_a_wait(*arguments: Any) -> None:
        epoch(*arguments)
        warnings.warn("a prototype feature and does not yet detect all synchronizing operations", stacklevel=1)
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    monkeypatch.setattr("benchmarks.gpu.waits.train_epoch", ends_with_a_wait)
    waits.measure(found.bench)
    assert (found.wrong, found.errors, found.rows[0]["epoch"]) == ([], [], 1)
    augment = Augment.__call__

    def waits_in_a_step(*arguments: Any) -> Tensor:
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        return augment(*arguments)

    monkeypatch.setattr(Augment, "__call__", waits_in_a_step)
    planted = Found("section")
    waits.measure(planted.bench)
    line = "waits in every step or batch: test_gpu_benchmark.py:"
    assert [what.startswith(f"plain, {kind}: {line}") for what, kind in zip(planted.wrong, waits.KINDS, strict=True)]
    assert planted.rows[0]["step"] == 1


def test_ways_that_make_another_network_are_found(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same, "CASES", {"sgd": {}})
    monkeypatch.setattr(same, "OTHERS", (training.Way(step="flat"), training.Way(recompute=True)))
    real = training.training

    @contextmanager
    def of_other_weights(bench: Bench, config: Any, way: training.Way) -> Iterator[training.Trainee]:
        with real(bench, config, way) as trainee:
            if way.recompute:
                trainee.network.get_parameter("stages.classifier.fc.weight").detach().mul_(20)
            yield trainee

    monkeypatch.setattr("benchmarks.gpu.same.training", of_other_weights)
    same.measure(found.bench)
    ways = {": ".join(what.split(": ")[:2]) for what in found.wrong}
    assert ways == {"sgd, fp32: eager fp32, recompute", "sgd, bf16: eager bf16, recompute"}


def test_ranks_of_different_networks_are_found(found: Found) -> None:
    names = [way.name for way in ranks.WAYS]
    ranks._judge(found.bench, [(name, [1.0, 2.0]) for name in names * 2])
    assert found.wrong == []
    ranks._judge(found.bench, [*((name, [1.0, 2.0]) for name in names), *((name, [1.0, 2.1]) for name in names[:1])])
    assert found.wrong == ["eager fp32: the ranks have come to different networks"]
    ranks._judge(found.bench, [(name, [1.0, 2.0 + (name == "captured bf16")]) for name in names])
    assert found.wrong[1:] == ["captured bf16: the changes of the parameters are off by 4.5e-01 of those of DDP"]


def test_processes_that_tell_much_are_read_at_once() -> None:
    """Each waits for the other before it ends, and what it tells fills its pipe."""
    barrier = multiprocessing.get_context("fork").Barrier(2)

    def tells(tell: Tell) -> None:
        tell("much", "x" * 2**20)
        barrier.wait(60)

    told = told_by_all([Process(tells), Process(tells)], time.monotonic() + 60)
    assert [[one.kind for one in of_one] for of_one in told] == [["much", "ended"]] * 2


def test_a_kernel_counts_once() -> None:
    """Neither with the operation that launched it, nor with the range around it."""
    kernel: dict[str, Any] = {
        "device_type": DeviceType.CUDA,
        "is_user_annotation": False,
        "self_device_time_total": 1500.0,
    }
    events = [
        SimpleNamespace(name="aten::add", **kernel | {"device_type": DeviceType.CPU}),
        SimpleNamespace(name="add_kernel", **kernel),
        SimpleNamespace(name="Optimizer.step", **kernel | {"is_user_annotation": True}),
        SimpleNamespace(name="add_kernel", **kernel),
    ]
    assert profile.by_kernel(events, cuda=True) == ({"add_kernel": 2}, {"add_kernel": 3.0})


def test_goals_are_told_as_met_or_not(found: Found) -> None:
    """At 4.3 TB/s a step takes 7.0 ms at best; 14 ms are half of that speed."""
    written = {"as one would write it, bf16": 45.0, "as one would write it, fp32": 90.0}
    judged = speed._goals(found.bench, {"eager bf16": 20.0, "captured bf16": 13.9, **written}, 4.3)
    assert speed._goals(found.bench, {"eager bf16": 20.0, "captured bf16": 13.9, **written}, 4.3, judged) == judged
    speed._goals(found.bench, {"eager bf16": 15.1, "eager tf32": 1.0, **written}, 4.3, judged)
    assert [goal["met"] for goal in found.goals] == [True, True, False, False]
    assert found.goals[0]["name"].startswith("captured bf16: 3.24 times")
    assert "NOT met" in found.markdown()
    speed._goals(found.bench, {"eager bf16": 15.1}, 4.3)
    assert len(found.goals) == 4
    assert found.notes == ["goals: the cases that they are judged by were not measured"]


def test_goals_are_told_before_what_may_take_too_long(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they are judged by comes before captures, and what is compiled does not begin shortly before the end."""
    order: list[str] = []

    def timed(bench: Bench, cell: Any, name: str, make: Any, times: dict[str, float], way: Any = None) -> None:
        if bench.time_left(name, speed.COMPILATION_S if way and way.compiled else 0.0):
            order.append(name)
            times[name] = 10.0 + len(order)

    monkeypatch.setattr(speed, "_case", timed)
    monkeypatch.setattr(speed, "copy_rate", lambda bench: 4.3)
    monkeypatch.setattr("benchmarks.gpu.epochs.measure", lambda *_: order.append(f"{len(found.goals)} goals"))
    bench = Bench(torch.device("cpu"), dry=False, until=time.monotonic() + 20, tell=found.add)
    speed.measure(bench)
    assert order[0] == "small, 256 x 224: eager bf16"
    assert order[1].startswith(f"small, 256 x 224: {speed.WRITTEN}")
    assert order.index("2 goals") < order.index("cifar10, 128 x 32: eager bf16")
    assert not [name for name in order if "compiled" in name]
    assert len([note for note in found.notes if "compiled" in note]) == len(speed.COMPILED)


def test_memory_that_is_not_enough_is_an_error_but_where_a_case_is_large(found: Found) -> None:
    for large in (True, False):
        with found.bench.case(f"large {large}", large=large):
            raise torch.OutOfMemoryError("CUDA out of memory")
    with found.bench.case("cuDNN", large=True):
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
    assert [note.partition(":")[0] for note in found.notes] == ["large True", "cuDNN"]
    assert [error.partition(":")[0] for error in found.errors] == ["large False"]


def test_a_device_that_has_failed_for_good_ends_no_section(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the stream of a failed capture stay the current one."""
    streams: list[object] = []

    def failed() -> None:
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: "the default one")
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)
    monkeypatch.setattr(torch.cuda, "empty_cache", failed)
    bench = Pretended(torch.device("cpu"), dry=True, until=0.0, tell=found.add)
    with bench.case("first"):
        raise ValueError("is odd")
    with bench.case("second"):
        bench.row("second")
    assert [error.partition(": ")[0] for error in found.errors] == ["first", "first", "second"]
    assert (found.rows, streams) == ([{"name": "second"}], ["the default one"])


def test_a_profile_without_kernels_is_an_error(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a table of zeros."""
    monkeypatch.setattr(profile, "by_kernel", lambda events, cuda: (Counter(), Counter()))
    profile.measure(found.bench)
    assert found.rows == []
    assert [error.endswith("has seen no kernel") for error in found.errors] == [True, True]


def test_trainings_that_share_a_gpu_tell_why_one_failed(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that the others waited for it; and what is worth most comes first."""
    place = multiprocessing.get_context("fork").Value("i", 0)
    told: list[str] = []

    @contextmanager
    def fails_in_the_second(*_: Any) -> Iterator[training.Trainee]:
        with place.get_lock():
            place.value += 1
            second = place.value == 2
        if second:
            raise ValueError("is odd")
        yield training.Trainee(torch.nn.Identity(), lambda images, labels: images)

    monkeypatch.setattr(shared, "training", fails_in_the_second)
    with pytest.raises(RuntimeError, match=r"2 of 2 trainings failed: ValueError: is odd"):
        shared._together(found.bench, "digits", 4, training.Way(), 2, share=False)

    def together(bench: Bench, preset: str, images: int, way: training.Way, count: int, share: bool) -> float:
        told.append(way.step)
        return 2.0

    monkeypatch.setattr(shared, "_together", together)
    shared.measure(Bench(torch.device("cpu"), dry=False, until=time.monotonic() + 60, tell=found.add))
    assert told[:4] == ["eager", "captured"] * 2
    assert [str(row["name"]).partition(": ")[2] for row in found.rows[:4]] == ["1 training(s)"] * 2 + [
        "4 training(s)"
    ] * 2


def test_a_section_that_fails_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One raises, one ends its process, one never ends; the exit code says so."""

    def raises(bench: Bench) -> None:
        bench.row("before", ms=1.0)
        with bench.case("this one"):
            raise ValueError("is odd")
        raise RuntimeError("is broken")

    def ends(bench: Bench) -> None:
        os._exit(7)

    def sleeps(bench: Bench) -> None:
        bench.row("before", ms=1.0)
        subprocess.Popen(["sleep", "300"])
        time.sleep(300)

    sections = {"raises": raises, "ends": ends, "sleeps": sleeps, "goes on": lambda bench: bench.row("x", ms=2.0)}
    monkeypatch.setattr(command, "SECTIONS", {name: (measure, 1.0) for name, measure in sections.items()})
    monkeypatch.setattr(command, "OVERTIME_S", 0.0)
    file = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["gpu", "--dry", "--minutes", "0.04", "--json", str(file)])
    began = time.monotonic()
    assert command.main() == 1
    assert time.monotonic() - began < 60
    found = json.loads(file.read_text())["sections"]
    assert found["raises"]["errors"][0] == "this one: ValueError: is odd"
    assert found["raises"]["errors"][1].startswith("RuntimeError: is broken (")
    assert found["ends"]["errors"] == ["ended with code 7 and told no reason"]
    assert found["sleeps"]["errors"] == ["stopped: out of time"]
    assert found["sleeps"]["rows"] == [{"name": "before", "ms": 1.0}]
    assert found["goes on"]["rows"] == [{"name": "x", "ms": 2.0}]
    out = capsys.readouterr().out
    assert "wrong or failed: raises, ends, sleeps\n" in out
    assert "- FAILED: ended with code 7 and told no reason" in out


def test_a_section_without_time_leaves_out_what_it_has_not_begun() -> None:
    section = Section("section")
    bench = Bench(torch.device("cpu"), dry=True, until=time.monotonic(), tell=section.add)
    assert not bench.time_left("the large one")
    assert section.notes == ["the large one: left out, no time left"]
    assert section.good
    lines = headline([section], 9.0).splitlines()
    assert lines[1] == "nothing wrong, nothing failed; cases left out for want of time: 1 of section"


def test_a_process_that_is_stopped_leaves_none_behind(tmp_path: Path) -> None:
    def starts_another(tell: Tell) -> None:
        child = subprocess.Popen(["sleep", "300"])
        tell("pid", child.pid)
        time.sleep(300)

    process = Process(starts_another, leads=True)
    told = []
    for one in process.told(time.monotonic() + 20):
        told.append(one)
        process.stop()
    (kind, pid), *rest = told
    assert (kind, rest) == ("pid", [])
    deadline = time.monotonic() + 10
    while not _ended(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _ended(pid)


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_without_a_gpu_the_command_says_what_pytorch_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_driver() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", no_driver)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "finds no GPU (Found no NVIDIA driver on your system." in line
    assert line.endswith("); --dry does all sections on the CPU")


def test_a_json_file_in_no_folder_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--dry", "--json", str(tmp_path / "none" / "found.json")])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert f"--json: there is no folder {tmp_path / 'none'}" in capsys.readouterr().err


class Pretended(Bench):
    """On the CPU, but by the calls of torch.cuda that a GPU takes."""

    cuda = True


@pytest.mark.parametrize("name", ["machine", "waits", "speed", "profile", "inference"])
def test_what_is_called_of_cuda_alone_is_called_as_it_is_defined(
    found: Found, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "CASES", {"plain": {}})
    by_kernel = profile.by_kernel
    monkeypatch.setattr(profile, "by_kernel", lambda events, cuda: by_kernel(events, False))  # there are no others
    with pretended_cuda() as modes:
        measure, _ = command.SECTIONS[name]
        measure(Pretended(torch.device("cpu"), dry=True, until=time.monotonic() + 300, tell=found.add))
    assert found.errors == []
    assert found.rows
    if name == "machine":
        assert found.rows[0]["name"] == "pretended"
        assert {"a launch in a graph", "a launch"} <= {row["name"] for row in found.rows}
    if name == "inference":
        assert len([row for row in found.rows if "in a graph" in str(row["name"])]) == 6
    if name == "waits":
        assert modes == ["warn", "default"] * (len(modes) // 2) != []


def test_what_an_older_torch_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """DDP under its older name of the option that no buffers are sent."""
    assert "forward_sync_buffers" in ranks.ddp_options()

    class Older:
        def __init__(self, module: Any, broadcast_buffers: bool = True, gradient_as_bucket_view: bool = False) -> None:
            raise AssertionError

    compiled: list[dict[str, Any]] = []

    def older_compile(function: Any, *, fullgraph: bool = False) -> None:
        compiled.append({"fullgraph": fullgraph})

    monkeypatch.setattr(torch, "compile", older_compile)
    with compiling():
        newer: Any = torch.compile
        newer(len, fullgraph=True, isolate_recompiles=True)
    assert compiled == [{"fullgraph": True}]
    monkeypatch.setattr(ranks, "DistributedDataParallel", Older)
    assert ranks.ddp_options() == {"broadcast_buffers": False, "gradient_as_bucket_view": True}
