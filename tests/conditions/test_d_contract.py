"""Every option of every command, and every key: what is accepted changes something, anything else is refused.

An option without a row here fails `test_every_option_has_a_row`: add one to its table.
"""

import argparse
import contextlib
import io
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from data_helpers import build, noise
from study_helpers import design, end

from randwire import config as configuration
from randwire.cli import damage, sizes, study_command, train
from randwire.cli.damage_command import damage_parser
from randwire.cli.study_parser import DESIGNING, FINDING_KEYS, Kind, study_parser
from randwire.cli.train_command import train_parser
from randwire.config import RunConfig
from randwire.data.convert import command as conversion
from randwire.data.convert.check_command import check_parser
from randwire.data.sources import load_source
from randwire.errors import ConfigError
from randwire.records import Record
from randwire.study.defaults import Defaults

Words = Sequence[str]
Row = tuple[Words, Words]
"""Words without which the option would be refused, and the option with a value."""
Outcome = tuple[int, str, str]
"""Exit code, stdout and stderr."""

ONLY = ("--only", "er:p=0.2", "--only", "er:p=0.4", "--only", "ba:m=5", "--seeds", "5", "--graph.nodes", "8")
DETECT = (*ONLY, "--detect", "5", "--std", "1")
DESIGN: Mapping[str, Row] = {
    "--base": ((), ("--base", "mnist")),
    "--search": ((), ("--search", "random")),
    "--settings": ((), ("--settings", "4")),
    "--confirm": ((), ("--confirm", "parent")),
    "--longer": ((), ("--longer", "parent")),
    "--top": (("--confirm", "parent"), ("--top", "2")),
    "--space": ((), ("--space", "ws.k=4:8:2")),
    "--objective": ((), ("--objective", "top1,-mult_adds")),
    "--only": ((), ("--only", "er:p=0.3")),
    "--seeds": ((), ("--seeds", "7")),
    "--match-mult-adds": ((), ("--match-mult-adds", "1e6")),
    "--train-seeds": ((), ("--train-seeds", "3")),
    "--generators": ((), ("--generators", "er")),
    "--seed": ((), ("--seed", "1")),
    "--require": ((), ("--require", "depth>=2")),
    "--early-stopping": ((), ("--early-stopping",)),
    "--name": ((), ("--name", "other")),
    "--variants": ((), ("--variants", "one")),
}
OF_VERBS: Mapping[str, Mapping[str, Row]] = {
    "plan": {
        "--json": (ONLY, ("--json",)),
        "--all": (ONLY, ("--all",)),
        "--workers": (ONLY, ("--workers", "7")),
        "--images-per-s": (ONLY, ("--images-per-s", "100")),
        "--gpus": ((*ONLY, "--images-per-s", "100"), ("--gpus", "4")),
        "--gpus-per-worker": ((*ONLY, "--images-per-s", "100", "--gpus", "4"), ("--gpus-per-worker", "0.25")),
        "--price": ((*ONLY, "--images-per-s", "100"), ("--price", "2")),
        "--detect": (ONLY, ("--detect", "5")),
        "--std": ((*ONLY, "--detect", "5"), ("--std", "2")),
        "--family": (DETECT, ("--family", "pair")),
    },
    "sweep": {
        "--workers": ((), ("--workers", "4")),
        "--address": ((), ("--address", "10.0.0.1:6379")),
        "--cpus-per-worker": ((), ("--cpus-per-worker", "3")),
        "--gpus-per-worker": ((), ("--gpus-per-worker", "0.25")),
        "--concurrent": ((), ("--concurrent", "2")),
        "--stall-minutes": ((), ("--stall-minutes", "1")),
        "--losses": ((), ("--losses", "9")),
        "--no-open": ((), ("--no-open",)),
        "--retry": ((), ("--retry",)),
    },
    "trial": {"--retry": (("1", "--name", "parent"), ("--retry",))},
    "status": {
        "--json": (("--name", "parent"), ("--json",)),
        "--all": (("--name", "begun"), ("--all",)),
        "--watch": (("--name", "parent"), ("--watch", "600")),
        "--name": (("--name", "parent"), ("--name", "begun")),
    },
    "report": {
        "--table": (("--name", "parent"), ("--table", "a.csv")),
        "--optuna": (("--name", "parent"), ("--optuna", "a.log")),
        "--publish": (("--name", "parent"), ("--publish",)),
        "--name": (("--name", "parent"), ("--name", "none")),
        "--output": (("--name", "parent"), ("--output", "elsewhere.html")),
        "--with": (("--name", "parent"), ("--with", "none")),
    },
}
TRAIN: Mapping[str, Row] = {
    "--show": (("digits",), ("--show",)),
    "--graphs": (("digits",), ("--graphs", "folder")),
    "--evaluate": (("digits",), ("--evaluate",)),
    "--predict": (("digits",), ("--predict", "a.png")),
    "--export": (("digits",), ("--export", "a.onnx")),
    "--json": (("digits", "--show"), ("--json",)),
    "--top": (("RECORD", "--predict", "PICTURE"), ("--top", "2")),
    "--match-mult-adds": (("digits", "--show"), ("--match-mult-adds", "1e6")),
}
DAMAGE: Mapping[str, Mapping[str, Row]] = {
    "run": {
        "--output": (("RECORD",), ("--output", "other")),
        "--nodes": (("RECORD",), ("--nodes", "2")),
        "--edges": (("RECORD",), ("--edges", "2")),
        "--recalibrate": (("RECORD",), ("--recalibrate", "3")),
        "--images": (("RECORD",), ("--images", "9")),
        "--seed": (("RECORD", "--images", "9"), ("--seed", "1")),
    },
    "report": {"--output": ((), ("--output", "other"))},
}
SIZES: Mapping[str, Row] = {"--seeds": ((), ("--seeds", "3")), "--start": ((), ("--start", "3"))}
FOLDER = ("folder", "in", "out")
CONVERT: Mapping[str, Row] = {
    "--mode": (("digits", "out"), ("--mode", "jpg")),
    "--max-side": (("digits", "out"), ("--max-side", "7")),
    "--quality": (("digits", "out", "--mode", "jpg"), ("--quality", "7")),
    "--compress-probability": (("digits", "out", "--mode", "proportion"), ("--compress-probability", "0.3")),
    "--corrupt": (("digits", "out"), ("--corrupt", "skip")),
    "--processes": (("digits", "out"), ("--processes", "7")),
    "--force": (("digits", "out"), ("--force",)),
    "--estimate": (("digits", "out"), ("--estimate",)),
    "--train": (FOLDER, ("--train", "other")),
    "--val": (FOLDER, ("--val", "other")),
    "--val-labels": (FOLDER, ("--val-labels", "labels.txt")),
    "--val-share": (FOLDER, ("--val-share", "0.2")),
    "--val-seed": ((*FOLDER, "--val-share", "0.2"), ("--val-seed", "7")),
    "--background": (FOLDER, ("--background", "000000")),
    "--value-range": (FOLDER, ("--value-range", "0:1")),
    "--max-megapixels": (FOLDER, ("--max-megapixels", "7")),
}
CHECK: Mapping[str, Words] = {
    "--resolution": ("--resolution", "9"),
    "--crop": ("--crop", "0.5"),
    "--sheet": ("--sheet", "other.png"),
    "--json": ("--json",),
}
KINDS: Mapping[Kind, Mapping[str, Any]] = {
    "search": {},
    "variants": {"variants": lambda _: {"one": {"network.op": "conv"}, "two": {"network.op": "maxpool"}}},
    "list": {"defaults": Defaults(options=lambda _: {"only": ("er:p=0.2", "ba:m=5")})},
}


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {
        text
        for action in parser._actions
        for text in action.option_strings
        if text.startswith("--") and text != "--help"
    }


