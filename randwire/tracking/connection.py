"""The connection to W&B: the check that decides whether its server is used, and wandb's environment."""

import os
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from randwire.errors import TrackingError, UserError, brief
from randwire.tracking.variables import asked

PREFLIGHT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 15.0
SERVICE_END_TIMEOUT_S = 5.0

T = TypeVar("T")


def preflight(folder: Path) -> None:
    """Raise TrackingError unless a key is found and the server takes it, within about PREFLIGHT_TIMEOUT_S."""
    with environment(folder):
        try:
            check_server()
        finally:
            end_service()


@contextmanager
def connected(folder: Path) -> Iterator[None]:
    """A block with a server that has taken the key. Raises TrackingError, as `preflight` does, if there is none.

    So it does where a variable says that there shall be none, and ConfigError for one that W&B does not know.

    Leaves no wandb service behind: Ray's workers would inherit it and share its runs.
    """
    wanted, why = asked()
    if wanted not in ("auto", "online"):
        raise TrackingError(why)
    with environment(folder):
        try:
            check_server()
            yield
        finally:
            end_service()


def end_service() -> None:
    """End wandb's service; kill it if it does not end, which happens after a server has answered with errors."""
    import wandb

    def end() -> None:
        with suppress(SystemExit):  # raised where its service has not ended well
            wandb.teardown()

    thread = threading.Thread(target=end, name="W&B end", daemon=True)
    thread.start()
    thread.join(SERVICE_END_TIMEOUT_S)
    if thread.is_alive():
        for process in psutil.Process().children():
            if process.name().startswith("wandb-core"):
                process.kill()
        thread.join(SERVICE_END_TIMEOUT_S)
        wandb.teardown()  # the first one ends when the service has been killed, and leaves the key in the session


def account() -> tuple[str, str]:
    """The address of the server, and the entity whose projects are meant. Only where `connected`."""
    import wandb

    api = wandb.Api()
    return api.settings["base_url"], api.settings["entity"] or api.default_entity or ""


def run_summaries(entity: str, project: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The summaries of those of the runs that the server has, by id. Only where `connected`."""
    import wandb

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["WANDB_DIR"] = scratch  # wandb makes a folder for every run
        # What users know as the id of a run is its `name` for the server.
        runs = wandb.Api().runs(f"{entity}/{project}", {"name": {"$in": list(ids)}}, per_page=200, lazy=False)
        return {run.id: dict(run.summary_metrics) for run in runs}


def with_timeout(work: Callable[[], T]) -> T:
    """The result of `work`, which sends requests to the server.

    Raises TrackingError if it fails or takes longer than REQUEST_TIMEOUT_S.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def call() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call, name="W&B", daemon=True)
    thread.start()
    thread.join(REQUEST_TIMEOUT_S)
    if errors:
        raise errors[0] if isinstance(errors[0], UserError) else TrackingError(_cause(errors[0])) from None
    if not results:
        raise TrackingError(f"the W&B server has not answered well within {REQUEST_TIMEOUT_S:g} s")
    return results[0]


def _cause(error: Exception) -> str:
    """The cause of an error in one line: wandb blames its own service where it is the server that has not answered."""
    return brief(error).partition(": Failed to execute API request")[0]


def check_server() -> None:
    """Raise TrackingError unless a key is found and the server takes it."""
    import wandb

    errors: list[str] = []

    def request() -> None:
        try:
            wandb.Api(timeout=PREFLIGHT_TIMEOUT_S)
        except Exception as error:
            errors.append(_cause(error))

    try:
        # Without `prompt=False`, wandb asks for a key wherever there is a terminal.
        has_key = wandb.login(prompt=False, verify=False)
    except Exception as error:
        raise TrackingError(brief(error)) from None
    if not has_key:
        raise TrackingError("no API key is found (set WANDB_API_KEY or run `wandb login`)")
    url = wandb.setup().settings.base_url  # starts the service, which is not the server's time
    # wandb bounds its request by itself; the thread bounds what comes before it, such as looking up the host.
    thread = threading.Thread(target=request, name="W&B preflight", daemon=True)
    thread.start()
    thread.join(2 * PREFLIGHT_TIMEOUT_S)
    if thread.is_alive():
        raise TrackingError(f"{url} has not answered within {2 * PREFLIGHT_TIMEOUT_S:g} s")
    if errors:
        raise TrackingError(errors[0])


@contextmanager
def environment(folder: Path) -> Iterator[None]:
    """The environment in which wandb is imported and its service started; the user's is restored afterwards.

    By default wandb stages artifacts in the home directory, and leaves the address of its service behind, to which
    processes started later would connect. A variable that is empty is none. What mode each run has is decided by then.
    """
    variables = {
        "WANDB_DATA_DIR": os.environ.get("WANDB_DATA_DIR") or str(folder.absolute() / "wandb-data"),
        "WANDB_CACHE_DIR": os.environ.get("WANDB_CACHE_DIR") or str(folder.absolute() / "wandb-cache"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        "WANDB_MODE": "online",
    }
    empty = [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value]
    before = {name: os.environ.get(name) for name in (*variables, *empty, "WANDB_SERVICE", "WANDB_DIR")}
    for name in (*empty, "WANDB_SERVICE"):
        os.environ.pop(name, None)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def sync_hint(folder: Path) -> str:
    """How to upload what is offline. The path of an artifact's file is relative, so the working directory matters."""
    return f"to upload later: (cd {shlex.quote(str(folder))} && wandb sync wandb)"
