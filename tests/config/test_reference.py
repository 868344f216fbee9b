"""`network.reference`: a published network takes the place of a randomly wired one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from randwire.config import PRESETS, RunConfig, load
from randwire.errors import ConfigError

REFERENCE = {"network.reference": "pytorchcv:resnet50b"}


PRESETS_OF_RANDOM_NETWORKS = [
    path.stem for path in sorted(PRESETS.glob("*.yaml")) if load(path.stem).network.reference is None
]


@pytest.mark.parametrize("preset", PRESETS_OF_RANDOM_NETWORKS)
def test_it_takes_the_place_of_the_random_network_of_any_preset(preset: str) -> None:
    before, config = load(preset), load(preset, REFERENCE)
    assert config.graph == RunConfig().graph
    assert config.network == RunConfig().network.model_copy(update={"reference": "pytorchcv:resnet50b"})
    assert (config.data, config.train) == (before.data, before.train)
    assert (config.family, config.label, config.title) == ("resnet50b",) * 3
    assert config.digest != before.digest
    assert config.override({"train.epochs": 7}).network == config.network


def test_who_names_none_keeps_the_identity() -> None:
    assert "reference" not in load("small").identity()["network"]
    assert load("small", {"network.reference": None}).digest == load("small").digest


def test_a_record_of_it_is_loaded_as_it_was(tmp_path: Path) -> None:
    config = load("digits", {**REFERENCE, "train.seed": 3})
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load(str(tmp_path)) == config
    assert load(str(tmp_path), {"network.reference": None}).label == "WS(4,0.75)"


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"graph.seed": 1}, "graph.seed"),
        ({"graph.generator": "er:p=0.2"}, "graph.generator"),
        ({"network.channels": 64}, "network.channels"),
        ({"network.drop_edge": 0.1}, "network.drop_edge"),
    ],
)
def test_keys_of_a_random_network_beside_it_are_refused(values: Mapping[str, object], key: str, tmp_path: Path) -> None:
    line = f"{key}: describes a randomly wired network, and network.reference is a published one, pytorchcv:resnet50b"
    for again in ({**REFERENCE, **values}, {**values, **REFERENCE}):
        with pytest.raises(ConfigError) as caught:
            load("regular-109", again)
        assert str(caught.value) == f"{line}; leave one of them out"
    with pytest.raises(ConfigError, match=line):
        load("small", REFERENCE).override(values)
    section, name = key.split(".")
    contents = {"network": {"reference": "pytorchcv:resnet50b"}}
    contents.setdefault(section, {})[name] = str(values[key])
    (tmp_path / "both.yaml").write_text(str(contents))
    with pytest.raises(ConfigError, match=line):
        load(str(tmp_path / "both.yaml"))


@pytest.mark.parametrize(
    "text", ["resnet50b", "pytorchcv:", "torchvision:resnet50", "pytorchcv:resnet 50", "pytorchcv"]
)
def test_a_text_that_is_no_reference_is_a_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("digits", {"network.reference": text})
    assert str(caught.value) == (
        "network.reference: must be PROVIDER:NAME, such as pytorchcv:resnet50b; providers: pytorchcv, is " + repr(text)
    )


def test_unknown_keys_of_a_file_stay_errors_beside_it(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("network: {chanels: 3}")
    with pytest.raises(ConfigError, match=r"network\.chanels: unknown key; did you mean network\.channels\?"):
        load(str(tmp_path / "wrong.yaml"), REFERENCE)
