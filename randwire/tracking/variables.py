"""The variables of the environment in which W&B's users say what no key says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from randwire.errors import ConfigError, one_line
from randwire.tracking.secrets import without_secrets

Asked = Literal["auto", "online", "offline", "disabled"]

_MODES: Mapping[str, Asked] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True)
class Variables:
    """What the environment says of the runs of a process; empty where it says nothing.

    wandb itself reads those that no argument of a run replaces, such as WANDB_ENTITY, WANDB_NOTES and WANDB_BASE_URL.
    """

    folder: Path | None = None
    """WANDB_DIR: where wandb makes its folder `wandb`."""
    name: str = ""
    """WANDB_NAME: of the run of one training; of several, what their names begin with."""
    tags: tuple[str, ...] = ()
    """WANDB_TAGS: beside those that each run has."""
    group: str = ""
    """WANDB_RUN_GROUP: instead of the setting."""
    job_type: str = ""
    """WANDB_JOB_TYPE."""

    @classmethod
    def read(cls) -> Variables:
        """Those of this process. Raises ConfigError, in one line, for a folder that cannot be written."""
        folder = os.environ.get("WANDB_DIR")
        return cls(
            folder=_writable(Path(folder).expanduser().absolute()) if folder else None,
            name=os.environ.get("WANDB_NAME", ""),
            tags=tuple(tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag.strip()),
            group=os.environ.get("WANDB_RUN_GROUP", ""),
            job_type=os.environ.get("WANDB_JOB_TYPE", ""),
        )


def asked() -> tuple[Asked, str]:
    """The mode that WANDB_DISABLED or else WANDB_MODE asks for, and which of them says so; `auto` if neither does.

    Raises ConfigError, in one line, for a value that W&B does not know.
    """
    disabled = os.environ.get("WANDB_DISABLED", "")
    if disabled.lower() in _TRUE:
        return "disabled", f"WANDB_DISABLED is {disabled}"
    if disabled and disabled.lower() not in _FALSE:
        raise ConfigError(f"WANDB_DISABLED: must be true or false, is {disabled!r}; mend the variable, or unset it")
    mode = os.environ.get("WANDB_MODE", "")
    if not mode:
        return "auto", ""
    if mode not in _MODES:
        raise ConfigError(
            f"WANDB_MODE: must be online, offline or disabled, is {mode!r}; mend the variable, or unset it"
        )
    return _MODES[mode], f"WANDB_MODE is {mode}"


def check(project: str) -> None:
    """Raise ConfigError, in one line, for a variable or a project that wandb would refuse at each run."""
    import wandb

    for name, value in sorted(without_secrets(os.environ).items()):
        ours = name in ("WANDB_MODE", "WANDB_DISABLED") or (name == "WANDB_PROJECT" and value != project)  # a key wins
        if name.startswith("WANDB_") and value and not ours:
            try:
                wandb.Settings().update_from_env_vars({name: value})
            except Exception as error:  # of pydantic or wandb
                raise ConfigError(f"{name}: {_rule(error)}, is {value!r}; mend the variable, or unset it") from None
    try:
        wandb.Settings(project=project)
    except Exception as error:
        raise ConfigError(f"runtime.project: {_rule(error)}, is {project!r}") from None


def _rule(error: Exception) -> str:
    """What wandb says against a value, without the value, and without pages to read."""
    from pydantic import ValidationError

    text = error.errors()[0]["msg"] if isinstance(error, ValidationError) else one_line(error)
    rule = text.removeprefix("Value error, ").rstrip(".")
    return rule[:1].lower() + rule[1:]


def _writable(folder: Path) -> Path:
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"WANDB_DIR: {folder} cannot be written ({error.strerror}); name another folder, or unset it"
        ) from None
    return folder