def test_every_option_has_a_row() -> None:
    for verb, of_verb in OF_VERBS.items():
        parsers = [study_parser("any", None, kind).verbs()[verb] for kind in KINDS]
        assert set().union(*map(options_of, parsers)) == {*of_verb, *(DESIGN if verb in DESIGNING else ())}, verb
    assert options_of(train_parser()) == set(TRAIN)
    assert {verb: options_of(parser) for verb, parser in damage_parser(None).verbs().items()} == {
        verb: set(rows) for verb, rows in DAMAGE.items()
    }
    sources = [conversion._parser(name, load_source(name)) for name in ("digits", "folder")]
    assert set().union(*map(options_of, sources)) == set(CONVERT)
    assert options_of(check_parser()) == set(CHECK)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Commands set handlers of signals for the rest of the process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with two studies below runs: `parent`, which has ended, and `begun`."""
    monkeypatch.chdir(tmp_path)
    for name, ended in (("parent", 3), ("begun", 1)):
        keys = {"runtime.output": "runs", "runtime.study": name, "graph.nodes": 8}
        specs = ("er:p=0.2", "er:p=0.4", "ba:m=5")
        made = design(tmp_path, search="list", only=specs, seeds=1)
        made = type(made)(made.base.override(keys), search="list", only=specs, seeds=1)
        made.open()
        for setting in made.fixed_settings()[:ended]:
            end(made, setting, top1=50.0)
            for trial in made.trials(setting):
                made.record(trial).write_json("summary.json", {"status": "finished", "val_top1": 50.0, "epochs": 4})
    return tmp_path


def outcome(command: Callable[[], int]) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = command()
        except SystemExit as error:
            code = int(error.code or 0)
    return code, out.getvalue(), err.getvalue()


def studied(arguments: Words, **more: Any) -> Outcome:
    return outcome(lambda: study_command.study("any", None, arguments, **more))


def is_effective(without: Outcome, given: Outcome) -> bool:
    """Whether an option was refused in one line, or has changed what a command that works does."""
    refused = given[0] == 2 and len(given[2].splitlines()) == 1 and given != without
    return refused or (without[0] == 0 and without != given)


def told(*values: object, **more: object) -> Any:
    """In the place of what a command calls in the end: says what it was called with."""
    print(values, more)
    return 0


def show_design(load: Callable[[], Any], options: argparse.Namespace) -> int:
    made = load()
    print(json.dumps(made.to_json()), made.folder, made.base)
    return 0


@pytest.mark.condition(
    "D", "each option of a design, behind plan, sweep and trial of each study", "effective, or refused"
)
@pytest.mark.parametrize("verb", DESIGNING)
@pytest.mark.parametrize("kind", KINDS)
def test_options_of_a_design(verb: str, kind: Kind, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(study_command._VERBS, verb, show_design)
    first = [verb, *(["1"] if verb == "trial" else [])]
    for option in sorted(options_of(study_parser("any", None, kind).verbs()[verb]) & set(DESIGN)):
        context, words = DESIGN[option]
        if not set(context[:1]) <= options_of(study_parser("any", None, kind).verbs()[verb]):
            continue
        of = [studied([*first, *context, *given], **KINDS[kind]) for given in ((), words)]
        assert is_effective(*of), (option, of)


@pytest.mark.condition("D", "each further option of a verb", "effective, or refused")
@pytest.mark.parametrize(
    ("verb", "option"), [(verb, option) for verb, rows in OF_VERBS.items() for option in rows], ids=str
)
def test_options_of_a_verb(verb: str, option: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("randwire.cli.plan_verb.MAX_LISTED_TRIALS", 1)
    monkeypatch.setattr(study_command, "_open", told)
    monkeypatch.setattr("randwire.sweep.launch.check", lambda *_, **__: None)
    monkeypatch.setattr("randwire.sweep.launch.sweep", told)
    if verb == "sweep":
        monkeypatch.setattr("randwire.records.find_records", lambda _: [Record(folder)])
        monkeypatch.setattr("randwire.report.page.study_page.write_report", lambda *_, **__: Path("report.html"))
    monkeypatch.setattr("randwire.report.table.write_table", lambda *_: [])
    monkeypatch.setattr("randwire.study.export.export", lambda *_: 0)
    context, words = OF_VERBS[verb][option]
    of = [studied([verb, *context, *more]) for more in ((), words)]
    assert is_effective(*of), of


@pytest.mark.condition("D", "each option of train.py", "effective, or refused")
@pytest.mark.parametrize("option", TRAIN)
def test_options_of_train(
    option: str,
    trained: Path,
    pictures: tuple[list[Path], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("randwire.cli.train_command.train_one", told)
    stands_for = {"RECORD": str(trained), "PICTURE": str(pictures[0][0])}
    context, words = ([stands_for.get(word, word) for word in part] for part in TRAIN[option])
    of = [outcome(partial(train, [*context, *more])) for more in ((), words)]
    assert is_effective(*of), of


@pytest.mark.condition("D", "each option of damage.py, sizes.py and the conversion", "effective, or refused")
@pytest.mark.parametrize(
    ("command", "first", "context", "words"),
    [
        *((damage, verb, *row) for verb, rows in DAMAGE.items() for row in rows.values()),
        *((sizes, "", *row) for row in SIZES.values()),
        *((conversion.main, "", *row) for row in CONVERT.values()),
    ],
    ids=lambda part: "-".join(part) if isinstance(part, tuple) else "",
)
def test_options_of_other_commands(
    command: Callable[..., int],
    first: str,
    context: Words,
    words: Words,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shown(*values: object, **more: object) -> None:
        raise ConfigError(repr((values, sorted(more.items()))))

    monkeypatch.chdir(tmp_path)
    for name in ("damage.measure.run", "damage.page.write_report", "study.sizes.compare"):
        monkeypatch.setattr(f"randwire.{name}", shown)
    for name in ("convert", "print_estimate"):
        monkeypatch.setattr(conversion, name, lambda source, *values, **more: shown(source.given, *values, more))
    context = [*filter(None, [first]), *(str(trained) if word == "RECORD" else word for word in context)]
    before = () if command is conversion.main else (None,)
    of = [outcome(partial(command, *before, [*context, *more])) for more in ((), words)]
    # Both end in what stands for the work: it says what it was called with.
    assert of[0][:2] == of[1][:2] == (2, "")
    assert of[0][2] != of[1][2]
    assert not any("see --help" in one[2] for one in of), of


@pytest.mark.parametrize("option", CHECK)
def test_options_of_the_check(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build(tmp_path / "set", noise(20), noise(10))
    seen = []
    for words in ((), CHECK[option]):
        code, out, _ = outcome(partial(conversion.main, ["--check", "set", *words]))
        seen.append((code, out, [path.read_bytes() for path in sorted(tmp_path.rglob("*.png"))]))
    assert seen[0][0] == seen[1][0] == 0
    assert seen[0] != seen[1]


TEXTS = {
    "graph.generator": "er:p=0.3",
    "graph.path": "nowhere",
    "data.source": "mnist",
    "data.path": "elsewhere",
    "network.op": "conv",
    "network.reference": "pytorchcv:resnet20_cifar10",
    "runtime.output": "elsewhere",
    "runtime.study": "other",
    "runtime.variant": "other",
    "runtime.project": "other",
}
"""Another value of the keys of which only words are known."""


def another(key: str, config: RunConfig) -> str:
    """The text of another value of a key; of some only one that is refused."""
    section, _, name = key.partition(".")
    part = getattr(config, section)
    value, choices = getattr(part, name), get_args(type(part).model_fields[name].annotation)
    numbers = [json.dumps(number) for number in (value + 1, value / 2)] if _is_number(value) else []
    for text in (*([TEXTS[key]] if key in TEXTS else ()), *numbers, "0.5", "[0.2,0.6]", "16", *map(str, choices)):
        for word in (text, "true", "false"):
            with contextlib.suppress(ConfigError):
                other = config.override(configuration.parse_all({key: word}))
                if getattr(getattr(other, section), name) != value:
                    return word
    return TEXTS.get(key, "nonsense")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.condition("D", "each key, behind train.py and each verb, over a stored study too", "effective, or refused")
@pytest.mark.parametrize("key", configuration.keys())
def test_keys(key: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = another(key, configuration.load("digits"))
    given = (f"--{key}", text)
    of = [outcome(partial(train, ["digits", "--show", "--json", *more])) for more in ((), given)]
    assert is_effective(*of), of
    for verb in ("status", "report"):
        code, _, err = studied([verb, "--name", "parent", *given])
        if key not in FINDING_KEYS:
            assert (code, err.startswith(f"error: {key}: is not for {verb}, ")) == (2, True), err
    for verb in DESIGNING:
        monkeypatch.setitem(study_command._VERBS, verb, show_design)
        first = [verb, *(["1"] if verb == "trial" else [])]
        for name in ("new", "parent"):
            words = [*first, "--name", name]
            of = [studied([*words, *more]) for more in ((), given)]
            assert is_effective(*of), (verb, name, of)
