"""Work outlives its output; what is told says whether it arrived; the loss of a terminal is an interrupt."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import commands
import pytest
import study_helpers
from lost_streams import behind, opened
from terminals import Terminal

from randwire.arguments import guarded
from randwire.cli import damage, train
from randwire.data.convert.command import main as convert
from randwire.records import Record, find_records
from randwire.study.setting import Setting

pytestmark = pytest.mark.usefixtures("own_handlers")
ENDS = ("full", "pipe", "terminal", "closed")


def lost(command: Callable[[], int], output: str, error: str, folder: Path) -> tuple[int, str]:
    """The exit code of a command in this process behind such streams, and what a `file` among them has got."""
    with ExitStack() as stack:
        first = stack.enter_context(opened(output, folder))
        second = stack.enter_context(opened(error, folder))
        stack.enter_context(behind(first, second))
        try:
            code = command()
        except SystemExit as end:
            code = int(end.code or 0)
    path = folder / "file"
    text = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return code, text


def keys(folder: Path, epochs: int = 1) -> list[str]:
    output = ("--runtime.output", str(folder), "--runtime.wandb", "disabled")
    return [*commands.TINY, "--train.epochs", str(epochs), *output]


def studied(folder: Path, *arguments: str) -> Callable[[], int]:
    return lambda: study_helpers.command(*arguments, "--runtime.output", str(folder), "--name", "study")


# Work.


@pytest.mark.condition("A", "train.py ... 2>&1 | head -1", "trains to its end; exit 0, as all is done")
def test_a_training_outlives_its_reader(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    words = [sys.executable, "train.py", "digits", *keys(tmp_path, epochs=4)]
    process = subprocess.Popen(words, cwd=commands.ROOT, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    os.close(writer)
    assert b"epoch 1/4" in os.read(reader, 4096)
    os.close(reader)
    assert process.wait(commands.PATIENCE) == 0
    (record,) = find_records(tmp_path / "local")
    summary = record.summary()
    assert summary is not None
    assert summary["status"] == "finished"
    assert len(record.metrics()) == 4


@pytest.mark.condition(
    "A", "train.py behind full disks, closed pipes, lost terminals, closed descriptors", "trains to its end; exit 0"
)
def test_a_training_outlives_its_streams(tmp_path: Path) -> None:
    for number, (output, error) in enumerate(zip(ENDS, (*ENDS[1:], ENDS[0]), strict=True)):
        words = ["digits", *keys(tmp_path), "--train.seed", str(number)]
        assert lost(lambda words=words: train(words), output, error, tmp_path) == (0, ""), (output, error)  # type: ignore[misc]
    summaries = [record.summary() for record in find_records(tmp_path / "local")]
    assert [summary and summary["status"] for summary in summaries] == ["finished"] * len(ENDS)


@pytest.mark.condition("A", "train.py > /dev/full", "trains to its end, and says on stderr that lines are lost")
def test_lines_that_are_lost_are_told(tmp_path: Path) -> None:
    code, text = lost(lambda: train(["digits", *keys(tmp_path)]), "full", "file", tmp_path)
    assert code == 0
    assert text.splitlines()[-1] == "standard output: No space left on device; lines of it are lost"


@pytest.mark.condition("A", "a command with all descriptors closed", "its files do not become standard streams")
def test_no_file_takes_the_place_of_a_closed_descriptor(tmp_path: Path) -> None:
    numbers = []

    def write() -> int:
        with open(tmp_path / "rows", "w") as file:
            numbers.append(file.fileno())
            os.write(1, b"a line of a library\n")
            print("a line")
        return 0

    assert lost(lambda: guarded(write), "closed", "closed", tmp_path)[0] == 0
    assert numbers[0] > 2
    assert (tmp_path / "rows").read_text() == ""


@pytest.mark.condition("A", "PYTHONIOENCODING=ascii, and a name in other letters", "it is printed by numbers")
def test_letters_that_the_encoding_lacks(tmp_path: Path) -> None:
    words = ["-c", "import randwire.arguments as a; print(a.guarded(lambda: print('gr\\xf6\\u4e2d') or 0))"]
    done = commands.run(*words, environment={"PYTHONIOENCODING": "ascii"})
    assert done.stdout == "gr\\xf6\\u4e2d\n0\n"


@pytest.mark.condition("A", "train.py RECORD --evaluate and --export with lost streams", "the result is in its file")
def test_a_trained_network_in_use_outlives_its_streams(trained: Path, tmp_path: Path) -> None:
    rows = len(Record(trained).rows("evaluations.jsonl"))
    assert lost(lambda: train([str(trained), "--evaluate"]), "pipe", "full", tmp_path)[0] == 0
    assert len(Record(trained).rows("evaluations.jsonl")) == rows + 1
    file = tmp_path / "network.safetensors"
    assert lost(lambda: train([str(trained), "--export", str(file)]), "closed", "closed", tmp_path)[0] == 0
    assert file.exists()


@pytest.mark.condition("A", "--evaluate of a checkpoint alone | head -0", "not 0: the result is nowhere")
def test_an_evaluation_that_is_neither_printed_nor_recorded(trained: Path, tmp_path: Path) -> None:
    checkpoint = str(trained / "checkpoint" / "newest.pt")
    code, text = lost(lambda: train([checkpoint, "--evaluate"]), "pipe", "file", tmp_path)
    assert code == 1
    assert "neither recorded nor printed" in text.splitlines()[-1]


@pytest.mark.condition("A", "convert with a full disk behind stderr, and stdout closed", "converts; exit 0")
def test_a_conversion_outlives_its_streams(tmp_path: Path) -> None:
    assert lost(lambda: convert(["digits", str(tmp_path / "set")]), "closed", "full", tmp_path)[0] == 0
    assert (tmp_path / "set" / "dataset.json").exists()


@pytest.mark.condition("A", "damage.py run | head -0", "measures, and writes its page; exit 0")
def test_damage_outlives_its_streams(trained: Path, tmp_path: Path) -> None:
    output = ["--output", str(tmp_path / "damage")]
    words = ["run", str(trained), *output, "--nodes", "1", "--edges", "0", "--recalibrate", "0", "--images", "20"]
    assert lost(lambda: damage(None, words), "pipe", "full", tmp_path)[0] == 0
    assert (tmp_path / "damage" / "report.html").exists()
    assert lost(lambda: damage(None, ["report", *output]), "full", "file", tmp_path)[0] == 2


# What is told.


@pytest.mark.condition("A", "plan | head -1, status | head -1, --show | head -1", "quiet; exit 0")
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    plan = studied(tmp_path, "plan", "--settings", "1", "--search", "random", "--data.holdout", "100")
    show: Callable[[], int] = lambda: train(["digits", "--show"])  # noqa: E731
    study_helpers.design(tmp_path / "begun").open()
    for command in (plan, studied(tmp_path / "begun", "status"), show):
        assert lost(command, "pipe", "file", tmp_path) == (0, "")


@pytest.mark.condition("A", "plan, status, report, --show, --help > /dev/full or >&-", "one line on stderr; exit 2")
@pytest.mark.parametrize(("kind", "reason"), [("full", "No space left on device"), ("closed", "it is closed")])
def test_what_could_not_be_told_is_an_error(kind: str, reason: str, tmp_path: Path) -> None:
    study = study_helpers.design(tmp_path / "runs")
    study.open()
    study_helpers.end(study, Setting("er:p=0.2"))
    verbs = {verb: studied(tmp_path / "runs", verb) for verb in ("status", "report")}
    verbs["plan"] = studied(tmp_path, "plan", "--settings", "1", "--search", "random", "--data.holdout", "100")
    show: Callable[[], int] = lambda: train(["digits", "--show"])  # noqa: E731
    others = {"show": show, "estimate": lambda: convert(["digits", "--estimate"])}
    if kind == "full":  # argparse prints no help where nothing is to print it to
        others["help"] = lambda: train(["--help"])
    for name, command in {**verbs, **others}.items():
        code, text = lost(command, kind, "file", tmp_path)
        assert (name, code) == (name, 2)
        last = text.splitlines()[-1]
        assert last == f"error: standard output cannot be written: {reason}; direct it elsewhere", name


@pytest.mark.condition("A", "report --table FILE | head -0", "the table is written all the same")
def test_a_report_writes_all_its_files(tmp_path: Path) -> None:
    study = study_helpers.design(tmp_path)
    study.open()
    study_helpers.end(study, Setting("er:p=0.2"))
    table = tmp_path / "table.csv"
    assert lost(studied(tmp_path, "report", "--table", str(table)), "pipe", "file", tmp_path)[0] == 0
    assert table.exists()


@pytest.mark.condition("A", "--predict IMAGES | head -0", "not 0: it was not delivered")
@pytest.mark.parametrize(
    ("kind", "code", "line"), [("pipe", 1, "was closed after 0 of 2 predictions"), ("full", 2, "No space left")]
)
def test_predictions_that_are_not_delivered(
    kind: str, code: int, line: str, trained: Path, pictures: tuple[list[Path], list[int]], tmp_path: Path
) -> None:
    words = [str(trained), "--predict", *map(str, pictures[0][:2])]
    actual, text = lost(lambda: train(words), kind, "file", tmp_path)
    assert actual == code
    assert line in text.splitlines()[-1]


@pytest.mark.condition("A", "status, of a study in which something failed", "exit 1; also --json, --watch, | head")
def test_status_says_by_its_exit_code_whether_something_failed(tmp_path: Path) -> None:
    study = study_helpers.design(tmp_path, seeds=1, search="list", only=("er:p=0.2", "ba:m=5", "ws:k=4,p=0.75"))
    study.open()
    assert studied(tmp_path, "status")() == 0
    (first, second, third) = (trial for setting in study.fixed_settings() for trial in study.trials(setting))
    study_helpers.end(study, Setting.of(first))
    assert studied(tmp_path, "status")() == 0
    study_helpers.end(study, Setting.of(second), status="failed")
    assert studied(tmp_path, "status")() == 1
    assert studied(tmp_path, "status", "--json")() == 1
    assert lost(studied(tmp_path, "status"), "pipe", "file", tmp_path) == (1, "")
    assert lost(studied(tmp_path, "status", "--watch", "600"), "pipe", "file", tmp_path) == (1, "")
    study_helpers.end(study, Setting.of(third))
    assert studied(tmp_path, "status", "--watch", "600")() == 1
    study.record(second).write_json("summary.json", {"status": "odd"})  # unreadable
    assert studied(tmp_path, "status")() == 1


@pytest.mark.condition("A", "status --watch 600 | head -1", "ends as soon as its reader has")
def test_a_watch_ends_with_its_reader(tmp_path: Path) -> None:
    study_helpers.design(tmp_path).open()
    output = ("--runtime.output", str(tmp_path), "--name", "study")
    process = commands.popen(["studies/generators.py", "status", *output, "--watch", "600"])
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(commands.PATIENCE) == 0


# The end of a terminal.


@pytest.mark.condition("A", "the terminal of train.py is closed", "it ends as after Ctrl-C, and goes on from there")
def test_the_loss_of_the_terminal_is_an_interrupt(tmp_path: Path) -> None:
    terminal = Terminal("train.py", "digits", *keys(tmp_path, epochs=500))
    terminal.until(lambda _: list(tmp_path.glob("local/*/checkpoint/newest.pt")))
    assert terminal.close() == 130
    (record,) = find_records(tmp_path / "local")
    assert record.summary() is None
    assert record.locked() is False


@pytest.mark.condition("A", "nohup: SIGHUP is ignored", "it stays ignored")
def test_nohup_is_heeded(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    study_helpers.design(tmp_path).open()
    assert studied(tmp_path, "status")() == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
