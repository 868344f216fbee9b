"""Whatever stands in a file or on a command line: a valid configuration, or one line that says what is wrong."""

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from randwire import config as configuration
from randwire.cli import train
from randwire.cli.study_command import study
from randwire.config import PRESETS, RunConfig
from randwire.errors import UserError
from randwire.study.search_space import SearchSpace
from randwire.study.setting import Setting

KEYS = sorted(configuration.keys())
SECTIONS = sorted({key.partition(".")[0] for key in KEYS})
# Values that are likely to be taken by some key, or nearly; the sizes keep networks small.
WORDS = (
    *("ws:k=4,p=0.75", "ws:k=3,p=0.5", "ws:k=4,p=2", "er:p=0.2", "er:p=0", "ba:m=5", "ba:m=99", "ba:", "ws", ":"),
    *(
        "shared",
        "independent",
        "small",
        "tiny",
        "regular",
        "sepconv",
        "conv",
        "maxpool",
        "digits",
        "imagenet",
        "folder",
    ),
    *("auto", "cpu", "cuda", "sgd", "adam", "cosine", "steps", "fp32", "bf16", "random", "quasi-random", "s3://a/b"),
    *("s3://key:word@a/b", "/nowhere", "no/where", "nan", "inf", "-1", "1e400", "", " ", "\0", "\u2028", "../..", "~"),
    *("null", "true", "[0.5,0.6]"),
)
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**63, 10**30]),
    st.floats(-2, 2),
    st.sampled_from([float("nan"), float("inf"), 1e-30]),
    st.booleans(),
    st.none(),
    st.text(max_size=8),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=5), SCALARS, max_size=2))


def laid(wrong: st.SearchStrategy[Any], max_size: int) -> st.SearchStrategy[dict[str, Any]]:
    """Some keys with values: the default, something near it, or, less often, anything."""
    defaults = RunConfig().model_dump(mode="json")

    def near(key: str) -> st.SearchStrategy[Any]:
        section, _, name = key.partition(".")
        value = defaults[section][name]
        values = [value]
        if isinstance(value, bool):
            values += [not value]
        elif isinstance(value, int | float):
            values += [value + 1, value / 2, 2 * value, 1]
        usual = st.sampled_from(values)
        return st.one_of(usual, usual, usual, wrong).map(lambda chosen: (key, chosen))

    return st.lists(st.sampled_from(KEYS).flatmap(near), max_size=max_size).map(dict)


LAID = laid(VALUES, 4)
STRANGE = st.dictionaries(st.text(max_size=12), VALUES, max_size=2)
FLAGS = laid(SCALARS, 3)
SMALL = {"--network.channels": "4", "--network.head": "8", "--graph.nodes": "7"}
FUZZ = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """A text with a part of it exchanged for something else."""
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 12)))
    return (
        text[:start] + draw(st.one_of(st.text(max_size=6), st.sampled_from([":", "\n", "- ", "{", "  "]))) + text[stop:]
    )


T = TypeVar("T")


def outcome(make: Callable[[], T]) -> T | str:
    """The value, such as a configuration, or the message of a mistake; any other error fails the test."""
    try:
        return make()
    except UserError as error:
        return str(error)


@settings(FUZZ, max_examples=800)
@given(st.sampled_from(sorted(preset.stem for preset in PRESETS.glob("*.yaml"))), st.one_of(LAID, LAID, LAID, STRANGE))
def test_keys_over_a_preset(preset: str, values: dict[str, Any]) -> None:
    config = outcome(lambda: configuration.load(preset, values))
    assert config
    if isinstance(config, RunConfig):  # what is valid stays so, and stays itself, in a file
        again = configuration.build(yaml.safe_load(config.to_yaml()), {})
        assert again.digest == config.digest


