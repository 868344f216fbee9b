"""The configuration: presets, overrides, mistakes in one line, and what names a run."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import new_files
import pytest
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from randwire.config import PRESETS, RunConfig, keys, load, resolve
from randwire.config.run_config import HASHES
from randwire.errors import ConfigError

NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))
# Neither these paths nor the runtime section decide a number of a run.
UNNAMED = {"data.path", "data.stage", "data.stage_budget_gb", "graph.path", "train.pretrained"}


def _fields() -> dict[str, FieldInfo]:
    fields = {}
    for section in RunConfig.model_fields:
        for name, field in type(getattr(RunConfig(), section)).model_fields.items():
            fields[f"{section}.{name}"] = field
    return fields


FIELDS = _fields()
IDENTITY = [key for key in FIELDS if not key.startswith("runtime.") and key not in UNNAMED]


def _value(config: RunConfig, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _other(key: str) -> Any:
    """A value of the field's type that is not its default."""
    field, value = FIELDS[key], _value(RunConfig(), key)
    if get_origin(field.annotation) is Literal:
        return next(choice for choice in get_args(field.annotation) if choice != value)
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "-other"
        case None if {int, float} & set(get_args(field.annotation)):
            return 97
        case None if str in get_args(field.annotation):
            return "0" * 64
        case Path() | None:
            return Path("elsewhere")
        case tuple():
            return (*value[:-1], value[-1] + 1)
    raise AssertionError(f"{key}: no other value known for {value!r}")


def _with(key: str, value: object, base: RunConfig | None = None) -> RunConfig:
    """A configuration with one field replaced past validation: not every type has two valid values."""
    config = base or RunConfig()
    section, name = key.split(".")
    inner: BaseModel = getattr(config, section)
    return config.model_copy(update={section: inner.model_copy(update={name: value})})


