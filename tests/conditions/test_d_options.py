"""Options and keys take effect, or are refused: what each verb of a study takes, and each way to use train.py."""

import json
from pathlib import Path

import commands
import pytest
from study_helpers import command, design
from trained_helpers import refused

from randwire.records import find_records

TINY = (*commands.TINY, "--train.epochs", "1", "--runtime.wandb", "disabled")


@pytest.fixture
def study(tmp_path: Path) -> tuple[str, ...]:
    """What finds a study of four epochs that is stored."""
    stored = design(tmp_path, settings=3)
    stored.open()
    return ("--name", "study", "--runtime.output", str(tmp_path))


@pytest.mark.condition("D", "options of the design behind status or report", "refused, with the verbs that take them")
@pytest.mark.parametrize("verb", ["status", "report"])
@pytest.mark.parametrize(
    "option", [("--seeds", "7"), ("--early-stopping",), ("--base", "small"), ("--only", "er:p=0.2")]
)
def test_who_reads_the_stored_study_takes_no_design(
    verb: str, option: tuple[str, ...], study: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(verb, *option, *study) == 2
    line = f"error: {option[0]}: is not for {verb}, but for plan and sweep and trial (see --help)\n"
    assert capsys.readouterr().err == line


@pytest.mark.condition("D", "keys behind status or report", "refused, but the one that finds the study")
@pytest.mark.parametrize("verb", ["status", "report"])
@pytest.mark.parametrize(
    "key", [("--train.epochs", "9"), ("--train.epochs", "4"), ("--runtime.device", "cpu"), ("--runtime.study", "b")]
)
def test_who_reads_the_stored_study_takes_no_keys(
    verb: str, key: tuple[str, str], study: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(verb, *key, *study) == 2
    assert capsys.readouterr().err == (
        f"error: {key[0][2:]}: is not for {verb}, which takes the study as it is stored; it is found by --name and "
        "runtime.output\n"
    )


@pytest.mark.condition("D", "status of a folder without a study", "one line, exit 2: a wrong name is noticed")
def test_status_needs_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("status", "--name", "wrong", "--runtime.output", str(tmp_path)) == 2
    assert f"{tmp_path / 'wrong'}: holds no study; `sweep` begins one" in capsys.readouterr().err


@pytest.mark.condition("D", "trial by a digest of plan, no study being stored", "known with the same options and keys")
def test_trial_knows_what_plan_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--only", "er:p=0.4", "--only", "ba:m=2", "--seeds", "1", *TINY, "--runtime.output", str(tmp_path))
    assert command("plan", "--json", *options) == 0
    digests = [row["digest"] for row in json.loads(capsys.readouterr().out)["trials"]]
    assert command("trial", digests[1], "--runtime.output", str(tmp_path)) == 2
    assert "holds no study yet, so give the options and keys of that plan" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert command("trial", digests[1], *options) == 0
    assert [record.folder.name for record in find_records(tmp_path / "generators")] == [digests[1]]
    capsys.readouterr()
    # It has begun the study: all verbs know it now, without options.
    place = ("--runtime.output", str(tmp_path))
    for verb in ("plan", "status"):
        assert command(verb, "--json", *place) == 0
        assert [row["digest"] for row in json.loads(capsys.readouterr().out)["trials"]] == digests
    assert command("trial", "2", *place) == 0
    ended = capsys.readouterr()
    assert json.loads(ended.out)["status"] == "finished"
    assert (
        ended.err == f"{tmp_path / 'generators' / digests[1]}: already finished\n"
    )  # no advice that cannot be followed


@pytest.mark.condition("D", "trial with a key that differs from the stored study", "an error that says what is stored")
def test_trial_takes_no_other_key(study: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("trial", "2", "--train.epochs", "3", *study) == 2
    assert "holds a study with another train.epochs (4, not 3)" in capsys.readouterr().err


@pytest.mark.condition("D", "train.py with --json or --top where nothing takes them", "refused")
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--json"], "--json is for --show or --predict"),
        (["--evaluate", "--json"], "--json is for --show or --predict"),
        (["--export", "a.onnx", "--json"], "--json is for --show or --predict"),
        (["--top", "3"], "--top is for --predict"),
        (["--show", "--top", "3"], "--top is for --predict"),
        (["--predict", "a.png", "--json", "--top", "3"], "--top is for --predict without --json"),
        (["--graphs", "x", "--match-mult-adds", "1e6"], "--match-mult-adds is for a network to be trained"),
        (["--export", ""], "argument --export: invalid file value: ''"),
    ],
)
def test_train_takes_what_it_uses(options: list[str], line: str) -> None:
    assert line in refused("digits", *options)


@pytest.mark.condition("D", "keys that change nothing in an evaluation", "refused, with those that it may choose")
@pytest.mark.parametrize("key", ["data.flip=0", "runtime.wandb=offline", "runtime.study=b", "data.ramp=[0,1]"])
def test_an_evaluation_takes_what_it_uses(key: str, trained: Path) -> None:
    line = refused(str(trained), "--evaluate", f"--{key}")
    assert f"{key.partition('=')[0]}: changes nothing here; an evaluation may choose data.source, " in line
    both = refused(str(trained), "--evaluate", "--data.resolution", "16", "--data.eval_resolution", "20")
    assert "data.resolution: an evaluation is at data.eval_resolution; give one of them" in both


@pytest.mark.condition("D", "damage run --seed where nothing is sampled", "refused")
def test_a_seed_of_nothing_is_refused(trained: Path, tmp_path: Path) -> None:
    done = commands.call("studies/damage.py", "run", str(trained), "--seed", "1", "--output", str(tmp_path / "new"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--seed: draws samples, and there are none" in done.stderr
    assert not (tmp_path / "new").exists()
