"""Values are read by the type of their key, and not by what they look like."""

import json
from collections.abc import Mapping
from pathlib import Path

import commands
import pytest
from study_helpers import command
from trained_helpers import refused

from randwire import config as configuration
from randwire.config.variant import values_of_variant, variant_of
from randwire.errors import ConfigError
from randwire.study.ranges import Range
from randwire.sweep import Cluster
from randwire.sweep.places import Machine, Machines, places


@pytest.mark.condition("I", "names and paths that look like numbers, lists or true, on the command line", "are text")
def test_text_is_text_whatever_it_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"data.path": "2012", "runtime.study": "2024", "runtime.project": "1e3", "runtime.output": "true"}
    words = [word for key, value in given.items() for word in (f"--{key}", value)]
    config = json.loads(commands.call("train.py", "digits", "--show", "--json", *words).stdout)["config"]
    shown = {key: config[key.partition(".")[0]][key.partition(".")[2]] for key in given}
    assert shown == {**given, "data.path": str(commands.ROOT / "2012")}
    for name in ("null", "1.5", "[1]", '"x"', "-0", "1e400"):
        assert str(configuration.build({}, configuration.parse_all({"runtime.output": name})).runtime.output) == name
    assert "is 'true'" in refused("digits", "--show", "--network.reference", "true")


@pytest.mark.condition("I", "null, for a key that may be empty", "empties it, also one of text")
@pytest.mark.parametrize("key", ["data.path", "network.reference", "data.eval_resolution", "train.pretrained"])
def test_null_empties_a_key_that_may_be_empty(key: str) -> None:
    assert configuration.parse_all({key: "null"}) == {key: None}


@pytest.mark.condition(
    "I", "numbers, truth values and lists, on the command line", "are JSON; anything else is refused"
)
@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"train.epochs": "1e1"}, 10),
        ({"train.lr": ".5"}, 0.5),
        ({"data.ramp": "[0,1]"}, (0.0, 1.0)),
        ({"network.head_relu": "false"}, False),
        ({"train.epochs": "true"}, "must be a whole number, is 'true'"),
        ({"train.lr": "false"}, "must be a number, is 'false'"),
        ({"train.epochs": "null"}, "must be a whole number, is 'null'"),
        ({"train.epochs": '"3"'}, "must be a whole number, is"),
        ({"train.milestones": "[true]"}, "must be a list of numbers, such as"),
        ({"data.ramp": "0,1"}, "must be a list of numbers, such as"),
        ({"network.head_relu": "2"}, "must be true or false, is 2"),
    ],
)
def test_other_values_are_json(texts: Mapping[str, str], expected: object) -> None:
    ((key, _),) = texts.items()
    section, _, name = key.partition(".")
    if not isinstance(expected, str):
        config = configuration.build({}, configuration.parse_all(texts))
        assert getattr(getattr(config, section), name) == expected
        return
    with pytest.raises(ConfigError) as caught:
        configuration.build({}, configuration.parse_all(texts))
    assert str(caught.value).startswith(f"{key}: {expected}")


@pytest.mark.condition("I", "a number or a date as text in a YAML file, or true as a number", "one line that tells it")
@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("runtime: {study: 2024}", "runtime.study: must be text, and is the number 2024; write it in quotes"),
        ("runtime: {output: 1.5}", "runtime.output: must be text, and is the number 1.5; write it in quotes"),
        ("data: {path: yes}", "data.path: must be text, and is the truth value true; write it in quotes"),
        ("runtime: {study: 2024-01-01}", "runtime.study: must be text, and is the date 2024-01-01; write it in quotes"),
        ("runtime: {study: }", "runtime.study: must be text, and is empty"),
        ("train: {epochs: yes}", "train.epochs: must be a number, and is the truth value true"),
    ],
)
def test_a_file_has_the_types_of_yaml(content: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        configuration.load(str(tmp_path / "mine.yaml"))
    assert str(caught.value) == line


@pytest.mark.condition("I", "values of --space and of variants that look like numbers, of a key of text", "are text")
def test_ranges_and_variants_are_read_by_the_key() -> None:
    found = Range.parse("network.op=1,true,null")
    assert (found.values, str(found)) == (("1", "true", "null"), "network.op=1,true,null")
    assert Range.parse("network.op=1:3").values == ("1:3",)
    assert Range.parse("data.eval_resolution=null,32").values == (None, 32)
    values = {"network.op": "1", "network.channels": 64, "data.eval_resolution": None, "network.head_relu": False}
    assert values_of_variant(variant_of(values)) == values


@pytest.mark.condition("I", "sweep --runtime.device cuda where no GPU is", "one line that advises on the device alone")
def test_no_gpu_is_no_matter_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = commands.call(
        "studies/generators.py", "sweep", "--runtime.device", "cuda", "--runtime.output", str(tmp_path)
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: runtime.device: is cuda, and this machine has no GPU; use auto or cpu\n"
    assert list(tmp_path.iterdir()) == []
    there = Cluster("10.0.0.1:6379", workers=4, cpus_per_worker=3)
    grows = "or set --concurrent for a cluster that grows"
    none = f"runtime.device: is cuda, and the cluster has no GPU; use auto or cpu, {grows}"
    few = f"--workers: a trial of 4 takes a GPU each, and the cluster has 2; lower it, {grows}"
    cpus = "--workers: a trial of 4 takes 3 CPUs each (--cpus-per-worker), and the cluster has 8; lower one of them"
    apart = "takes 3 CPUs each (--cpus-per-worker), and of the cluster no machine has more than 2; lower one of them"
    told = []
    for device, machines in (("cuda", [(8, 0)]), ("auto", [(8, 2)]), ("cpu", [(8, 0)]), ("cpu", [(2, 0)] * 7)):
        with pytest.raises(ConfigError) as error:
            places(there, device, 64, Machines([Machine(*one) for one in machines]))  # type: ignore[arg-type]
        told.append(str(error.value))
    assert told == [none, few, f"{cpus}, {grows}", f"--workers: a trial of 4 {apart}, {grows}"]


@pytest.mark.condition("I", "--runtime.output '' (a variable that is not set), --name 's 2'", "one line that says what")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--runtime.output", ""), "error: runtime.output: must name a folder"),
        (("--name", "s 2"), "error: argument --name: must be letters, digits and . _ -"),
        (("--name", ""), "error: argument --name: must be letters, digits and . _ -"),
    ],
)
def test_an_empty_place_or_an_odd_name(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("plan", "status", "report"):
        try:
            code: object = command(verb, *words)
        except SystemExit as end:
            code = end.code
        err = capsys.readouterr().err
        assert (code, err.startswith(told), len(err.splitlines())) == (2, True, 1), err
