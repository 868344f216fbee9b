"""W&B's own variables: they say what no key says, and a wrong one ends the command before anything is done."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import TINY, call
from fake_wandb_server import FakeServer
from wandb_helpers import CONFIG, GROUP, KEY, history, record, records, row, without_account

from randwire import config as configuration
from randwire.errors import ConfigError, TrackingError
from randwire.tracking import NullTracker, SafeTracker, Tracker, WandbTracker, connection, open_tracker, runs

VARIABLES = {
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "team",
    "WANDB_NOTES": "of the third try",
    "WANDB_NAME": "baseline",
    "WANDB_TAGS": "night, gpu-3",
    "WANDB_RUN_GROUP": "sizes",
    "WANDB_JOB_TYPE": "ablation",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_account(tmp_path / "home", monkeypatch)


def tracked(tracker: Tracker) -> WandbTracker:
    """The W&B tracker inside, after one trial of one epoch."""
    assert isinstance(tracker, SafeTracker)
    inner = tracker.inner
    assert isinstance(inner, WandbTracker)
    tracker.start(record("aaa"), GROUP)
    tracker.log("aaa", row(1))
    tracker.finish("aaa", "finished", {})
    tracker.close()
    return inner


@pytest.mark.condition("I", "WANDB_PROJECT, _NAME, _TAGS, ... and no key", "the run is as they say")
def test_a_run_is_as_the_variables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    project = configuration.load("digits").runtime.project
    for several, name in ((False, "baseline"), (True, "baseline WS(4,0.75) g3 t1")):
        folder = tmp_path / str(several) / "wandb"
        tracked(open_tracker("offline", project, "study", folder, several=several))
        (run,) = records(folder, "aaa", "run")
        assert (run["project"], run["entity"], run["notes"]) == ("theirs", "team", "of the third try")
        assert (run["run_group"], run["job_type"], run["display_name"]) == ("sizes", "ablation", name)
        assert set(run["tags"]) == {"night", "gpu-3", "ws", "tiny", "digits", "study"}
        assert run["config"]["update"]["setting"] == GROUP, "the report groups by it, as the group is another"
        assert runs.in_own_groups(folder.parent)


@pytest.mark.condition("I", "WANDB_PROJECT and --runtime.project", "the key wins, and the record holds what was used")
def test_a_key_wins_over_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration.load("digits").runtime.project == "randwire"
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    assert configuration.load("digits").runtime.project == "theirs"
    assert configuration.load("digits", {"runtime.study": "a"}).runtime.project == "theirs"
    mine = configuration.load("digits", {"runtime.project": "mine"})
    assert mine.runtime.project == "mine"
    assert mine.override({"train.epochs": 1}).runtime.project == "mine"
    (tmp_path / "config.yaml").write_text(CONFIG.to_yaml())
    assert configuration.load(str(tmp_path)).runtime.project == "randwire", "a record tells of its own"


@pytest.mark.condition("I", "WANDB_DIR", "runs are in there; the study's folder tells where, and the hint names it")
def test_runs_are_where_wandb_dir_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "my scratch"))
    notices: list[str] = []
    own = tmp_path / "runs" / "study" / "wandb"
    tracked(open_tracker("auto", "project", "study", own, notices.append))
    assert len(history(tmp_path / "my scratch", "aaa")) == 1
    assert [path.name for path in own.iterdir()] == ["runs.jsonl"]
    location = Path(runs.of_study(own.parent)["aaa"])
    assert location.parent == tmp_path / "my scratch" / "wandb"
    assert location.is_dir()
    assert runs.offline_folder(own.parent) == tmp_path / "my scratch"
    (line,) = notices
    assert line.endswith(f"(cd '{tmp_path / 'my scratch'}' && wandb sync wandb)")
    (artifact,) = records(tmp_path / "my scratch", "aaa", "artifact")
    (entry,) = artifact["manifest"]["contents"]
    assert (tmp_path / "my scratch" / entry["local_path"]).is_file(), "so that a copy of the folder can be uploaded"


OFF: list[Mapping[str, str]] = [
    {"WANDB_DISABLED": "true"},
    {"WANDB_DISABLED": "1", "WANDB_MODE": "online"},
    {"WANDB_MODE": "disabled"},
]


@pytest.mark.condition("I", "WANDB_DISABLED=true", "W&B is off, in one line; an explicit key wins")
@pytest.mark.parametrize("variables", OFF, ids=str)
def test_it_is_off(variables: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    notices: list[str] = []
    assert isinstance(open_tracker("auto", "project", "study", tmp_path / "out", notices.append), NullTracker)
    (first, value) = next(iter(variables.items()))
    assert notices == [f"W&B: off, as {first} is {value}"]
    assert not (tmp_path / "out").exists()
    with pytest.raises(TrackingError, match=f"{first} is {value}"), connection.connected(tmp_path):
        pass
    assert len(history(tracked(open_tracker("offline", "project", "study", tmp_path / "out")).folder, "aaa")) == 1


@pytest.mark.condition("I", "WANDB_MODE=dryrun, or empty", "offline, or as if it were not set")
def test_other_words_of_a_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode, told in (("dryrun", "offline, as WANDB_MODE is dryrun; to"), ("", "offline, as no API key is found")):
        monkeypatch.setenv("WANDB_MODE", mode)
        monkeypatch.setenv("WANDB_DISABLED", "false" if mode else "")
        monkeypatch.setenv("WANDB_ENTITY", "")
        notices: list[str] = []
        tracker = tracked(open_tracker("auto", "project", "study", tmp_path / f"out{mode}", notices.append))
        assert [line.startswith(f"W&B: {told}") for line in notices] == [True]
        assert len(history(tracker.folder, "aaa")) == 1


def test_a_key_for_online_wins_over_the_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        tracked(open_tracker("online", "project", "study", tmp_path / "out"))
        assert [each["epoch"] for each in server.run("aaa").history] == [0, 1]


@pytest.mark.condition("I", "a wrong WANDB_MODE", "one line, exit 2, no hint of an upload, nothing written")
def test_a_wrong_mode_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "ofline")
    output = tmp_path / "runs"
    for words in (("train.py", "digits"), ("studies/generators.py", "sweep", "--only", "ba:m=3", "--workers", "1")):
        done = call(*words, *TINY, "--runtime.output", str(output))
        line = "error: WANDB_MODE: must be online, offline or disabled, is 'ofline'; mend the variable, or unset it\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
        assert not output.exists()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("WANDB_DISABLED", "perhaps", "must be true or false"),
        ("WANDB_MODE", "shared", "must be online, offline or disabled"),
        ("WANDB_PROJECT", "a/b", "invalid project name 'a/b': cannot contain .*"),
        ("WANDB_TAGS", f"ok,{'x' * 65}", "tag 'x.* characters"),
        ("WANDB_BASE_URL", "my-server", "input should be a valid URL.*"),
        ("WANDB_INIT_TIMEOUT", "soon", "input should be a valid number.*"),
        ("WANDB_DIR", "/proc/mine", "/proc/mine cannot be written .*"),
    ],
)
def test_what_wandb_would_refuse_at_each_run_is_refused_at_once(
    name: str, value: str, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    project = value if name == "WANDB_PROJECT" else "project"  # its default
    with pytest.raises(ConfigError) as caught:
        open_tracker("offline" if name != "WANDB_DISABLED" else "auto", project, "study", tmp_path / "out")
    assert re.fullmatch(
        f"{name}: {rule}(, is .*; mend the variable|; name another folder), or unset it", str(caught.value)
    )
    assert not (tmp_path / "out").exists()


def test_a_project_that_wandb_would_refuse_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.project: invalid project name 'a:b'"):
        open_tracker("offline", "a:b", "study", tmp_path / "out")


def test_a_study_of_a_long_name_is_tracked(tmp_path: Path) -> None:
    """Its name is a tag, of which W&B takes 64 characters."""
    tracker = tracked(open_tracker("offline", "project", "s" * 80, tmp_path / "out"))
    (run,) = records(tracker.folder, "aaa", "run")
    assert "s" * 64 in run["tags"]


def test_an_older_index_of_runs_is_read(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    lines = [json.dumps({"trial": "a", "run": "x"}), '{"trial": "b', "[]", "3"]
    (tmp_path / "wandb" / "runs.jsonl").write_text("\n".join(lines))
    assert runs.of_study(tmp_path) == {"a": "x"}
    assert runs.offline_folder(tmp_path) == tmp_path / "wandb"
    assert not runs.in_own_groups(tmp_path)
