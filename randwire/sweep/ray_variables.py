"""The environment variables that steer Ray, and what else is known of it without importing it.

Ray reads some of its variables once, when it is imported: what chooses their values must not import it. It renames
them without notice, and one that has been renamed would be ignored in silence, so tests/sweep/test_ray_internals.py
looks each of them up where the installed Ray reads it.
"""

from __future__ import annotations

from dataclasses import dataclass


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
AUTH_MODE = Variable("RAY_AUTH_MODE", "_private/authentication/authentication_token_setup.py")
"""`token` or `disabled`: must be that of the cluster."""
AUTH_TOKEN = Variable("RAY_AUTH_TOKEN", _NATIVE)
AUTH_TOKEN_PATH = Variable("RAY_AUTH_TOKEN_PATH", _NATIVE)
"""Names the cluster to its own processes: without it, or the token itself, they could not join."""
TEMPORARY = Variable("RAY_TMPDIR", "_common/utils.py")
JOB = Variable("RAY_JOB_CONFIG_JSON_ENV_VAR", "_private/runtime_env/constants.py")
"""Of a job that was submitted to a cluster: its packages, which another cluster does not have."""
USE_TLS = Variable("RAY_USE_TLS", "_common/tls_utils.py")
TLS_FILES = (
    Variable("RAY_TLS_CA_CERT", "_common/tls_utils.py"),
    Variable("RAY_TLS_SERVER_KEY", "_common/tls_utils.py"),
    Variable("RAY_TLS_SERVER_CERT", "_common/tls_utils.py"),
)
"""Of authority, key and certificate: the arguments of gRPC's credentials, in order."""
CLUSTER_FILES = (
    Variable("RAY_HEAD_IP", "autoscaler/_private/util.py"),
    Variable("RAY_enable_autoscaler_v2", "scripts/scripts.py", "0"),
    Variable("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "_private/ray_constants.py", "0"),
)
"""Those in cluster.yaml and its like, beside the ones above."""
VARIABLES = (
    *ALWAYS, *LOCAL, WORKER_START, ADDRESS, AUTH_MODE, AUTH_TOKEN, AUTH_TOKEN_PATH, TEMPORARY, JOB, USE_TLS, *TLS_FILES,
    *CLUSTER_FILES,
)  # fmt: skip

TOKEN_FILE = (".ray", "auth_token")
"""Below the home of a user, where neither variable names a token."""
ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""What every head answers, by gRPC."""
CURRENT_CLUSTER = ("ray", "ray_current_cluster")
"""The address of the cluster that `ray start` has started last, below the temporary folder."""
SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket below the temporary folder of a cluster; the last number is a process id."""


def values(variables: tuple[Variable, ...]) -> dict[str, str]:
    """The environment that sets them."""
    return {variable.name: variable.value for variable in variables}
