"""Graphs from files of adjacency text, such as a record has: nothing random, and no networkx."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from randwire import header
from randwire.dag import DAG

ALL_STAGES = "*"
"""Stands for every stage where one file is given."""


def read_saved(path: Path) -> dict[str, DAG]:
    """The graphs of a folder with `conv3.txt`, ... (or of a record, whose folder `graphs` it is), by stage.

    A single file is the graph of all random stages; its key is ALL_STAGES. A safetensors file of a network has the
    graphs of its stages. Raises ValueError, in one line, for a path without graphs and for text that is no upper
    triangular 0/1 matrix.
    """
    if path.suffix == header.SUFFIX and not path.is_dir():
        return _of_network(path)
    if path.is_dir():
        folder = path / "graphs" if (path / "graphs").is_dir() else path
        files = {file.stem: file for file in sorted(folder.glob("*.txt"))}
        if not files:
            raise ValueError(f"{folder}: holds no adjacency matrix; it should hold conv3.txt and so on")
    else:
        files = {ALL_STAGES: path}
    dags = {}
    for stage, file in files.items():
        try:
            dags[stage] = DAG.from_text(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{file}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{file}: is no text; an adjacency matrix has rows of 0 and 1") from None
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return dags


def _of_network(path: Path) -> dict[str, DAG]:
    try:
        dags = {stage: DAG.from_text(text) for stage, text in json.loads(header.metadata(path)["graphs"]).items()}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: damaged, or not a network of randwire: no graphs in its header") from None
    if not dags:
        raise ValueError(f"{path}: holds a published network, which has no random graphs")
    return dags


def saved_sha256(dags: Mapping[str, DAG]) -> str:
    """What names saved graphs: SHA-256 of their stages and matrices, however the files were spaced."""
    content = "".join(f"{stage}\n{dags[stage].to_text()}" for stage in sorted(dags))
    return hashlib.sha256(content.encode()).hexdigest()