def _error(name: str, values: Mapping[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(name, values)
    message = str(caught.value)
    assert "\n" not in message
    assert "pydantic" not in message
    return message


# Presets and overrides.


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_loads_and_says_where_it_differs(name: str) -> None:
    config = load(name)
    stated = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    for section, fields in stated.items():
        for field in fields:
            assert f"{section}.{field}" in FIELDS
    defaults = RunConfig()
    for key in FIELDS:
        section, field = key.split(".")
        if field not in (stated.get(section) or {}):
            assert _value(config, key) == _value(defaults, key)


def test_presets_have_runs_of_their_own() -> None:
    assert len({load(name).digest for name in NAMES}) == len(NAMES)


def test_presets_of_the_paper() -> None:
    small, regular, wide, large = load("small"), load("regular-109"), load("regular-154"), load("large")
    for config in (small, regular, wide, large):
        assert (config.graph.generator, config.graph.nodes, config.graph.stages) == ("ws:k=4,p=0.75", 32, "shared")
        assert (config.network.op, config.network.head) == ("sepconv", 1280)
        assert (config.train.lr, config.train.momentum, config.train.label_smoothing) == (0.1, 0.9, 0.1)
        assert (config.data.resolution, config.data.eval_crop) == (224, 224 / 256)
        assert (config.train.optimizer, config.train.schedule) == ("sgd", "cosine")
        assert config.data.evaluation.resolution == (320 if config is large else 224)
    assert (small.network.regime, small.network.channels, small.train.epochs) == ("small", 78, 250)
    assert (small.train.weight_decay, small.network.dropout) == (5e-5, 0)
    assert (regular.network.regime, regular.network.channels, regular.train.epochs) == ("regular", 109, 100)
    assert (regular.network.dropout, regular.network.drop_edge, small.network.drop_edge) == (0.2, 0.1, 0)
    assert wide == regular.override({"network.channels": 154})
    assert large == wide.override({"data.eval_resolution": 320})
    assert load("small-100") == small.override({"train.epochs": 100})


def test_presets_of_published_networks_share_the_recipe_of_their_table() -> None:
    tables = {
        "small": ("mobilenet", "shufflenet-v2", "nasnet-a", "darts"),
        "small-100": ("resnet-50", "resnext-50", "resnet-101", "resnext-101"),
    }
    for recipe, names in tables.items():
        for name in names:
            config = load(name)
            assert (config.data, config.train) == (load(recipe).data, load(recipe).train)
            assert config.network.reference is not None


def test_override_replaces_the_named_keys_alone() -> None:
    before = load("digits")
    after = before.override({"train.epochs": 3, "graph.generator": "er:p=0.4", "runtime.device": "cpu"})
    assert (after.train.epochs, after.graph.generator, after.runtime.device) == (3, "er:p=0.4", "cpu")
    changed = {key for key in FIELDS if _value(before, key) != _value(after, key)}
    assert changed == {"train.epochs", "graph.generator", "runtime.device"}
    assert before == load("digits")


def test_values_of_the_command_line_are_text() -> None:
    values = {"train.epochs": "3", "train.lr": "1e-2", "train.nesterov": "true", "data.path": "some/folder"}
    config = load("digits", values)
    assert (config.train.epochs, config.train.lr, config.train.nesterov) == (3, 0.01, True)
    assert config.data.path == str(Path("some/folder").absolute())


def test_an_override_is_laid_over_the_file() -> None:
    assert load("small").train.epochs == 250
    assert load("small", {"train.epochs": 7}).train.epochs == 7
    assert load("small", {"train.epochs": 7}).network.channels == 78


def test_overrides_are_validated_together() -> None:
    base = RunConfig().override({"train.epochs": 2})
    assert base.override({"train.epochs": 9, "train.warmup_epochs": 5}).train.warmup_epochs == 5
    with pytest.raises(ConfigError, match=r"warmup_epochs \(5\) must be below epochs \(2\)"):
        base.override({"train.warmup_epochs": 5})


def test_the_generator_is_canonical() -> None:
    config = RunConfig().override({"graph.generator": "ws: p=.750, k=4"})
    assert config.graph.generator == "ws:k=4,p=0.75"
    assert config.digest == RunConfig().digest
    assert config.generator.params() == {"k": 4, "p": 0.75}


def test_keys_are_all_fields_with_a_description() -> None:
    assert list(keys()) == list(FIELDS)
    for key, text in keys().items():
        assert FIELDS[key].description
        assert str(FIELDS[key].description) in text
        assert f"[{_value(RunConfig(), key)}]" in text


# YAML.


@pytest.mark.parametrize("name", NAMES)
def test_yaml_round_trip(name: str, tmp_path: Path) -> None:
    config = load(name, {"runtime.output": str(tmp_path), "data.path": "a/b", "train.weight_decay": 1e-7})
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    for path in (tmp_path / "config.yaml", tmp_path):
        again = load(str(path))
        assert again == config
        assert again.digest == config.digest
    written = yaml.safe_load(config.to_yaml())
    assert {f"{section}.{field}" for section, values in written.items() for field in values} == set(FIELDS)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("# nothing\n")
    assert load(str(tmp_path / "c.yml")) == RunConfig()


# Identity.


@pytest.mark.parametrize("key", IDENTITY)
def test_what_decides_the_numbers_changes_the_digest(key: str) -> None:
    assert _with(key, _other(key)).digest != RunConfig().digest


@pytest.mark.parametrize("key", sorted(set(FIELDS) - set(IDENTITY)))
def test_where_and_how_it_runs_does_not_change_the_digest(key: str) -> None:
    before, changed = RunConfig(), _with(key, _other(key))
    if key in changed.unhashed:  # of a file that decides numbers, the content is the identity
        before, changed = _with(HASHES[key], "0" * 64), _with(HASHES[key], "0" * 64, changed)
    assert changed != before
    assert changed.digest == before.digest


def test_the_digest_does_not_know_the_order_of_keys(tmp_path: Path) -> None:
    values = {"train.epochs": 3, "train.lr": 0.2, "graph.nodes": 16, "network.regime": "tiny"}
    digests = {RunConfig().override(dict(order)).digest for order in (values.items(), reversed(values.items()))}
    content = yaml.safe_load(RunConfig().override(values).to_yaml())
    turned = {section: dict(reversed(fields.items())) for section, fields in reversed(content.items())}
    (tmp_path / "turned.yaml").write_text(yaml.safe_dump(turned, sort_keys=False))
    digests.add(load(str(tmp_path / "turned.yaml")).digest)
    assert len(digests) == 1


def test_the_digest_does_not_know_how_a_number_is_written() -> None:
    written = [{"train.lr": value} for value in (1, 1.0, "1", "1.0", "1e0")]
    assert len({RunConfig().override(values).digest for values in written}) == 1


def test_the_digest_is_the_same_in_another_process() -> None:
    code = "from randwire.config import load; print(load('digits').digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == load("digits").digest
    assert len(load("digits").digest) == 12
    assert set(load("digits").digest) <= set("0123456789abcdef")


# Mistakes.

WRONG: list[tuple[str, object, str]] = [
    ("train.epochs", "many", "whole number"),
    ("train.epochs", 2.5, "whole number"),
    ("train.epochs", 0, "greater than or equal to 1"),
    ("train.epochs", None, "whole number"),
    ("train.epochs", [1], "whole number"),
    ("train.lr", "fast", "number"),
    ("train.lr", 0, "greater than 0"),
    ("train.lr", float("nan"), "finite"),
    ("train.lr", "nan", "finite"),
    ("train.lr", float("inf"), "finite"),
    ("train.lr", "-inf", "finite|greater"),
    ("train.momentum", 1, "less than 1"),
    ("train.weight_decay", -1e-5, "greater than or equal to 0"),
    ("train.precision", "fp8", "'fp32', 'tf32' or 'bf16'"),
    ("train.label_smoothing", 1.0, "less than 1"),
    ("train.seed", -1, "greater than or equal to 0"),
    ("train.seed", 2**31, "less than"),
    ("network.aggregation_init", "nan", "finite"),
    ("network.channels", 1, "greater than or equal to 2"),
    ("network.regime", "huge", "'small', 'regular' or 'tiny'"),
    ("network.op", "conv9", "unknown node operation 'conv9'; known: .*sepconv"),
    ("data.source", "mars", "unknown data source 'mars'; known: .*digits"),
    ("data.crop_area", [0.5, 0.1], "first <= second"),
    ("data.crop_area", [0.0, 1.0], "first <= second"),
    ("data.crop_area", [0.5], "required|at least 2"),
    ("data.crop_area", [0.5, float("nan")], "finite"),
    ("data.resolution", "large", "whole number"),
    ("data.eval_resolution", 4, "greater than or equal to 8"),
    ("data.scale", [0.0, 1.0], "first <= second"),
    ("data.shear", 90, "less than 90"),
    ("data.brightness", 1.5, "less than or equal to 1"),
    ("network.drop_edge", 1.1, "less than or equal to 1"),
    ("network.drop_edge_scope", "node", "'stage' or 'network'"),
    ("train.optimizer", "lamb", "'sgd', 'adam' or 'adamw'"),
    ("train.schedule", "linear", "'cosine', 'step' or 'exponential'"),
    ("train.betas", [0.9, 1.0], "0 <= number < 1"),
    ("train.milestones", [0.75, 0.5], "ascending numbers between 0 and 1"),
    ("train.milestones", [0.5, 1.0], "ascending numbers between 0 and 1"),
    ("train.epoch_factor", 0, "greater than 0"),
    ("graph.path_sha256", "abc", "pattern"),
    ("graph.generator", "xx:p=1", "unknown generator 'xx'"),
    ("graph.generator", "ws:k=3,p=1.0", "even"),
    ("graph.generator", 7, "must be text, and is the number 7; write it in quotes"),
    ("graph.nodes", 4, "k must be below"),
    ("runtime.study", "../escape", "pattern"),
    ("runtime.study", "", "pattern"),
    ("runtime.device", "tpu", "'auto', 'cpu' or 'cuda'"),
]


@pytest.mark.parametrize(("key", "value", "rule"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_a_wrong_value_is_a_line_with_the_section_and_the_rule(key: str, value: object, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule) as caught:
        RunConfig().override({key: value})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(key.split(".")[0])


@pytest.mark.parametrize("key", ["train.epochs", "network.channels", "train.lr", "network.dropout"])
def test_a_wrong_value_of_one_field_names_key_and_value(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig().override({key: "seven"})
    assert str(caught.value).startswith(f"{key}: ")
    assert "'seven'" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "values"),
    [("graph.path", {}), ("train.pretrained", {}), ("data.path", {"data.source": "folder"})],
)
def test_a_file_is_read_when_the_configuration_is_resolved(
    key: str, values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        for name in ("builtins.open", "io.open", "os.open", "os.stat", "os.scandir", "os.listdir"):
            patched.setattr(name, _forbidden)
        config = RunConfig().override({key: "/nonexistent", **values})
        again = config.override({"train.epochs": 3})
    assert config.unhashed == again.unhashed == (key,)
    with pytest.raises(ValueError, match=f"^{key}: the SHA-256 is missing"):
        _ = config.digest
    with pytest.raises(ConfigError, match=f"^{key}: /nonexistent: ") as caught:
        resolve(config)
    assert str(caught.value) == _error("digits", {key: "/nonexistent", **values})


def _forbidden(*arguments: object, **keywords: object) -> None:
    raise AssertionError(f"touches the file system: {arguments}")


def test_a_file_is_hashed_once(tmp_path: Path) -> None:
    (tmp_path / "graph.txt").write_text("0 1\n0 0\n")
    config = load("digits", {"graph.path": str(tmp_path / "graph.txt")})
    assert config.graph.path_sha256
    (tmp_path / "graph.txt").unlink()
    later = config.override({"train.epochs": 3, "runtime.device": "cpu"})
    assert resolve(later) == later
    assert later.graph == config.graph
    assert later.override({"graph.path": "other.txt"}).graph.path_sha256 is None


def test_rules_between_fields() -> None:
    with pytest.raises(ConfigError, match=r"^data: crop_area must not exceed 1"):
        RunConfig().override({"data.crop_area": [0.5, 1.5]})
    for other in ({"train.momentum": 0}, {"train.optimizer": "adam"}):
        with pytest.raises(ConfigError, match=r"^train: nesterov needs optimizer sgd with a momentum"):
            RunConfig().override({"train.nesterov": True, **other})
    for section, key in (("graph", "path"), ("train", "pretrained")):
        with pytest.raises(ConfigError, match=f"^{section}: {key}_sha256 stands without {key}"):
            RunConfig().override({f"{section}.{key}_sha256": "0" * 64})


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("train.epoch", "did you mean train.epochs?"),
        ("trian.epochs", "did you mean train.epochs?"),
        ("network.chanels", "did you mean network.channels?"),
        ("graph.generators", "did you mean graph.generator?"),
        ("zzzzzzzz", "--help"),
    ],
)
def test_an_unknown_key_of_the_command_line_is_refused_with_a_suggestion(key: str, suggestion: str) -> None:
    message = _error("digits", {key: 1})
    assert message.startswith(f"{key}: unknown key")
    assert suggestion in message


def test_an_unknown_key_of_a_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("train: {epoch: 3}\n")
    message = _error(str(file))
    assert "train.epoch: unknown key" in message
    assert "did you mean train.epochs?" in message
    file.write_text("optimiser: {lr: 3}\n")
    assert "optimiser: unknown key" in _error(str(file))


def test_an_unknown_preset_lists_the_known_ones() -> None:
    message = _error("smal")
    assert "'smal'" in message
    assert all(name in message for name in NAMES)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"- 1\n- 2\n", "must hold sections"),
        (b"just text\n", "must hold sections"),
        (b"train: {epochs: 3\n", "not valid YAML"),
        (b"train: [1, 2]\n", "train"),
        (b"train: 5\n", "train"),
        (b"train: {epochs: !!python/object/apply:os.system ['true']}\n", "not valid YAML"),
        (b"\xff\xfe\x00\x01\x02", "cannot be read"),
    ],
)
def test_a_damaged_file_is_a_line_that_names_it(tmp_path: Path, content: bytes, fault: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(content)
    assert fault in _error(str(file))


def test_an_absent_file_and_a_folder_without_a_record(tmp_path: Path) -> None:
    assert "No such file" in _error(str(tmp_path / "none.yaml"))
    message = _error(str(tmp_path))
    assert "config.yaml" in message


def test_a_configuration_is_frozen() -> None:
    config = RunConfig()
    with pytest.raises(ValidationError):
        config.train.epochs = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.train = config.train  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.data.crop_area = (0.5, 1.0)  # type: ignore[misc]


def test_config_error_is_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


def test_a_section_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text("train: {epochs: 5}\ntrain: {lr: 0.2}\n")
    assert "train stands more than once" in _error(str(tmp_path / "twice.yaml"))


def test_a_section_that_is_no_section_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "number.yaml").write_text("train: 5\n")
    with pytest.raises(ConfigError, match="train"):
        load(str(tmp_path / "number.yaml"), {"train.epochs": 3})


