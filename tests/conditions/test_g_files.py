"""Files that a kill, a full disk, an editor or a copy has damaged: told in one line, and in nobody's way."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import commands
import pytest
import yaml
from report_helpers import BASE, add_trial
from study_helpers import command

from randwire.config.recorded import check_config
from randwire.errors import RecordError, RecordLockedError
from randwire.json_files import read_lines
from randwire.records import Record, find_records
from randwire.report import write_report
from randwire.study.design import Design
from randwire.study.folder import StudyFolder
from randwire.study.setting import Setting

ONLY = ("er:p=0.2", "ba:m=5")


class Told(NamedTuple):
    """What a command has said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a list of two settings with two graph seeds, all of which have finished."""
    output = tmp_path_factory.mktemp("whole")
    keys = {**BASE, "runtime.output": str(output)}
    design = Design.load("digits", keys, name="study", search="list", only=ONLY, seeds=2)
    design.open()
    for spec in ONLY:
        StudyFolder(design.folder).add_suggestion(Setting(spec))
        for seed in (0, 1):
            add_trial(design.folder, spec, seed, 70.0 + seed)
    return design.folder


@pytest.fixture
def study(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "study"))


def told(study: Path, *arguments: str) -> Told:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = command(*arguments, "--name", study.name, "--runtime.output", str(study.parent))
    return Told(code, out.getvalue(), err.getvalue())


def states(study: Path) -> list[str]:
    return [trial["state"] for trial in json.loads(told(study, "status", "--json").out)["trials"]]


def first(study: Path) -> Record:
    return find_records(study)[0]


@pytest.mark.parametrize("content", [b"", b"\0" * 200, b'{"status": "fin', b"{}", b"[" * 100_000, b'"\\ud800"', None])
@pytest.mark.condition("G", "an empty or damaged summary.json", "unreadable, with the remedy; all others go on")
def test_a_damaged_summary_stops_nothing(study: Path, content: bytes | None) -> None:
    path = first(study).folder / "summary.json"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for verb in ("status", "plan"):
        shown = told(study, verb)
        assert shown.code != 2, shown.err
        assert "Traceback" not in shown.err
    assert sorted(states(study)) == ["finished"] * 3 + ["unreadable"]
    assert "1 unreadable" in (line := told(study, "status").out)
    assert "cannot be read" in line if content is None else "remove it, and the trial goes on from" in line


@pytest.mark.condition("G", "the remedy of a damaged summary.json", "once removed, the trial goes on and ends")
def test_the_remedy_of_a_damaged_summary_works(trained: Path, tmp_path: Path) -> None:
    record = Path(shutil.copytree(trained, tmp_path / "runs" / "local" / trained.name))
    summary = (record / "summary.json").read_bytes()
    replay = (str(record), "--runtime.output", str(tmp_path / "runs"), "--runtime.study", "local")
    (record / "summary.json").write_bytes(b"")
    refused = commands.call("train.py", *replay)
    assert refused.returncode == 2
    assert refused.stderr.endswith("remove it, and the trial goes on from its checkpoint\n")
    (record / "summary.json").unlink()
    assert commands.call("train.py", *replay).returncode == 0
    mended, before = (json.loads(text) for text in ((record / "summary.json").read_bytes(), summary))
    assert {**mended, "seconds": 0} == {**before, "seconds": 0}


@pytest.mark.parametrize("name", ["suggestions.jsonl", "failures.jsonl", "looks.jsonl", "wandb/runs.jsonl"])
@pytest.mark.condition("G", "a torn last line of a file of JSON lines", "left out")
def test_a_torn_last_line_is_left_out(study: Path, name: str) -> None:
    (study / name).parent.mkdir(exist_ok=True)
    with (study / name).open("a") as file:
        file.write('{"setting": "ws:k=4,p=')
    assert told(study, "status").out.endswith("4 finished; all has ended\n")
    assert told(study, "report").code == 0
    StudyFolder(study).add_suggestion(Setting("complete"))  # written whole again
    assert [str(one) for one in StudyFolder(study).suggestions()] == [*ONLY, "complete"]


@pytest.mark.parametrize(
    ("content", "values", "damaged"),
    [
        (b"", [], []),
        (b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}], []),
        (b'{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}], []),
        (b'{"a": 1}\n{"a": ', [{"a": 1}], []),
        (b'{"a": 1}\n\xff\xfe', [{"a": 1}], []),
        (b'{"a": 1}\n' + b"\0" * 40, [{"a": 1}], []),
        (b'{"a": 1}\n{"a": \n3\n', [{"a": 1}, 3], [2]),
        (b'{"a": 1}\n"\xff"\n3\n', [{"a": 1}, 3], [2]),
        (b'{"a": 1}\n"\\ud800"\n3\n', [{"a": 1}, 3], [2]),
        (b"1, 2\n3\n", [3], [1]),
        (b"\xef\xbb\xbf1\r\n\r\n2\r\n", [1, 2], []),
        (b"[" * 100_000 + b"\n2\n", [2], [1]),
    ],
)
@pytest.mark.condition("G", "JSON lines of every kind of damage", "whole ones are read, damaged ones numbered")
def test_lines_are_read_as_far_as_they_are_whole(
    tmp_path: Path, content: bytes, values: list[object], damaged: list[int]
) -> None:
    (tmp_path / "file.jsonl").write_bytes(content)
    lines = read_lines(tmp_path / "file.jsonl")
    assert (lines.values, list(lines.damaged)) == (values, damaged)
    assert len(lines.numbers) == len(values)


@pytest.mark.condition("G", "a folder in the place of a file", "one line that says so")
def test_a_folder_in_the_place_of_a_file_is_one_line(study: Path) -> None:
    for name in ("study.json", "suggestions.jsonl", "failures.jsonl"):
        kept = (study / name).read_bytes() if (study / name).exists() else None
        (study / name).unlink(missing_ok=True)
        (study / name).mkdir()
        shown = told(study, "status")
        assert (shown.code, shown.err) == (2, f"error: {study / name}: cannot be read: Is a directory\n")
        (study / name).rmdir()
        if kept is not None:
            (study / name).write_bytes(kept)


@pytest.mark.condition("G", "a storage that does not answer while a study is read", "one line; exit 2, or of its trial")
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("name", ["study.json", "suggestions.jsonl", "failures.jsonl", "metrics.jsonl"])
def test_a_storage_that_does_not_answer(name: str, number: int, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == name:
            raise OSError(number, os.strerror(number), str(path))
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for verb in ("plan", "status", "report"):
        code, _, err = told(study, verb)
        assert "Traceback" not in err
        assert len(err.splitlines()) <= 1
        assert code in (0, 1, 2)
        if name == "study.json":
            assert (code, "cannot be read now" in err) == (2, True)


@pytest.mark.condition("G", "a link that leads to itself in the place of a file", "told in one line, of its trial")
def test_a_loop_of_links_is_told(study: Path) -> None:
    for name in ("summary.json", "config.yaml"):
        path = first(study).folder / name
        kept = path.read_bytes()
        path.unlink()
        path.symlink_to(path.name)
        assert sorted(states(study)) == ["finished"] * 3 + ["unreadable"]
        assert "cannot be read: Too many levels of symbolic links" in told(study, "status").out
        path.unlink()
        path.write_bytes(kept)


@pytest.mark.condition("G", "a damaged study.json", "one line with the remedy, for every verb")
def test_a_damaged_design_says_its_remedy(study: Path) -> None:
    (study / "study.json").write_bytes(b"")
    for verb in ("plan", "status", "report"):
        shown = told(study, verb)
        assert shown.code == 2
        assert shown.err == (
            f"error: {study / 'study.json'}: damaged: is empty; put back a copy, or remove it and give the options of "
            "the study again\n"
        )


def edit(record: Record, **graph: str) -> None:
    path = record.folder / "config.yaml"
    content = yaml.safe_load(path.read_text())
    content["graph"].update(graph)
    path.write_text(yaml.safe_dump(content))


@pytest.mark.condition("G", "a record's config.yaml is edited", "unreadable in status, plan and report, with the cause")
def test_an_edited_configuration_is_not_reported_under_its_new_name(study: Path) -> None:
    record = next(one for one in find_records(study) if "er:p=0.2" in (one.folder / "config.yaml").read_text())
    edit(record, generator="ba:m=5")
    with pytest.raises(RecordError, match=f"not of {record.folder.name}, as which it was trained"):
        check_config(record.folder)
    assert sorted(states(study)) == ["finished"] * 3 + ["unreadable"]
    for verb in ("status", "plan"):
        assert "unreadable" in told(study, verb).out
    assert told(study, "report", "--table", str(study / "table.csv")).code == 0
    assert record.folder.name not in (study / "table.csv").read_text()
    page = (study / "report.html").read_text()
    assert "as which it was trained; put back what was written there" in page


@pytest.mark.condition("G", "keys of runtime in a record's config.yaml are edited", "it stays readable")
def test_what_decides_no_number_may_be_edited(study: Path) -> None:
    path = first(study).folder / "config.yaml"
    path.write_text(path.read_text().replace("device: auto", "device: cpu"))
    assert "device: cpu" in path.read_text()
    assert states(study) == ["finished"] * 4


@pytest.mark.condition("G", "an edited record is replayed, or gone on with", "one line; a file of its own is trained")
def test_an_edited_record_is_not_replayed(study: Path) -> None:
    record = first(study)
    edit(record, seed="7")
    shown = commands.call("train.py", str(record.folder), "--show")
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 1
    assert "config.yaml: damaged: is the configuration of" in shown.stderr
    assert commands.call("train.py", str(record.folder / "config.yaml"), "--show").returncode == 0
    renamed = record.folder.rename(study / "mymodel")  # says nothing of what it holds
    assert commands.call("train.py", str(renamed), "--show").returncode == 0


@pytest.mark.parametrize("name", ["", "mymodel"])
@pytest.mark.condition("G", "an edited record is evaluated, under its own or another name", "one line that says so")
def test_an_edited_record_is_not_evaluated(trained: Path, tmp_path: Path, name: str) -> None:
    record = Path(shutil.copytree(trained, tmp_path / (name or trained.name)))
    path = record / "config.yaml"
    path.write_text(path.read_text().replace("generator: ", "generator: ba:m=3 #"))
    for use in (["--evaluate"], ["--export", str(tmp_path / "net.onnx")]):
        shown = commands.call("train.py", str(record), *use)
        assert (shown.returncode, shown.stdout) == (2, "")
        assert len(shown.stderr.splitlines()) == 1
        assert "config.yaml: damaged: is the configuration of" in shown.stderr
    assert not (record / "evaluations.jsonl").exists()
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.condition("G", "rows of finished epochs are lost before a training goes on", "one line with the remedy")
def test_lost_rows_are_noticed_when_a_training_goes_on(trained: Path, tmp_path: Path) -> None:
    record = Path(shutil.copytree(trained, tmp_path / "runs" / "local" / trained.name))
    (record / "summary.json").unlink()
    rows = (record / "metrics.jsonl").read_text().splitlines(keepends=True)
    (record / "metrics.jsonl").write_text(rows[0] + rows[2])
    shown = commands.call(
        "train.py", str(record), "--runtime.output", str(tmp_path / "runs"), "--runtime.study", "local"
    )
    assert shown.returncode == 2
    assert shown.stderr.endswith(
        "lacks epoch 2 of the checkpoint; put back a copy, or remove the folder, and the trial is trained again\n"
    )


HOLD = """
import sys
from pathlib import Path
from randwire.study.folder import StudyFolder
with StudyFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that sweeps a study."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.condition("G", "the same study is swept twice at once", "the second one is refused in one line, at once")
def test_a_study_is_swept_by_one_process(study: Path) -> None:
    with holder(study) as process:
        before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
        shown = told(study, "sweep", "--seeds", "3", "--runtime.wandb", "disabled")
        assert (shown.code, shown.out) == (2, "")
        assert shown.err == (
            f"error: {study}: another sweep of this study is running; wait or end it, or name another study with "
            "--name\n"
        )
        assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before
        assert told(study, "status").out.endswith("4 finished; all has ended\n")
        assert told(study, "trial", "1").code == 0
        process.kill()
        process.wait()
    with StudyFolder(study).lock(), pytest.raises(RecordLockedError), StudyFolder(study).lock():
        pass


