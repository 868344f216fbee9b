"""W&B tracking: what is in the files of offline runs, and what a loopback stand-in of the server is sent."""

import hashlib
import json
import os
import pickle
import pty
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, get_args

import psutil
import pytest
from fake_wandb_server import FakeServer, Trouble
from wandb_helpers import (
    CONFIG,
    DAGS,
    GROUP,
    KEY,
    PNG,
    SVG,
    environment,
    history,
    record,
    records,
    row,
    script,
    summary,
    sync,
    without_account,
    written,
)

from randwire import config as configuration
from randwire import drawing, storage
from randwire.errors import TrackingError
from randwire.tracking import (
    Choice,
    NullTracker,
    SafeTracker,
    WandbTracker,
    connection,
    open_tracker,
    without_secrets,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    without_account(folder, monkeypatch)
    return folder


@pytest.fixture
def offline(tmp_path: Path) -> Iterator[WandbTracker]:
    tracker = WandbTracker("offline", "project", "study", tmp_path / "out")
    yield tracker
    tracker.close()


def test_an_offline_run_holds_everything(offline: WandbTracker) -> None:
    before = dict(os.environ)
    offline.start(record("aaa"), GROUP)
    for epoch, top1 in ((1, 0.25), (2, 0.75), (3, 0.5)):
        offline.log("aaa", row(epoch, top1))
    offline.finish("aaa", "pruned", {"status": "pruned", "top1": 0.5, "cause": None, "epochs": [1, 2]})
    assert dict(os.environ) == before

    (run,) = records(offline.folder, "aaa", "run")
    assert run["run_id"] == "aaa"
    assert run["project"] == "project"
    assert run["run_group"] == "WS(4,0.75)"
    assert run["job_type"] == "trial"
    assert run["display_name"] == "WS(4,0.75) g3 t1"
    assert set(run["tags"]) == {"ws", "tiny", "digits", "study"}
    assert {key: value for key, value in run["config"]["update"].items() if key != "_wandb"} == CONFIG.model_dump(
        mode="json", exclude={"runtime"}
    )

    rows = history(offline.folder, "aaa")
    assert [(each["epoch"], each["val/top1"], each["val/top1_best"]) for each in rows] == [
        (1, 0.25, 0.25), (2, 0.75, 0.75), (3, 0.5, 0.75),
    ]  # fmt: skip
    assert {key for key in rows[0] if not key.startswith("_")} == {
        "epoch", "lr", "train/loss", "val/loss", "val/top1", "val/top5", "val/top1_best",
        "speed/images_per_s", "speed/seconds_loader", "speed/seconds_step", "speed/steps",
    }  # fmt: skip
    assert [each["lr"] for each in rows] == [0.1, 0.05, pytest.approx(0.1 / 3)]

    metrics = {each.get("name") or each["glob_name"]: each for each in records(offline.folder, "aaa", "metric")}
    assert metrics.pop("epoch")["options"]["hidden"]
    assert {name: each["step_metric"] for name, each in metrics.items()} == dict.fromkeys(
        ("lr", "train/*", "val/*", "speed/*"), "epoch"
    )

    last = summary(offline.folder, "aaa")
    expected = {
        "params": 1000, "mult_adds": 2000, "trial/status": "pruned", "trial/top1": 0.5, "graph/conv3/depth": 3,
        "graph/conv3/clustering": 0.5, "graph/conv3/redraws": 2, "graph/conv4/depth": 2,
        "graph/depth": 2.5, "generator/k": 4, "generator/p": 0.75,
    }  # fmt: skip
    assert {key: last[key] for key in expected} == expected
    assert (
        not {"graph/conv4/path_length", "graph/path_length", "graph/clustering", "trial/cause", "trial/epochs"}
        & last.keys()
    )
    assert [each["exit_code"] for each in records(offline.folder, "aaa", "exit")] == [0]


def test_the_dags_are_logged_once(offline: WandbTracker) -> None:
    offline.start(record("aaa"), GROUP)
    offline.log("aaa", row(1))
    offline.finish("aaa", "finished", {})

    pictures = [each["item"] for each in records(offline.folder, "aaa", "history") if each["item"]["epoch"] == 0]
    assert len(pictures) == 1
    assert pictures[0]["dag/image._type"] == "image-file"
    assert pictures[0]["dag/html._type"] == "html-file"
    (files,) = offline.folder.glob("wandb/offline-run-*-aaa/files")
    assert (files / pictures[0]["dag/image.path"]).read_bytes() == PNG
    assert (files / pictures[0]["dag/html.path"]).read_text() == SVG

    noted = Path(json.loads((offline.folder / "runs.jsonl").read_text())["run"])
    assert offline.folder.parent / noted == files.parent

    (artifact,) = records(offline.folder, "aaa", "artifact")
    assert (artifact["name"], artifact["type"]) == ("dag-aaa", "dag")
    (entry,) = artifact["manifest"]["contents"]
    content = (offline.folder / entry["local_path"]).read_bytes()
    assert not Path(entry["local_path"]).is_absolute()
    assert entry["path"] == "dag.json"
    assert json.loads(content) == DAGS
    assert json.loads(artifact["metadata"]) == {
        "generator": "ws:k=4,p=0.75",
        "params": {"k": 4, "p": 0.75},
        "seed": 3,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_published_network_has_no_graph_to_show(offline: WandbTracker) -> None:
    config = configuration.load("digits", {"network.reference": "pytorchcv:resnet20_cifar10", "train.seed": 1})
    of_reference = record("aaa")
    shutil.rmtree(of_reference.folder / "graphs")
    (of_reference.folder / "dag.svg").unlink()
    of_reference.write_text("config.yaml", config.to_yaml())
    of_reference.write_json("dag.json", {"stages": {}})
    offline.start(of_reference, config.label)
    offline.log("aaa", row(1))
    offline.finish("aaa", "finished", {})

    (run,) = records(offline.folder, "aaa", "run")
    assert run["display_name"] == "resnet20_cifar10 t1"
    assert set(run["tags"]) == {"resnet20_cifar10", "reference", "digits", "study"}
    told = run["config"]["update"]
    assert told["network"] == {"reference": "pytorchcv:resnet20_cifar10"}
    assert "graph" not in told
    assert told["train"] == config.model_dump(mode="json")["train"]
    assert [each["item"]["epoch"] for each in records(offline.folder, "aaa", "history")] == [1]
    assert not records(offline.folder, "aaa", "artifact")
    last = summary(offline.folder, "aaa")
    assert last["params"] == 1000
    assert not [key for key in last if key.startswith(("graph/", "generator/"))]


def test_several_runs_are_open_at_once(offline: WandbTracker) -> None:
    names = [f"run{number}" for number in range(4)]
    for name in names:
        offline.start(record(name), GROUP)
    for epoch in (1, 2):
        for number, name in enumerate(names):
            offline.log(name, row(epoch, number / 8))
    offline.finish("run0", "finished", {})
    offline.finish("run1", "failed", {})
    offline.finish("run1", "finished", {})  # ended already
    offline.close()
    for number, name in enumerate(names):
        assert [each["val/top1"] for each in history(offline.folder, name)] == [number / 8] * 2
    codes = [records(offline.folder, name, "exit")[0]["exit_code"] for name in names]
    assert codes == [0, 1, 1, 1]
    assert [summary(offline.folder, name)["trial/status"] for name in names] == [
        "finished", "failed", "interrupted", "interrupted",
    ]  # fmt: skip


def test_a_resumed_trial_repeats_no_epoch(offline: WandbTracker) -> None:
    offline.start(record("aaa"), GROUP)
    for epoch in (1, 2, 2, 1):
        offline.log("aaa", row(epoch, 0.75))
    offline.finish("aaa", "interrupted", {})
    offline.start(record("aaa"), GROUP, 2)  # within the same second
    for epoch in (2, 3):
        offline.log("aaa", row(epoch, 0.25))
    offline.finish("aaa", "finished", {})
    offline.start(record("aaa"), GROUP, 3)
    for epoch in (1, 2, 3, 4):
        offline.log("aaa", row(epoch, epoch / 8))
    offline.finish("aaa", "finished", {})

    rows = history(offline.folder, "aaa")
    assert [each["epoch"] for each in rows] == [1, 2, 3, 4]
    # epoch 1 is unknown to the second run, so it does not claim a best; the third is given it
    assert [each.get("val/top1_best") for each in rows] == [0.75, 0.75, None, 0.5]
    assert len(records(offline.folder, "aaa", "artifact")) == 1
    assert all(each["resume"] for each in records(offline.folder, "aaa", "run"))


def test_what_an_earlier_run_has_logged_is_read_from_the_record(offline: WandbTracker) -> None:
    resumed = record("aaa")
    for epoch, top1 in ((1, 0.75), (2, 0.25), (3, 0.875)):
        resumed.append_metrics(row(epoch, top1))
    offline.start(resumed, GROUP, 2)  # the third has just been trained
    for epoch in (3, 4):
        offline.log("aaa", row(epoch, 0.5))
    offline.finish("aaa", "interrupted", {})
    offline.start(resumed, GROUP)
    for epoch in (3, 4):
        offline.log("aaa", row(epoch, 0.5))
    offline.finish("aaa", "finished", {})
    rows = history(offline.folder, "aaa")
    assert [(each["epoch"], each["val/top1_best"]) for each in rows] == [(3, 0.75), (4, 0.75), (4, 0.875)]


def test_starting_an_open_trial_ends_it_first(offline: WandbTracker) -> None:
    offline.start(record("aaa"), GROUP)
    offline.log("aaa", row(1))
    offline.start(record("aaa"), GROUP, 1)
    offline.log("aaa", row(2))
    offline.finish("aaa", "finished", {})
    assert [each["epoch"] for each in history(offline.folder, "aaa")] == [1, 2]
    assert [each["exit_code"] for each in records(offline.folder, "aaa", "exit")] == [1, 0]


def test_a_killed_process_loses_two_seconds_at_most(tmp_path: Path) -> None:
    body = """
tracker = open_tracker("offline", "project", "study", Path(sys.argv[1]))
tracker.start(record("aaa"), GROUP)
for epoch in range(1, 1000):
    tracker.log("aaa", row(epoch))
    print(epoch, time.monotonic(), flush=True)
    time.sleep(0.1)
"""
    process = subprocess.Popen(script(body, tmp_path / "out"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    logged = {}
    for line in process.stdout:
        epoch, moment = line.split()
        logged[int(epoch)] = float(moment)
        if int(epoch) == 35:
            break
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    rows = [each["epoch"] for each in history(tmp_path / "out", "aaa")]
    assert rows == list(range(1, len(rows) + 1))
    assert all(epoch in rows for epoch, moment in logged.items() if moment < killed - 2)
    assert (
        records(tmp_path / "out", "aaa", "run")[0]["config"]["update"]["train"]
        == CONFIG.model_dump(mode="json")["train"]
    )


@pytest.mark.parametrize("choice", ["auto", "online"])
def test_without_a_key_nobody_is_asked_even_on_a_terminal(tmp_path: Path, choice: str) -> None:
    body = """
try:
    tracker = open_tracker(sys.argv[1], "project", "study", Path(sys.argv[2]))
except TrackingError as error:
    sys.exit(f"refused: {error}")
tracker.start(record("aaa"), GROUP)
tracker.log("aaa", row(1))
tracker.close()
"""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        script(body, choice, tmp_path / "out"), stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    )
    os.close(terminal)
    text = b""
    deadline = time.monotonic() + 30
    while select.select([controller], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            text += os.read(controller, 4096)
        except OSError:  # the other end has closed
            break
    os.close(controller)
    if process.poll() is None and time.monotonic() >= deadline:
        process.kill()
    code = process.wait(10)
    (line,) = text.decode().split("\r\n")[:-1]
    if choice == "auto":
        assert line.startswith("W&B: offline, as no API key is found")
        assert f"(cd {tmp_path / 'out'} && wandb sync wandb)" in line
        assert code == 0
        assert len(history(tmp_path / "out", "aaa")) == 1
    else:
        assert line.startswith("refused: no API key is found")
        assert code == 1


def test_a_key_without_a_server_means_offline_soon(tmp_path: Path) -> None:
    body = """
import wandb
connection.PREFLIGHT_TIMEOUT_S = 2
before = dict(os.environ)
started = time.monotonic()
tracker = open_tracker("auto", "project", "study", Path(sys.argv[1]))
assert time.monotonic() - started < 25, time.monotonic() - started  # slow machines start wandb slowly
assert dict(os.environ) == before
tracker.start(record("aaa"), GROUP)
tracker.log("aaa", row(1))
tracker.close()
"""
    with FakeServer(refuse_key=True) as strict, socket.create_server(("127.0.0.1", 0)) as silent:
        with socket.create_server(("127.0.0.1", 0)) as free:
            refused = free.getsockname()[1]
        urls = {
            "refused": f"http://127.0.0.1:{refused}",
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "strict": strict.url,
        }
        processes = {
            name: subprocess.Popen(
                script(body, tmp_path / name),
                env=environment(WANDB_API_KEY=KEY, WANDB_BASE_URL=url),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name, url in urls.items()
        }
        for name, process in processes.items():
            text, _ = process.communicate(timeout=60)
            assert process.returncode == 0, text
            (line,) = text.splitlines()
            assert line.startswith("W&B: offline, as "), line
            assert urls[name] in line
            assert KEY not in line
            assert len(history(tmp_path / name, "aaa")) == 1


def test_a_service_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs now and then after a server has answered with errors; here it is stopped."""
    monkeypatch.setattr(connection, "SERVICE_END_TIMEOUT_S", 1.0)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    started = time.monotonic()
    with FakeServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with connection.connected(tmp_path):
            (service,) = [child for child in psutil.Process().children() if child.name().startswith("wandb-core")]
            service.suspend()
        assert not service.is_running()
        connection.preflight(tmp_path)  # with a new service
    assert time.monotonic() - started < 30


def test_an_online_run_arrives_and_no_file_holds_the_key(tmp_path: Path, home: Path) -> None:
    body = """
import pickle
before = dict(os.environ)
tracker = open_tracker("auto", "project", "study", Path(sys.argv[1]))
tracker.start(record("aaa"), GROUP)
tracker.start(record("bbb"), GROUP)
for epoch in (1, 2, 3):
    tracker.log("aaa", row(epoch, epoch / 8))
    tracker.log("bbb", row(epoch))
Path(sys.argv[1], "pickled").write_bytes(pickle.dumps(tracker))
tracker.finish("aaa", "finished", {"top1": 0.375})
tracker.finish("bbb", "interrupted", {})
tracker.start(record("bbb"), GROUP, 3)
for epoch in (3, 4):
    tracker.log("bbb", row(epoch))
tracker.close()
assert dict(os.environ) == before
"""
    with FakeServer() as server:
        done = subprocess.run(
            script(body, tmp_path / "out"),
            env=environment(WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        run = server.run("aaa")
        assert server.keys == {KEY}
    assert {key: value for key, value in run.config.items() if key != "_wandb"} == CONFIG.model_dump(
        mode="json", exclude={"runtime"}
    )
    assert [each["val/top1"] for each in run.history if each["epoch"] > 0] == [0.125, 0.25, 0.375]
    assert run.summary["trial/status"] == "finished"
    assert run.summary["params"] == 1000
    assert (run.exit_code, server.run("bbb").exit_code) == (0, 1)
    assert [(each["epoch"], each["_step"]) for each in server.run("bbb").history] == [(n, n) for n in range(5)]
    assert (run.sent("groupName"), run.sent("displayName")) == ("WS(4,0.75)", "WS(4,0.75) g3 t1")
    assert server.uploads["artifact/dag.json"]
    assert any(name.startswith("media/images/dag/") for name in server.uploads)
    written = [file for folder in (tmp_path / "out", home) for file in folder.rglob("*") if file.is_file()]
    assert tmp_path / "out" / "pickled" in written
    assert [file for file in written if KEY.encode() in file.read_bytes()] == []


def test_a_copied_folder_can_be_synced(offline: WandbTracker, tmp_path: Path) -> None:
    offline.start(record("aaa"), GROUP)
    for epoch in (1, 2):
        offline.log("aaa", row(epoch))
    offline.finish("aaa", "interrupted", {})
    offline.start(record("aaa"), GROUP, 2)
    for epoch in (2, 3):
        offline.log("aaa", row(epoch))
    offline.finish("aaa", "finished", {})
    assert len(written(offline.folder)) == 2
    copy = tmp_path / "copy"
    shutil.copytree(offline.folder, copy)
    offline.folder.rename(tmp_path / "gone")

    with FakeServer() as server:
        sync(copy, server)
        run = server.run("aaa")
    assert [each["epoch"] for each in run.history] == [0, 1, 2, 3]
    assert run.summary["trial/status"] == "finished"
    assert json.loads(server.uploads["artifact/dag.json"]) == DAGS
    assert "CommitArtifact" in server.operations


def test_a_server_that_fails_stops_no_trial(tmp_path: Path) -> None:
    """One that is down, broken, slow or refusing: four processes at a time, as they mostly wait."""
    body = """
from randwire.tracking import connection, wandb_tracker
wandb_tracker.FINISH_TIMEOUT_S = wandb_tracker.CLOSE_TIMEOUT_S = 2
connection.PREFLIGHT_TIMEOUT_S = connection.SERVICE_END_TIMEOUT_S = 2
tracker = open_tracker("online", "project", "study", Path(sys.argv[1]))
tracker.start(record("aaa"), GROUP)
tracker.log("aaa", row(1))
print("started", flush=True)
sys.stdin.readline()
def timed(limit, call, *arguments):
    started = time.monotonic()
    call(*arguments)
    assert time.monotonic() - started < limit, (call, time.monotonic() - started)
timed(2, tracker.log, "aaa", row(2))
timed(2, tracker.finish, "aaa", "finished", {})
timed(10, tracker.start, record("bbb"), GROUP)
timed(2, tracker.log, "bbb", row(1))
timed(3, tracker.start, record("ccc"), GROUP)  # the server is not asked again
timed(10, tracker.close)
print("closed", flush=True)
"""
    troubles: tuple[Trouble | Literal["down"], ...] = ("down", "broken", "slow", "refusing")
    with ExitStack() as stack:
        servers = {trouble: stack.enter_context(FakeServer()) for trouble in troubles}
        processes = {
            trouble: subprocess.Popen(
                script(body, tmp_path / trouble),
                env=environment(WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for trouble, server in servers.items()
        }
        for trouble, process in processes.items():
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n", process.communicate(timeout=10)
            if trouble == "down":
                servers[trouble].down()
            else:
                servers[trouble].trouble = trouble
        started = time.monotonic()
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = {trouble: process.communicate(timeout=60) for trouble, process in processes.items()}
        assert time.monotonic() - started < 45
    for trouble, (stdout, stderr) in outputs.items():
        assert (processes[trouble].returncode, stdout) == (0, "closed\n"), (trouble, stderr)
        offline, late = stderr.splitlines()
        assert offline.startswith("W&B: trial bbb: ")
        assert "offline from here" in offline
        assert late.startswith("W&B: at the end: runs not ended well: 1")
        assert [each["epoch"] for each in history(tmp_path / trouble, "aaa")] == [1, 2]
        assert len(history(tmp_path / trouble, "bbb")) == 1


def test_an_error_is_told_once_and_never_raised(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    notices: list[str] = []
    tracker = open_tracker("offline", "project", "study", blocked / "out", notices.append)
    for name in ("aaa", "bbb"):
        tracker.start(record(name), GROUP)
        tracker.log(name, row(1))
        tracker.finish(name, "finished", {})
    tracker.close()
    assert len(notices) == 2
    assert notices[0].startswith(f"W&B: trial aaa: {blocked / 'out'}: cannot be written")
    assert all("\n" not in line for line in notices)


def test_a_picture_that_cannot_be_logged_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[str] = []
    tracker = open_tracker("offline", "project", "study", tmp_path / "out", notices.append)
    monkeypatch.setattr(drawing, "png", lambda dags, title: b"not a picture")
    tracker.start(record("aaa"), GROUP)
    tracker.log("aaa", row(1))
    tracker.close()
    assert len(notices) == 1
    assert len(history(tmp_path / "out", "aaa")) == 1


def test_a_pickled_tracker_has_no_open_runs(offline: WandbTracker) -> None:
    offline.start(record("aaa"), GROUP)
    again = pickle.loads(pickle.dumps(SafeTracker(offline)))
    with pytest.raises(TrackingError, match="aaa is not open"):
        again.inner.log("aaa", row(1))
    again.close()
    offline.log("aaa", row(1))
    offline.finish("aaa", "finished", {})
    assert len(history(offline.folder, "aaa")) == 1


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_users_mode_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    notices: list[str] = []
    tracker = open_tracker("auto", "project", "study", tmp_path / "out", notices.append)
    assert isinstance(tracker, NullTracker) is (mode == "disabled")
    assert len(notices) == 1
    with pytest.raises(TrackingError, match="no API key is found"):  # online by its key, and not off by its mode
        open_tracker("online", "project", "study", tmp_path / "out")


def test_off_loads_no_wandb(tmp_path: Path) -> None:
    body = """
off: Choice = "disabled"
tracker = open_tracker(off, "project", "study", Path(sys.argv[1]))
tracker.start(record("aaa"), GROUP)
tracker.log("aaa", row(1))
tracker.finish("aaa", "finished", {})
tracker.close()
assert isinstance(tracker, NullTracker)
assert not {"wandb", "matplotlib", "torch"} & set(sys.modules), "loaded"
assert not Path(sys.argv[1]).exists()
"""
    done = subprocess.run(script(body, tmp_path / "out"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_workers_are_given_no_secrets() -> None:
    harmless = {"PATH": "/bin", "HOME": "/root", "WANDB_BASE_URL": "http://server", "TOKENIZERS_PARALLELISM": "false"}
    secret = dict.fromkeys(
        [
            "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS",
            "RAY_AUTH_TOKEN", "HF_TOKEN", "MY_API_KEY", "DB_PASSWORD", "PASSWORD_FILE", "APP_SECRET", "wandb_api_key",
        ],
        KEY,
    )  # fmt: skip
    assert without_secrets({**harmless, **secret}) == harmless
    for url, needed in {
        "s3://bucket/set": {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
        "gs://bucket/set": {"GOOGLE_APPLICATION_CREDENTIALS"},
        "/a/folder": set(),
        None: set(),
    }.items():
        assert set(without_secrets(secret, storage.credentials(url))) == needed
    assert set(get_args(Choice)) == {"auto", "online", "offline", "disabled"}
