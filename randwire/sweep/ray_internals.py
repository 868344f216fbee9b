"""All that the sweep uses of Ray beside its public interface, and the environment variables that steer Ray.

Ray changes both without notice. A name that has gone fails at import; a variable that has been renamed would be ignored
in silence, so tests/sweep/test_ray_internals.py looks each of them up where the installed Ray reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray

SUPPORTED = "ray>=2.60.0,<2.61"
"""As in requirements.txt."""

try:
    from ray._private.state import state as _state
    from ray.core.generated import gcs_pb2
    from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback

    _max_resources = _state.get_max_resources_from_cluster_config
    _accessor = _state._connect_and_get_accessor
    _PlacementGroupTable: Any = gcs_pb2.PlacementGroupTableData  # type: ignore[attr-defined] # made at import
except (ImportError, AttributeError) as error:
    raise ImportError(f"randwire needs {SUPPORTED} for its internals, and {ray.__version__} is here: {error}") from None

__all__ = ["ControllerCallback", "WorkerGroupCallback"]


def max_resources() -> dict[str, float]:
    """Resources of the cluster, by name, once it has grown as far as its configuration allows; empty if it cannot."""
    return dict(_max_resources() or {})


def placement_groups_of(actor_id: str | None) -> Iterator[bytes]:
    """The ids of the placement groups that an actor has made and that are not removed."""
    for data in _accessor().get_placement_group_table():
        group = _PlacementGroupTable.FromString(data)
        if group.creator_actor_id.hex() == actor_id and group.state != _PlacementGroupTable.REMOVED:
            yield group.placement_group_id


@dataclass(frozen=True)
class Variable:
    """An environment variable that Ray reads, in a file below its package."""

    name: str
    read_in: str
    value: str = ""
    """What the sweep sets always; empty where that depends."""


_TRAIN, _NATIVE = "train/v2/_internal/constants.py", "_raylet.so"

ALWAYS = (
    # `report` waits for the next poll: two seconds by default.
    Variable("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", _TRAIN, "0.25"),
    # With the trial's folder as the working directory, relative paths of a configuration break.
    Variable("RAY_CHDIR_TO_TRIAL_DIR", "train/constants.py", "0"),
    # The records replace Tune's own loggers.
    Variable("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "tune/utils/callback.py", "1"),
    Variable("TUNE_MAX_PENDING_TRIALS_PG", "tune/execution/tune_controller.py", "1"),
    Variable("RAY_AIR_NEW_OUTPUT", "tune/experimental/output.py", "0"),
)
"""Of every sweep; chosen from measurements."""
LOCAL = (Variable("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", _TRAIN, "0"),)
"""Of a cluster that is started by the sweep: its machine is not taken away."""
WORKER_START = Variable("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", _TRAIN)
"""Of a cluster that is there already, and may grow: in seconds."""
ADDRESS = Variable("RAY_ADDRESS", "_private/ray_constants.py")
AUTH_MODE = Variable("RAY_AUTH_MODE", "_private/authentication/authentication_token_setup.py", "token")
AUTH_TOKEN = Variable("RAY_AUTH_TOKEN", _NATIVE)
"""Names the cluster to its own processes: without it, or its file, they could not join."""
AUTH_TOKEN_PATH = Variable("RAY_AUTH_TOKEN_PATH", _NATIVE)
CLUSTER_FILES = (
    Variable("RAY_HEAD_IP", "autoscaler/_private/util.py"),
    Variable("RAY_enable_autoscaler_v2", "scripts/scripts.py", "0"),
)
"""Those in cluster.yaml and its like, beside the ones above."""
VARIABLES = (*ALWAYS, *LOCAL, WORKER_START, ADDRESS, AUTH_MODE, AUTH_TOKEN, AUTH_TOKEN_PATH, *CLUSTER_FILES)


def values(variables: tuple[Variable, ...]) -> dict[str, str]:
    """The environment that sets them."""
    return {variable.name: variable.value for variable in variables}