@pytest.mark.condition("G", "a lock of a study, and a trial that is run beside it", "the trial's files are left alone")
def test_the_lock_of_a_study_clears_only_its_own_files(study: Path) -> None:
    theirs, own = first(study).folder / ".config.yaml.1.partial", study / ".study.json.1.partial"
    theirs.touch()
    own.touch()
    with StudyFolder(study).lock():
        assert theirs.exists()
        assert not own.exists()


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("only", ["zz"], "only: "),
        ("only", 5, "only: must be a list of texts"),
        ("search", ["tpe"], "search: must be a text"),
        ("search", "zz", "search: must be one of tpe, random, grid, list, race, is 'zz'"),
        ("match_mult_adds", "zz", "match_mult_adds: must be a number"),
        (
            "grown",
            [{"time": "2026-01-02", "ended": 1, "added": {"only": 5}}],
            "grown: must be a list of what was added",
        ),
        ("require", ["zz<<"], "require: 'zz<<' is no bound"),
        ("settings", 0, "settings: must be a whole number above 0, is 0"),
        ("confirm", 5, "confirm: must be an object"),
    ],
)
@pytest.mark.condition("G", "a value in study.json is damaged", "one line that names study.json, and no option")
def test_a_damaged_value_of_a_design_is_one_line(study: Path, key: str, value: object, cause: str) -> None:
    record = Record(study)
    record.write_json("study.json", {**record.read_json("study.json"), key: value})
    for verb in (("status",), ("plan", "--seeds", "3"), ("report",)):
        shown = told(study, *verb)
        assert shown.code == 2
        assert shown.err.startswith(f"error: {study / 'study.json'}: damaged: {cause}")
        assert shown.err.endswith("; put back a copy, or remove it and give the options of the study again\n")
        assert len(shown.err.splitlines()) == 1
    write_report(study)  # as of a study whose design is not known


