"""The head of a cluster that is there already: where it is, and whether it wants a token. Imports no Ray.

Ray itself asks for minutes when nothing answers, and says in many lines what it was refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from randwire.errors import ConfigError
from randwire.sweep.private_folder import PREFIX
from randwire.sweep.ray_variables import (
    ADDRESS,
    ALIVE,
    AUTH_TOKEN,
    AUTH_TOKEN_PATH,
    CURRENT_CLUSTER,
    TEMPORARY,
    TLS_FILES,
    TOKEN_FILE,
    USE_TLS,
)

CONNECT_S, ANSWER_S = 5.0, 10.0
_ADDRESS = re.compile(r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+(?:%\w+)?\]):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Head:
    """The head of a cluster."""

    address: str
    """Host and port."""
    token: Token | None
    """What the cluster wants to be shown; None: it takes everyone."""


@dataclass(frozen=True)
class Token:
    """A token, and where it was found: a variable, or a file."""

    text: str
    source: str | Path


def check_address(address: str) -> None:
    """Raises ConfigError unless it is `auto`, HOST:PORT or [IPv6]:PORT."""
    if address != "auto":
        _parse(address, "--address")


def reach(address: str) -> Head:
    """Find the head at an address that `--address` takes, and whether it answers this user.

    Takes seconds. Raises ConfigError if nothing listens there, if that is no head of Ray, if this machine is not one
    of its cluster, or if it wants a token that is not here.
    """
    named, said = address, "--address"
    if address == "auto":
        stated = os.environ.get(ADDRESS.name, "auto") or "auto"
        named, said = (_found(), "--address auto") if stated == "auto" else (stated, f"{ADDRESS.name} (--address auto)")
    host, port = _parse(named, said)
    try:
        socket.create_connection((host.strip("[]"), port), CONNECT_S).close()
    except TimeoutError:
        raise ConfigError(f"{said}: {named} does not answer within {CONNECT_S:g} s") from None
    except OSError as error:
        raise ConfigError(f"{said}: nothing can be reached at {named} ({error.strerror}); does the head run?") from None
    token = None
    code, details = _ask(named, None)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        token = _token(said, named)
        code, details = _ask(named, token)
        if code is grpc.StatusCode.UNAUTHENTICATED:
            raise ConfigError(f"{said}: the cluster at {named} does not take the token of {token.source}")
    if code is not grpc.StatusCode.OK:
        raise ConfigError(
            f"{said}: what listens at {named} is no head of a Ray cluster ({details}); give the port of "
            "`ray start --head`, which is 6379 if it was not told another"
        )
    if not _raylets():
        raise ConfigError(
            f"{said}: this machine is not one of the cluster at {named}; run the sweep on one, for example with "
            "`ray job submit` or `ray exec`"
        )
    return Head(named, token)


def _parse(address: str, said: str) -> tuple[str, int]:
    if (match := _ADDRESS.fullmatch(address)) and 0 < int(match["port"]) < 1 << 16:
        return match["host"], int(match["port"])
    raise ConfigError(
        f"{said}: {address!r} is none; give HOST:PORT of the head of a Ray cluster ([HOST]:PORT if it is IPv6) or "
        "auto, or leave it out to start a cluster on this machine"
    )


def _ask(address: str, token: Token | None) -> tuple[grpc.StatusCode, str]:
    """How a head answers: OK, UNAUTHENTICATED; all else is no head's answer."""
    metadata = [("authorization", f"Bearer {token.text}")] if token else None
    with _channel(address) as channel:
        try:
            channel.unary_unary(ALIVE)(b"", timeout=ANSWER_S, metadata=metadata)
        except grpc.RpcError as error:
            other = error.code() is grpc.StatusCode.UNIMPLEMENTED
            return error.code(), "another service answers" if other else "it does not answer as one"
    return grpc.StatusCode.OK, ""


def _channel(address: str) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0)]
    if os.environ.get(USE_TLS.name, "0").lower() not in ("1", "true"):
        return grpc.insecure_channel(address, options)
    try:
        files = [Path(os.environ[variable.name]).read_bytes() for variable in TLS_FILES]
    except (KeyError, OSError) as error:
        raise ConfigError(f"{USE_TLS.name} is set, and {error} cannot be read") from None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files), options)


def _token(said: str, address: str) -> Token:
    """The token of this user, where Ray would look for it."""
    if text := os.environ.get(AUTH_TOKEN.name, "").strip():
        return Token(text, AUTH_TOKEN.name)
    stated = os.environ.get(AUTH_TOKEN_PATH.name)
    file = Path(stated) if stated else token_file()
    try:
        if text := file.read_text(encoding="utf-8").strip():
            return Token(text, file)
        cause = "empty"
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "not text"
    raise ConfigError(
        f"{said}: the cluster at {address} wants its token, and there is none in {file} ({cause}); copy it there from "
        f"the head, or let {AUTH_TOKEN_PATH.name} name its file"
    )


def token_file() -> Path:
    """Where the token of this user is if no variable says."""
    with contextlib.suppress(RuntimeError):  # a user without a home
        return Path.home().joinpath(*TOKEN_FILE)
    return Path("/").joinpath(*TOKEN_FILE)


def _raylets() -> set[tuple[str, str]]:
    """The address of the head, and the temporary folder, of each of Ray's machines that this one is."""
    found = set()
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "raylet":
            options = dict(
                word.removeprefix("--").split("=", 1) for word in process.info["cmdline"] or () if "=" in word
            )
            found.add((options.get("gcs-address", ""), options.get("temp_dir", "")))
    return found


def _found() -> str:
    """The head of the cluster that runs on this machine: of several, the one that `ray start` has started last."""
    running = sorted({address for address, folder in _raylets() if not Path(folder).parent.name.startswith(PREFIX)})
    if not running:
        raise ConfigError("--address auto: no Ray cluster runs on this machine; give HOST:PORT of one, or start it")
    if len(running) == 1:
        return running[0]
    with contextlib.suppress(OSError):
        roots = (os.environ.get(name) for name in (TEMPORARY.name, "TMPDIR"))
        root = next(filter(None, roots), "/tmp")
        if (last := Path(root, *CURRENT_CLUSTER).read_text(encoding="utf-8").strip()) in running:
            return last
    raise ConfigError(f"--address auto: several Ray clusters run on this machine; give one of {', '.join(running)}")