@settings(FUZZ, max_examples=800)
@given(
    st.one_of(
        st.dictionaries(
            st.one_of(st.sampled_from(SECTIONS), st.text(max_size=5)), st.one_of(VALUES, LAID), max_size=4
        ).map(yaml.dump),
        st.text(max_size=60),
        st.sampled_from(sorted(PRESETS.glob("*.yaml"))).flatmap(lambda path: mutated(path.read_text())),
    )
)
def test_files(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert outcome(lambda: configuration.load(str(path)))


def command(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code and stderr of a command that is called in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as error:
            code = int(error.code or 0)
    return code, err.getvalue()


def check(code: int, err: str, words: Sequence[str]) -> None:
    assert code in (0, 2), (words, err)
    if code == 2:
        (line,) = err.splitlines()
        assert line.startswith("error: "), words
        assert len(line) > len("error: ")


@settings(FUZZ, max_examples=300)
@given(
    FLAGS, st.lists(st.sampled_from(["--show", "--json", "--top", "3", "--match-mult-adds", "1e6", "x"]), max_size=3)
)
def test_flags_of_train(flags: dict[str, Any], more: list[str]) -> None:
    words = [word for key, value in flags.items() for word in (f"--{key}", str(value))]
    words = ["digits", "--show", *[word for pair in SMALL.items() for word in pair], *words, *more]
    check(*command(train, words), words)


OPTIONS = {
    "--search": ["grid", "random", "tpe", "none"],
    "--settings": ["1", "3", "0", "x"],
    "--seeds": ["1", "2", "-1", "1e3"],
    "--train-seeds": ["1", "2", "0"],
    "--generators": ["er", "ws,ba", "", "er,xx", ","],
    "--seed": ["0", "7", "x"],
    "--require": ["depth>=2", "mult_adds<=1e5", "depth", "depth>=x", "nothing>1", "params<=inf"],
    "--space": ["ws.k=4:8:2", "network.channels=4,6", "graph.seed=0:9", "ws.k=3:9", "x=1", "train.lr=0.1,", "er.p=1:0"],
    "--objective": ["top1", "top1,-mult_adds", "-depth", "top1,top1", "speed", ""],
    "--workers": ["1", "3", "0"],
    "--images-per-s": ["10", "0", "nan"],
    "--gpus": ["8", "0"],
    "--price": ["2", "-1"],
    "--base": ["digits", "none", "/"],
    "--name": ["a", "a/b", "..", "", "é"],
}


@settings(FUZZ, max_examples=150)
@given(
    st.lists(st.sampled_from(sorted(OPTIONS)), max_size=3, unique=True).flatmap(
        lambda names: st.tuples(*(st.tuples(st.just(name), st.sampled_from(OPTIONS[name])) for name in names))
    ),
    FLAGS,
)
def test_options_of_a_study(
    tmp_path_factory: pytest.TempPathFactory, options: tuple[tuple[str, str], ...], flags: dict[str, Any]
) -> None:
    output = ("--runtime.output", str(tmp_path_factory.getbasetemp() / "nothing"))
    words = ["plan", *(word for option in options for word in option)]
    words += [word for key, value in flags.items() if key != "runtime.output" for word in (f"--{key}", str(value))]
    words += [word for pair in SMALL.items() if pair[0][2:] not in flags for word in pair]
    check(*command(lambda arguments: study("generators", None, arguments), [*words, *output]), words)


RANGES = (
    *("ws.k=4:8:2", "ws.p=0.5,1", "ba.m=1:5", "er.p=0.1:0.5:0.1", "graph.seed=0:9", "graph.nodes=10:16:2"),
    *("network.channels=4:8:2", "network.op=conv,sepconv", "train.lr=0.1,0.25", "data.crop_area=[0.1,1],[0.5,1]"),
    *("network.head_relu=true,false", "data.eval_resolution=null,32", "train.epochs=1,2,4"),
)
STRANGE_RANGES = st.tuples(
    st.sampled_from([*KEYS, "ws.k", "ws.p", "ba.m", "er.p", "ws.q", "wz.k", "", " ws.p ", "x=y", "runtime"]),
    st.one_of(
        st.lists(st.one_of(st.sampled_from(WORDS), SCALARS.map(str), st.text(max_size=5)), max_size=4).map(",".join),
        st.lists(st.one_of(st.integers(-3, 70), st.floats(-1, 2), st.sampled_from(WORDS)), max_size=4).map(
            lambda numbers: ":".join(map(str, numbers))
        ),
    ),
).map("=".join)


@settings(FUZZ, max_examples=400)
@given(
    st.lists(
        st.one_of(st.sampled_from(RANGES), st.sampled_from(RANGES).flatmap(mutated), STRANGE_RANGES),
        min_size=1,
        max_size=3,
    )
)
def test_texts_of_a_space(texts: list[str]) -> None:
    base = configuration.load("digits", {"graph.nodes": 12})
    found = outcome(lambda: SearchSpace.parse(texts, ("er", "ba", "ws"), base))
    if isinstance(found, str):
        assert found.startswith("--space: "), texts
        assert len(found) > len("--space: ")
        return
    assert SearchSpace.parse(found.texts, found.generators, base) == found
    for number in {0, found.size // 2, found.size - 1}:
        setting = found.at(number)
        assert Setting.parse(str(setting)) == setting
        assert found.parameters(setting).keys() >= {one.key for one in found.further}
