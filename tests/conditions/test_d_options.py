"""Options and keys take effect, or are refused: what each verb of a study takes, and each way to use train.py."""

import json
from pathlib import Path

import commands
import pytest
from study_helpers import command, design
from trained_helpers import refused

from randwire import config as configuration
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


@pytest.mark.condition(
    "D", "a key that decides nothing beside others, such as betas of SGD", "refused, with what it needs"
)
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--train.betas", "[0.9,0.99]"], "train.betas: decides nothing without train.optimizer adam or adamw"),
        (["--train.momentum", "0.8", "--train.optimizer", "adam"], "train.momentum: decides nothing without"),
        (["--train.milestones", "[0.5]"], "train.milestones: decides nothing without train.schedule step"),
        (["--train.epoch_factor", "0.9"], "train.epoch_factor: decides nothing without train.schedule exponential"),
        (["--network.drop_edge_scope", "network"], "decides nothing without network.drop_edge; leave it out"),
        (["--data.ramp", "[0,1]"], "data.ramp: decides nothing without data.start_resolution"),
    ],
)
def test_a_key_that_decides_nothing_is_refused(
    words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused("digits", "--show", *words)
    assert command("plan", *words, "--runtime.output", str(tmp_path)) == 2
    assert line in capsys.readouterr().err
    assert configuration.build({}, {"train.betas": [0.9, 0.99]}).train.betas == (0.9, 0.99)  # files may hold all keys


@pytest.mark.condition("D", "keys that draw graphs beside graph.path", "refused")
def test_saved_graphs_are_not_drawn(trained: Path) -> None:
    words = ("digits", "--graph.path", str(trained), "--graph.nodes", "6", "--network.channels", "6", "--show")
    assert commands.call("train.py", *words).returncode == 0
    assert "graph.seed: draws graphs, and those of graph.path are saved" in refused(*words, "--graph.seed", "3")


@pytest.mark.condition("D", "a key that a search varies, or on which its other values depend", "is not refused")
def test_a_key_that_some_trial_needs_is_taken(tmp_path: Path) -> None:
    words = ("--space", "train.optimizer=sgd,adam", "--train.betas", "[0.9,0.99]", "--runtime.output", str(tmp_path))
    assert command("plan", "--settings", "3", "--seeds", "1", *words) == 0


@pytest.mark.condition("D", "--seed of a grid, a list or a race", "refused: nothing is drawn")
@pytest.mark.parametrize("search", ["grid", "race"])
def test_a_seed_that_draws_nothing_is_refused(search: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", "--search", search, "--seed", "1", "--runtime.output", str(tmp_path)) == 2
    line = f"error: --seed: is for --search tpe or random; a {search} draws nothing\n"
    assert capsys.readouterr().err == line


@pytest.mark.condition("D", "a key of which every variant has its own value", "refused")
def test_a_key_of_all_variants_is_refused(tmp_path: Path) -> None:
    done = commands.call("studies/regimes.py", "plan", "--network.dropout", "0.3", "--runtime.output", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: network.dropout: every variant of the study has its own; leave it out\n"


@pytest.mark.condition("D", "plan --workers that sweep would refuse", "refused, too")
def test_plan_takes_the_ranks_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", "--workers", "7", "--runtime.output", str(tmp_path)) == 2
    assert "train.batch_size: 64 is not divisible by 7 ranks (--workers)" in capsys.readouterr().err


@pytest.mark.condition(
    "D", "conversion: quality without JPEG, a share without its mode, choices of an estimate", "refused"
)
@pytest.mark.parametrize(
    "words",
    [
        ("--quality: is of JPEG", "--mode", "raw", "--quality", "50"),
        ("--compress-probability: is of --mode proportion", "--mode", "jpg", "--compress-probability", "0.5"),
        ("--force: is of a conversion", "--estimate", "--force"),
        ("--processes: is of a conversion", "--estimate", "--processes", "2"),
    ],
)
def test_a_conversion_takes_what_it_uses(words: tuple[str, ...], tmp_path: Path) -> None:
    done = commands.call("-m", "randwire.data.convert", "digits", str(tmp_path / "new"), *words[1:])
    assert (done.returncode, done.stdout) == (2, "")
    assert words[0] in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.condition(
    "D", "trial of a finished trial, with more seeds or generators", "the study grows, as it is told to"
)
def test_a_trial_that_has_ended_does_not_hide_that_the_study_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--only", "er:p=0.4", "--seeds", "1", *TINY, "--runtime.output", str(tmp_path))
    assert command("trial", "1", *options) == 0
    assert command("trial", "1", "--seeds", "2", "--runtime.output", str(tmp_path)) == 0
    capsys.readouterr()
    assert command("status", "--json", "--runtime.output", str(tmp_path)) == 0
    assert [row["state"] for row in json.loads(capsys.readouterr().out)["trials"]] == ["finished", "pending"]