def test_a_folder_does_not_hide_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("digits").data.source == "digits"


@pytest.mark.parametrize(("epochs", "first", "last", "small"), [(16, 11, 13, 11), (88, 65, 76, 70)])
def test_progressive_resolution_is_ffcv_s_recipe(epochs: int, first: int, last: int, small: int) -> None:
    """The epochs between which FFCV's recipes of 16 and 88 epochs rise, from 160 to 192 pixels."""
    ramp = [first / epochs, last / epochs]
    data = load("small", {"data.resolution": 192, "data.start_resolution": 160, "data.ramp": ramp}).data
    resolutions = [data.resolution_in(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert resolutions == [160] * small + [192] * (epochs - small)


def test_progressive_resolution_rises_in_steps_of_32() -> None:
    data = load("small", {"data.start_resolution": 100, "data.ramp": [0.2, 0.8]}).data
    resolutions = [data.resolution_in(epoch, 50) for epoch in range(1, 51)]
    assert resolutions == sorted(resolutions)
    assert set(resolutions) == {100, 128, 160, 192, 224}
    assert resolutions[9] == 100
    assert resolutions[39] == 224
    assert {load("small").data.resolution_in(epoch, 50) for epoch in range(1, 51)} == {224}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data.start_resolution": 256}, "data: start_resolution must not exceed resolution, 224"),
        ({"data.ramp": [0.8, 0.7]}, "data.ramp: must be two numbers with 0 <= first <= second <= 1"),
        ({"data.order": "sorted"}, "data.order: "),
        ({"data.stage": "yes"}, "data.stage: "),
        ({"data.stage_budget_gb": 0}, "data.stage_budget_gb: "),
        ({"data.path": ""}, "data.path: "),
        ({"data.path": "s3://id:sentinel@host/set"}, "data: path must hold no credentials"),
        ({"data.path_sha256": "0" * 64}, "path_sha256 stands without path"),
    ],
)
def test_impossible_data_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("small", values)
    assert message in str(caught.value)
    assert "sentinel" not in str(caught.value)


