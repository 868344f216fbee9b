"""The cases that run on the emulated CUDA device, by group."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import torch
from emulated_cases import TINY, Case, training
from emulated_operations import Operations
from emulated_runs import settings
from emulated_table import CAPTURED

from randwire import registry
from randwire.config import PRESETS, NetworkConfig, TrainConfig

PRECISIONS = get_args(TrainConfig.model_fields["precision"].annotation)
OPTIMIZERS = get_args(TrainConfig.model_fields["optimizer"].annotation)
REGIMES = get_args(NetworkConfig.model_fields["regime"].annotation)
AFFINE: Mapping[str, object] = {"data.rotate": 10, "data.translate": 0.1, "data.shear": 5, "data.scale": [0.8, 1.2]}
COLOURS: Mapping[str, object] = {"data.brightness": 0.4, "data.contrast": 0.4, "data.saturation": 0.4}
COUNTED = ("digits", "small", "regular-109", "resnet-50")
DROP_EDGE: Mapping[str, object] = {"network.drop_edge": 1.0}


def operations() -> dict[str, Case]:
    """The networks of the table in docs/operations.md, with their own graphs."""
    cases = {name: training(name, {"train.precision": "bf16"}, steps=2) for name in COUNTED}
    captured = {"train.precision": "bf16", "runtime.step": "captured"}
    return {**cases, f"digits{CAPTURED}": training("digits", captured, steps=2)}


def presets() -> dict[str, Case]:
    """Every other preset, in bf16; random graphs are small ones."""
    names = sorted({path.stem for path in PRESETS.glob("*.yaml")} - {*COUNTED})
    return {
        name: training(name, {"train.precision": "bf16", **_small(name)}, steps=1, evaluated=False) for name in names
    }


def _small(preset: str) -> Mapping[str, object]:
    return {} if settings(preset, {}).network.reference else TINY


def features() -> dict[str, Case]:
    """Everything that changes what a step does, on a small network."""
    cases = {
        f"{op} {precision}": training(
            "digits", {**TINY, "network.op": op, "train.precision": precision}, steps=1, evaluated=precision == "fp32"
        )
        for op in registry.names("randwire.model.ops")
        for precision in PRECISIONS
    }
    variants: dict[str, Mapping[str, object]] = {}
    for regime in REGIMES:
        variants[regime] = {"network.regime": regime, "data.resolution": 64}
    for name in OPTIMIZERS:
        variants[name] = {"train.optimizer": name, "train.clip_norm": 1}
    variants |= {
        "nesterov": {"train.nesterov": True},
        "decay of vectors": {"train.decay_vectors": True},
        "affine maps": AFFINE,
        "colours": COLOURS,
        "all augmentations": {**AFFINE, **COLOURS},
        "no label smoothing": {"train.label_smoothing": 0},
        "dropout": {"network.dropout": 0.2},
        "drop edge by stage": DROP_EDGE,
        "drop edge of the network": {**DROP_EDGE, "network.drop_edge_scope": "network"},
        "drop edge of each rank": {**DROP_EDGE, "network.drop_edge_ranks": "independent"},
        "recompute with drop edge": {"runtime.recompute": True, **DROP_EDGE, "network.dropout": 0.2},
        "recompute": {"runtime.recompute": True},
        "recompute of maxpool in bf16": {"runtime.recompute": True, "network.op": "maxpool", "train.precision": "bf16"},
        "no ReLU before the pooling": {"network.head_relu": False},
    }
    wide = {"network.channels": 6, "runtime.channel_multiple": 8}
    captured = {"runtime.step": "captured"}
    lasting: dict[str, Mapping[str, object]] = {
        "many steps": {},
        "many captured steps": captured,
        "captured, with drop edge and dropout": {**captured, **DROP_EDGE, "network.dropout": 0.2},
        "captured, with AdamW, clipping and colours": {
            **captured, **COLOURS, "train.optimizer": "adamw", "train.clip_norm": 1, "train.precision": "bf16",
        },
        "captured and recomputed, with channels of 8": {**captured, **wide, "runtime.recompute": True},
    }  # fmt: skip
    for op in registry.names("randwire.model.ops"):
        variants[f"{op} with channels of 8"] = {**wide, "network.op": op, "train.precision": "bf16"}
    variants["recomputed channels of 8 with drop edge"] = {**wide, **DROP_EDGE, "runtime.recompute": True}
    cases |= {name: training("digits", {**TINY, **keys}, evaluated=False) for name, keys in variants.items()}
    cases |= {name: training("digits", {**TINY, **keys}, steps=7) for name, keys in lasting.items()}
    return cases


def use() -> dict[str, Case]:
    """Trained networks in use."""
    from emulated_use import damages, exported, prediction

    return {
        "damage": damages(recalibrate=0),
        "damage, recalibrated": damages(recalibrate=2),
        "prediction": prediction,
        "exported program": exported(),
    }


def ranks() -> dict[str, Case]:
    """The first of two ranks, whose collectives exchange nothing. DDP cannot be among them: it reads memory."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    keys = {**TINY, "runtime.step": "captured"}
    variants: dict[str, Mapping[str, object]] = {
        "sgd": {},
        "clipping and drop edge": {**DROP_EDGE, "train.clip_norm": 1},
    }
    return {
        name: training("digits", {**keys, **values}, steps=4, evaluated=False, ranks=2)
        for name, values in variants.items()
    }


def planted() -> dict[str, Case]:
    """What the emulation must tell, and what it must not."""
    import emulated_planted

    kinds = ("WAITS", "NO_WAITS", "FAULTS", "NO_FAULTS", "MISMATCHES", "NOT_CAPTURED")
    programs = {kind: getattr(emulated_planted, kind) for kind in kinds}
    return {f"{kind}: {name}": step(call) for kind, calls in programs.items() for name, call in calls.items()}


def step(program: Callable[[], object]) -> Case:
    """A program as a step of an epoch."""

    def case(operations: Operations) -> Mapping[str, Any]:
        with operations.during("step"):
            program()
        return {"launched": {"step": 1}}

    return case


GROUPS: Mapping[str, Callable[[], Mapping[str, Case]]] = {
    "operations": operations, "presets": presets, "features": features, "use": use, "ranks": ranks, "planted": planted,
}  # fmt: skip
