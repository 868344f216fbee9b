"""What decides the numbers of a run, and where two runs differ in it.

The identity of a run can grow: it holds every key of version 0.1, and of the keys that were added later those that are
not at their default. So a new key renames no trial and locks no study: who does not set it has the identity of before.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel

Identity = dict[str, dict[str, Any]]
"""Values as JSON has them, by section and key."""

EXCLUDED = frozenset(
    {"data.path", "data.stage", "data.stage_budget_gb", "graph.path", "train.pretrained"},
)
"""Keys outside `runtime` that say where files are: of files that decide numbers, the SHA-256 is in the identity."""

KEYS_OF_0_1 = frozenset(
    f"{section}.{key}"
    for section, keys in {
        "graph": "generator nodes seed stages path_sha256",
        "network": "regime channels op head head_relu dropout drop_edge drop_edge_scope drop_edge_ranks "
        "aggregation_init",
        "data": "source path_sha256 order resolution start_resolution ramp eval_resolution crop_area crop_aspect flip "
        "eval_crop rotate translate scale shear brightness contrast saturation",
        "train": "epochs seed batch_size optimizer lr momentum nesterov betas eps weight_decay decay_vectors schedule "
        "milestones milestone_factor epoch_factor warmup_epochs label_smoothing clip_norm precision pretrained_sha256",
    }.items()
    for key in keys.split()
)
"""Keys that are in the identity whatever their value. Never add to them: digests are made of them."""


class Difference(NamedTuple):
    """A dotted key in which two identities differ, with both values."""

    key: str
    stored: Any
    current: Any

    def __str__(self) -> str:
        return f"{self.key} ({self.stored!r}, not {self.current!r})"


def identity_of(config: BaseModel) -> Identity:
    """What decides the numbers of a run. Saved graphs are their content: they have neither generator nor seed."""
    values = config.model_dump(mode="json", exclude={"runtime"})
    defaults = defaults_of(type(config))
    saved = values["graph"]["path_sha256"] is not None
    identity: Identity = {}
    for section, fields in values.items():
        for name, value in fields.items():
            key = f"{section}.{name}"
            if key in EXCLUDED or (saved and section == "graph" and key in KEYS_OF_0_1 and name != "path_sha256"):
                continue
            if key in KEYS_OF_0_1 or value != defaults[key]:
                identity.setdefault(section, {})[name] = value
    return identity


def digest_of(identity: Identity) -> str:
    """12 hexadecimal digits: SHA-256 of an identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


@lru_cache
def defaults_of(kind: type[BaseModel]) -> dict[str, Any]:
    """The default of every dotted key, as JSON has it, in order."""
    return dict(_flat(kind().model_dump(mode="json")))


def first_difference(stored: object, current: Identity, kind: type[BaseModel]) -> Difference | None:
    """The first dotted key in which a stored identity and the current one differ; None if they are the same.

    A key that came after version 0.1 and is missing in one of them is at its default there, which is that of `kind`.
    `stored` comes from a file: anything that is no identity differs.
    """
    defaults = defaults_of(kind)
    old, new = dict(_flat(stored)), dict(_flat(current))
    for key in dict.fromkeys((*defaults, *old, *new)):
        if key not in old and key not in new:
            continue
        default = None if key in KEYS_OF_0_1 else defaults.get(key)
        difference = Difference(key, old.get(key, default), new.get(key, default))
        if difference.stored != difference.current:
            return difference
    return None


def _flat(sections: object) -> Iterator[tuple[str, Any]]:
    if isinstance(sections, Mapping):
        for section, fields in sections.items():
            if isinstance(fields, Mapping):
                yield from ((f"{section}.{name}", value) for name, value in fields.items())
            else:
                yield section, fields
