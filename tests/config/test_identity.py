"""The identity of a run: what it is made of is decided once, and it can grow."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import Field

from randwire.config import PRESETS, RunConfig, Section, TrainConfig, keys, load, run_config
from randwire.config.identity import EXCLUDED, KEYS_OF_0_1, defaults_of
from randwire.errors import ConfigError
from randwire.run import record_of
from randwire.study.design import Design
from randwire.study.setting import Setting

PRESET_NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))


class WiderTrainConfig(TrainConfig):
    alpha: float = Field(1.0, description="a key that a later version adds")


class WiderRunConfig(RunConfig):
    train: WiderTrainConfig = WiderTrainConfig()


def _widen(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, the configuration is that of a later version, which has `train.alpha`."""
    monkeypatch.setattr(run_config, "RunConfig", WiderRunConfig)
    assert "train.alpha" in list(keys())


def _design(folder: Path, keys: Mapping[str, object] | None = None) -> Design:
    return Design(load("digits", {"runtime.output": str(folder), "runtime.study": "study", **(keys or {})}))


# What the identity is made of.


def test_every_key_is_in_the_identity_or_kept_out_of_it() -> None:
    """A new key is in neither list: it is in the identity where it is not at its default."""
    outside = {key for key in list(keys()) if key.startswith("runtime.")}
    assert set(keys()) >= KEYS_OF_0_1 | EXCLUDED | outside
    assert not KEYS_OF_0_1 & EXCLUDED


DEFAULTS: Mapping[str, object] = {
    "graph.generator": "ws:k=4,p=0.75",
    "graph.nodes": 32,
    "graph.seed": 0,
    "graph.stages": "shared",
    "graph.path": None,
    "graph.path_sha256": None,
    "network.regime": "small",
    "network.channels": 78,
    "network.op": "sepconv",
    "network.head": 1280,
    "network.head_relu": True,
    "network.dropout": 0.0,
    "network.drop_edge": 0.0,
    "network.drop_edge_scope": "stage",
    "network.drop_edge_ranks": "shared",
    "network.aggregation_init": 0.0,
    "network.reference": None,
    "data.source": "imagenet",
    "data.path": None,
    "data.path_sha256": None,
    "data.stage": "auto",
    "data.stage_budget_gb": None,
    "data.holdout": 0,
    "data.holdout_seed": 0,
    "data.order": "random",
    "data.resolution": 224,
    "data.start_resolution": None,
    "data.ramp": [0.7, 0.85],
    "data.eval_resolution": None,
    "data.crop_area": [0.08, 1.0],
    "data.crop_aspect": [0.75, 1.3333333333333333],
    "data.flip": 0.5,
    "data.eval_crop": 0.875,
    "data.rotate": 0.0,
    "data.translate": 0.0,
    "data.scale": [1.0, 1.0],
    "data.shear": 0.0,
    "data.brightness": 0.0,
    "data.contrast": 0.0,
    "data.saturation": 0.0,
    "train.epochs": 100,
    "train.seed": 0,
    "train.batch_size": 256,
    "train.optimizer": "sgd",
    "train.lr": 0.1,
    "train.momentum": 0.9,
    "train.nesterov": False,
    "train.betas": [0.9, 0.999],
    "train.eps": 1e-08,
    "train.weight_decay": 5e-05,
    "train.decay_vectors": False,
    "train.schedule": "cosine",
    "train.milestones": [0.5, 0.75],
    "train.milestone_factor": 0.1,
    "train.epoch_factor": 0.97,
    "train.warmup_epochs": 0.0,
    "train.label_smoothing": 0.1,
    "train.clip_norm": 0.0,
    "train.precision": "fp32",
    "train.pretrained": None,
    "train.pretrained_sha256": None,
    "runtime.output": "runs",
    "runtime.study": "local",
    "runtime.variant": "",
    "runtime.device": "auto",
    "runtime.loader_workers": 0,
    "runtime.checkpoint_minutes": 10.0,
    "runtime.recompute": False,
    "runtime.compile": False,
    "runtime.step": "auto",
    "runtime.channel_multiple": 1,
    "runtime.wandb": "auto",
    "runtime.project": "randwire",
}


def test_the_default_of_a_key_does_not_change() -> None:
    """An identity without a key means the default: another default would give old runs another meaning."""
    assert defaults_of(RunConfig) == DEFAULTS


# A key that a later version adds.


def test_a_new_key_renames_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: load(name).digest for name in PRESET_NAMES}
    _widen(monkeypatch)
    assert {name: load(name).digest for name in PRESET_NAMES} == before
    assert load("digits", {"train.alpha": 1}).digest == before["digits"]
    assert load("digits", {"train.alpha": 0.99}).digest not in before.values()


class AveragingConfig(Section):
    """A section that a later version adds."""

    decay: float = Field(0.0, description="of a moving average of the weights; 0: none")


class SectionedRunConfig(RunConfig):
    averaging: AveragingConfig = AveragingConfig()


def test_a_new_section_renames_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load("digits").digest
    monkeypatch.setattr(run_config, "RunConfig", SectionedRunConfig)
    assert load("digits").digest == before
    changed = load("digits", {"averaging.decay": 0.999})
    assert changed.digest != before
    assert str(run_config.difference(load("digits").identity(), changed.identity())) == (
        "averaging.decay (0.0, not 0.999)"
    )


def test_identities_are_compared_over_all_their_keys() -> None:
    """A key of 0.1 that is missing, or one of no version that is known, is a difference; whichever side has it."""
    whole = load("digits").identity()
    less = {**whole, "train": {key: value for key, value in whole["train"].items() if key != "lr"}}
    assert run_config.difference(whole, whole) is None
    assert run_config.difference(less, whole) == ("train.lr", None, 0.1)
    assert run_config.difference(whole, less) == ("train.lr", 0.1, None)
    unknown = {**whole, "train": {**whole["train"], "gone": 3}}
    assert run_config.difference(unknown, whole) == ("train.gone", 3, None)
    damaged: tuple[object, ...] = (None, [], "text", {"train": 5})
    assert all(run_config.difference(stored, whole) is not None for stored in damaged)


def test_a_record_written_before_a_key_is_loaded_with_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load("digits", {"runtime.output": str(tmp_path)})
    record = record_of(config)
    record.write_text("config.yaml", config.to_yaml())
    _widen(monkeypatch)
    again = load(str(record.folder))
    assert again.digest == config.digest == record.folder.name
    assert record_of(again).folder == record.folder
    assert again.override({"train.alpha": 0.99}).digest != config.digest


def test_a_study_written_before_a_key_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _design(tmp_path).open()
    digests = [trial.digest for trial in _design(tmp_path).trials(Setting("er:p=0.2"))]
    written = (_design(tmp_path).folder / "study.json").read_text()
    _widen(monkeypatch)
    later = _design(tmp_path)
    later.open()
    assert [trial.digest for trial in later.trials(Setting("er:p=0.2"))] == digests
    assert (later.folder / "study.json").read_text() == written
    with pytest.raises(ConfigError, match=r"holds a study with another train\.alpha \(1\.0, not 0\.99\); name this"):
        _design(tmp_path, {"train.alpha": 0.99}).open()


def test_a_study_with_a_new_key_is_not_one_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _widen(monkeypatch)
    _design(tmp_path, {"train.alpha": 0.99}).open()
    _design(tmp_path, {"train.alpha": 0.99}).open()
    with pytest.raises(ConfigError, match=r"another train\.alpha \(0\.99, not 1\.0\)"):
        _design(tmp_path).open()