def test_where_the_data_is_does_not_belong_to_the_identity() -> None:
    settings: tuple[dict[str, object], ...] = (
        {"data.path": "somewhere"},
        {"data.path": "s3://bucket/set"},
        {"data.stage": "always", "data.stage_budget_gb": 3},
    )
    assert {load("small", values).digest for values in settings} == {load("small").digest}
    assert load("small", {"data.order": "quasi-random"}).digest != load("small").digest


def test_impossible_parameters_are_told_with_their_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from dataclasses import dataclass\n"
        "from randwire.graphs._base import Domain, Generator\n"
        "@dataclass(frozen=True)\n"
        "class Few(Generator):\n"
        "    q: int\n"
        "    domains = {'q': Domain(1, 40, 1)}\n"
        "    def check(self, nodes):\n"
        "        if self.q >= nodes: raise ValueError(f'q must be below {nodes}')\n"
        "    def draw(self, nodes, stream): return [(i, i + 1) for i in range(nodes - 1)]\n"
    )
    new_files.add(monkeypatch, tmp_path, "randwire.graphs", {"few": source})
    assert _error("digits", {"graph.generator": "few:q=20"}) == "graph: few:q=20: q must be below 12"
    assert _error("digits", {"graph.generator": "ba:m=20"}).count("ba:m=20") == 1
