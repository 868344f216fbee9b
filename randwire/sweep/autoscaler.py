"""The machines that Ray's autoscaler may start, as the file says with which the head of a cluster was. Imports no Ray.

Ray itself tells nobody of them before they are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from randwire.sweep.places import Machine

MONITOR, FILE, HEAD = "monitor.py", "--autoscaling-config=", "--gcs-address="
"""Ray's process that watches the size of a cluster, on its head, and of its options the file and the head's address."""


def grown(address: str) -> list[Machine]:
    """The machines of the cluster at an address once it has grown as far as its file allows, with its head.

    Empty where this machine is not its head, or where no autoscaler has a file that says what machines have.
    """
    for file in _files(address):
        try:
            config = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # what Ray cannot read either starts no machine
        if isinstance(config, dict):
            return machines_of(config)
    return []


def _files(address: str) -> Iterator[Path]:
    for process in psutil.process_iter(["cmdline"]):
        words: list[str] = process.info["cmdline"] or []
        if not any(word.endswith(MONITOR) for word in words[:4]) or f"{HEAD}{address}" not in words:
            continue
        for word in words:
            if word.startswith(FILE):
                yield Path(word.removeprefix(FILE)).expanduser()


def machines_of(config: Mapping[str, Any]) -> list[Machine]:
    """Of the most machines that there may be, those with the most GPUs and CPUs."""
    types, head = config.get("available_node_types") or {}, config.get("head_node_type")
    left = int(config.get("max_workers") or 0)
    known = {name: resources for name, one in types.items() if (resources := one.get("resources"))}
    found = [Machine(*_size(known[head]))] if head in known else []
    for name, resources in sorted(known.items(), key=lambda pair: _size(pair[1])[::-1], reverse=True):
        most = types[name].get("max_workers")
        number = min(left, (0 if name == head else left) if most is None else int(most))
        left -= number
        if number:
            found.append(Machine(*_size(resources), number))
    return found


def _size(resources: Mapping[str, Any]) -> tuple[int, int]:
    return int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
