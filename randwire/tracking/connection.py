"""How this process meets W&B: the check that decides whether its server is used, and wandb's environment."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from randwire.tracking.base import TrackingError, one_line

PREFLIGHT_SECONDS = 5


def preflight(folder: Path) -> None:
    """Raise TrackingError unless a key is found and the server takes it, within about PREFLIGHT_SECONDS.

    Leaves no wandb service behind: Ray's workers would inherit it and share its runs.
    """
    if (mode := os.environ.get("WANDB_MODE", "online")) not in ("online", "run"):
        raise TrackingError(f"WANDB_MODE is {mode}")
    with environment(folder):
        import wandb

        try:
            check_server()
        finally:
            wandb.teardown()


def check_server() -> None:
    """Raise TrackingError unless a key is found and the server takes it."""
    import wandb

    errors: list[str] = []

    def ask() -> None:
        try:
            wandb.Api(timeout=PREFLIGHT_SECONDS)
        except Exception as error:
            errors.append(one_line(error))

    try:
        # Without a key wandb asks for one wherever there is a terminal, unless it is told not to.
        found = wandb.login(prompt=False, verify=False)
    except Exception as error:
        raise TrackingError(one_line(error)) from None
    if not found:
        raise TrackingError("no API key is found (set WANDB_API_KEY or run `wandb login`)")
    url = wandb.setup().settings.base_url  # starts the service, which is not the server's time
    # wandb bounds its request by itself; the thread bounds what comes before it, such as looking up the host.
    thread = threading.Thread(target=ask, name="W&B preflight", daemon=True)
    thread.start()
    thread.join(2 * PREFLIGHT_SECONDS)
    if thread.is_alive():
        raise TrackingError(f"{url} has not answered within {2 * PREFLIGHT_SECONDS:g} s")
    if errors:
        # What follows blames wandb's own service where it is the server that has not answered.
        raise TrackingError(errors[0].partition(": Failed to execute API request")[0])


@contextmanager
def environment(folder: Path) -> Iterator[None]:
    """The environment in which wandb is imported and its service started; the user's is restored afterwards.

    wandb stages artifacts in the home directory unless told otherwise, and leaves the address of its service behind,
    which processes started later would take for theirs.
    """
    mine = {
        "WANDB_DATA_DIR": str(folder.absolute() / "wandb-data"),
        "WANDB_CACHE_DIR": str(folder.absolute() / "wandb-cache"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }
    before = {name: os.environ.get(name) for name in (*mine, "WANDB_SERVICE")}
    os.environ.update(mine)
    os.environ.pop("WANDB_SERVICE", None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def sync_hint(folder: Path) -> str:
    """How to upload what is offline. The path of an artifact's file is relative, so the working directory matters."""
    return f"to upload later: (cd {folder} && wandb sync wandb)"
