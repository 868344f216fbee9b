"""What steers Ray is chosen before it is imported: it reads some of its environment once. Imports no Ray."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from randwire.errors import ConfigError
from randwire.sweep.cluster import Cluster
from randwire.sweep.head import Head, reach, token_file
from randwire.sweep.local_limits import check_limits
from randwire.sweep.private_folder import RAY, private_folder
from randwire.sweep.ray_variables import (
    ADDRESS,
    ALWAYS,
    AUTH_MODE,
    AUTH_TOKEN,
    AUTH_TOKEN_PATH,
    JOB,
    LOCAL,
    TEMPORARY,
    values,
)


@dataclass(frozen=True)
class Start:
    """How a sweep gets its cluster."""

    head: Head | None
    """The one that it joins; None: it starts a cluster on this machine."""
    folder: Path | None
    """Of the cluster that it starts, removed with it; Ray keeps its own in `private_folder.RAY` below."""
    steering: Mapping[str, str]
    """The environment that steers Ray, in all processes of the sweep."""


@contextmanager
def steered(cluster: Cluster) -> Iterator[Start]:
    """Find the cluster, or make room for one of this machine; during the block the environment is as Ray needs it.

    Ray is to be imported in the block, or, where the caller has imported it before, refreshed
    (`ray_internals.refresh`). Raises ConfigError if the cluster cannot be used, or there is no room for one.
    """
    environment = dict(os.environ)
    with _local() if cluster.address is None else contextlib.nullcontext(_joined(cluster.address)) as start:
        try:
            yield start
        finally:
            os.environ.clear()
            os.environ.update(environment)
            if "ray" in sys.modules:
                from randwire.sweep.ray_internals import refresh

                refresh()


def _joined(address: str) -> Start:
    """Join a cluster. What else in the environment speaks of a cluster or a token is not of this one."""
    head = reach(address)
    steering = values(ALWAYS)
    os.environ.pop(ADDRESS.name, None)
    if head.token is None:
        steering[AUTH_MODE.name] = "disabled"
    else:
        steering[AUTH_MODE.name] = "token"
        if isinstance(head.token.source, Path):
            steering[AUTH_TOKEN_PATH.name] = str(head.token.source)
            _protect(head.token.source)
    os.environ.update(steering)
    return Start(head, None, steering)


@contextmanager
def _local() -> Iterator[Start]:
    """Start a cluster that no other knows of: its own folder and token, whatever the user's home is."""
    check_limits()
    with private_folder() as folder:
        token = folder / "token"
        try:
            with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(32))
        except OSError as error:
            raise ConfigError(f"{token}: cannot be written ({error.strerror})") from None
        places = {AUTH_MODE.name: "token", AUTH_TOKEN_PATH.name: str(token), TEMPORARY.name: str(folder / RAY)}
        steering = {**values((*ALWAYS, *LOCAL)), **places}
        for stale in (ADDRESS, AUTH_TOKEN, JOB):
            os.environ.pop(stale.name, None)
        os.environ.update(steering)
        yield Start(None, folder, steering)


def _protect(file: Path) -> None:
    """Ray makes the token in a user's home readable for all users of the machine."""
    with contextlib.suppress(OSError):
        if file == token_file() and file.stat().st_mode & 0o077:
            file.chmod(0o600)