@pytest.mark.condition("G", "packages or hardware in an environment.json are no objects", "unreadable, with the remedy")
def test_a_damaged_environment_is_told(study: Path) -> None:
    first(study).write_json("environment.json", [{"packages": 5, "hardware": 7}])
    assert told(study, "report").code == 0
    page = (study / "report.html").read_text()
    assert "environment.json: damaged: must hold a list of objects; remove it to go on without it" in page


def search(folder: Path, **options: Any) -> Design:
    """A random search, whose study.json is written."""
    keys = {**BASE, "runtime.output": str(folder)}
    made = Design.load("digits", keys, name="study", search="random", settings=4, **options)
    made.open()
    return made


@pytest.mark.condition("G", "a range in study.json is edited to one that there cannot be", "one line, names study.json")
def test_an_edited_space_is_no_option(tmp_path: Path) -> None:
    record = Record(search(tmp_path, space=["ws.k=4:8:2"]).folder)
    record.write_json("study.json", {**record.read_json("study.json"), "space": ["zz=1"]})
    shown = told(record.folder, "status")
    assert (shown.code, len(shown.err.splitlines())) == (2, 1)
    assert shown.err.startswith(f"error: {record.folder / 'study.json'}: damaged: space: zz: unknown key")


@pytest.mark.parametrize("setting", ["ws:k=4,p=0.5", "er:p=0.77777", "er:p=0.2 network.channels=8"])
@pytest.mark.condition("G", "suggestions.jsonl of another search than study.json", "one line: the setting, the remedy")
def test_a_suggestion_outside_the_space_is_one_line(
    tmp_path: Path, setting: str, recwarn: pytest.WarningsRecorder
) -> None:
    folder = search(tmp_path, generators=("er", "ba")).folder
    StudyFolder(folder).add_suggestion(Setting("er:p=0.2"))
    assert told(folder, "plan").code == 0
    StudyFolder(folder).add_suggestion(Setting.parse(setting))
    shown = told(folder, "plan")
    assert shown.code == 2
    assert shown.err == (
        f"error: {folder / 'suggestions.jsonl'}: {setting} is outside the search space that study.json has; put back "
        "the study.json of this search, or remove that line\n"
    )
    assert not [one for one in recwarn if "optuna" in one.filename]


@pytest.mark.condition("G", "failures.jsonl names a setting whose generator is gone", "left out; the report is written")
def test_a_failure_of_a_generator_that_is_gone_is_left_out(study: Path) -> None:
    for setting in ("zz", "er:p=0.2"):
        Record(study).append("failures.jsonl", {"setting": setting, "time": 1.0, "cause": "it fell"})
    assert told(study, "report").code == 0
    assert "ER(0.2) could not be run: it fell." in (study / "report.html").read_text()
