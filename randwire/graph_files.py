"""The graphs of a configuration as files: those of its record, and those that `--graph.path` reads ahead of a run."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from randwire import drawing
from randwire.config import RunConfig
from randwire.errors import ConfigError
from randwire.graphs import SampledGraph
from randwire.records import atomic, json_text
from randwire.wiring import dag_json, dags_of, sample_graphs


def graph_files(samples: Mapping[str, SampledGraph], title: str, matrices: str = "") -> dict[str, str]:
    """Files, name -> text: the adjacency matrix of each stage, `dag.json`, and the picture `dag.svg` if there are any.

    The matrices are named `conv3.txt`, ..., after `matrices`, such as "graphs/".
    """
    dags = dags_of(samples)
    files = {f"{matrices}{stage}.txt": dag.to_text() for stage, dag in dags.items()}
    files["dag.json"] = json_text(dag_json(samples))
    if dags:
        files["dag.svg"] = drawing.svg(dags, title)
    return files


def write_graphs(config: RunConfig, folder: Path) -> None:
    """Write the graphs of a configuration to a folder, so that `graph.path` at it gives the same networks.

    Files that are there already must be the same. Raises ConfigError, in one line, where others are, for a
    configuration without graphs, and for a folder that cannot be written; then nothing of what was missing is there.
    """
    samples = sample_graphs(config)
    if not samples:
        raise ConfigError(f"{config.title} has no random graphs: there is nothing to write to {folder}")
    files = graph_files(samples, config.title)
    try:
        _write(folder, {name: files[name] for name in _missing(folder, files)})
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); name another folder") from None


def _missing(folder: Path, files: Mapping[str, str]) -> list[str]:
    """The files that a folder lacks. Raises ConfigError if it holds what differs, or would be read instead."""
    if (folder / "graphs").is_dir():
        raise ConfigError(f"{folder}: holds a folder `graphs`, which --graph.path would read instead; name another one")
    for path in sorted(folder.glob("*.txt")):
        if path.name not in files:
            raise ConfigError(
                f"{path}: is no graph of this network, but --graph.path would read it; name another folder"
            )
    missing = []
    for name, text in files.items():
        try:
            same = (folder / name).read_bytes() == text.encode()
        except (FileNotFoundError, NotADirectoryError):
            missing.append(name)
            continue
        if not same:
            raise ConfigError(f"{folder / name}: holds something else, and stays; name another folder, or remove it")
    return missing


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files, or none."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    written: list[Path] = []
    try:
        for name, text in files.items():
            with atomic(folder / name) as file:
                file.write(text.encode())
            written.append(folder / name)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        for path in created:
            with suppress(OSError):  # not made, or not ours alone
                path.rmdir()
        raise
