"""A trained network as a safetensors file, which executes nothing, and from which alone it can be built again.

The tensors have the names of the network's state. The header's metadata holds, as text: `epoch`; as JSON `config`
(without `runtime`, which tells of one machine), `graphs` (the adjacency text of each random stage), `classes`, and
`mean` and `std`, by which images are normalised, `reading` and `encoding`, by which they became pixels (absent in older
files); `sha256` of all other bytes, since the format has no checksum.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from randwire.errors import CheckpointError
from randwire.header import METADATA, join, split

JSON_KEYS = ("epoch", "config", "graphs", "classes", "mean", "std")
LATER_KEYS = ("reading", "encoding")
"""Absent in files of earlier versions."""


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write a network (keys: network, epoch, config, graphs, data, as in a checkpoint); equal ones make equal files.

    Raises OSError if the file cannot be written.
    """
    from safetensors.torch import save

    network = {name: value.clone(memory_format=torch.contiguous_format) for name, value in state["network"].items()}
    values = {**state, **state["data"]}
    metadata = {"format": "pt", **{key: json.dumps(values[key]) for key in (*JSON_KEYS, *LATER_KEYS) if key in values}}
    header, data = split(save(network))
    header = {METADATA: metadata, **header}  # by hand: the library writes metadata in random order
    metadata["sha256"] = _sha256(header, data)
    with open(path, "wb") as file:
        file.writelines(join(header, data))


def read(path: Path) -> dict[str, Any]:
    """What `write` was given, on the CPU. Nothing in the file is executed.

    Raises CheckpointError, in one line, for a file that is absent, damaged or foreign.
    """
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        header, data = split(content)
        metadata = header.get(METADATA) or {}
        network = load(content)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception:  # damaged bytes can make both readers raise anything
        raise CheckpointError(f"{path}: not a readable safetensors file: damaged, or cut short") from None
    if missing := [key for key in (*JSON_KEYS, "sha256") if key not in metadata]:
        raise CheckpointError(
            f"{path}: not a network of randwire: no {missing[0]} in its header; make one with train.py RECORD --export"
        )
    if metadata["sha256"] != _sha256(header, data):
        raise CheckpointError(f"{path}: damaged, or changed by another program: not what its sha256 stands for")
    values = {key: json.loads(metadata[key]) for key in (*JSON_KEYS, *LATER_KEYS) if key in metadata}
    about_data = {key: values.pop(key) for key in ("classes", "mean", "std", *LATER_KEYS) if key in values}
    return {"network": network, **values, "data": about_data}


def _sha256(header: Mapping[str, Any], data: memoryview) -> str:
    """Of all that the file holds but this value."""
    metadata = {key: value for key, value in header[METADATA].items() if key != "sha256"}
    text = json.dumps({**header, METADATA: metadata}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    digest.update(data)
    return digest.hexdigest()
