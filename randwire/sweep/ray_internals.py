"""All that the sweep uses of Ray beside its public interface; Ray changes it without notice.

A name that has gone fails at import. The environment variables that steer Ray are in `ray_variables`.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

SUPPORTED = "ray>=2.60.0,<2.61"
"""As in requirements.txt."""

try:
    from ray._private import utils as _utils
    from ray._private import worker as _worker
    from ray._private.services import canonicalize_bootstrap_address as _canonical
    from ray._private.state import state as _state
    from ray._raylet import AuthenticationTokenLoader as _TokenLoader  # type: ignore[attr-defined] # native
    from ray._raylet import Config as _Config  # type: ignore[attr-defined] # native
    from ray.core.generated import gcs_pb2
    from ray.train.torch.config import _TorchBackend as TorchBackend
    from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
    from ray.train.v2._internal.execution.context import get_train_context

    _cluster_config = _state.get_cluster_config
    _accessor = _state._connect_and_get_accessor
    _reset_colours = _worker.colorama.initialise.reset_all  # type: ignore[attr-defined] # Ray brings it along
    _prints_lines, _take_sigterm = _worker._worker_logs_enabled, _utils.set_sigterm_handler
    _refresh_config, _token_loader = _Config.initialize, _TokenLoader.instance
    _PlacementGroupTable: Any = gcs_pb2.PlacementGroupTableData  # type: ignore[attr-defined] # made at import
except (ImportError, AttributeError) as error:
    raise ImportError(f"randwire needs {SUPPORTED} for its internals, and {ray.__version__} is here: {error}") from None

__all__ = ["ControllerCallback", "TorchBackend", "WorkerGroupCallback"]


def node_groups() -> list[tuple[dict[str, float], int]]:
    """What machines of each type have, by the name of a resource, and how many there may be (-1: any number).

    Empty unless whoever started the cluster has told it: Ray's own autoscaler does not.
    """
    config = _cluster_config()
    return [(dict(group.resources), group.max_count) for group in (config.node_group_configs if config else ())]


def machines_going() -> frozenset[str]:
    """The ids of this worker group's machines that are announced to go. For train workers; as cheap as a lock.

    `ray.train.get_preemption_info` says the same, but has all ranks wait for each other in an actor.
    """
    info = get_train_context().preemption_context.preemption_info
    return frozenset(info.preempted_node_ids if info else ())


def placement_groups_of(actor_id: str | None) -> Iterator[bytes]:
    """The ids of the placement groups that an actor has made and that are not removed."""
    for data in _accessor().get_placement_group_table():
        group = _PlacementGroupTable.FromString(data)
        if group.creator_actor_id.hex() == actor_id and group.state != _PlacementGroupTable.REMOVED:
            yield group.placement_group_id


def refresh() -> None:
    """Read the environment anew, for whoever has imported Ray before it was chosen."""
    _refresh_config("")
    _token_loader().reset_cache()


def canonical(address: str) -> str:
    """The address of a head by which the other machines of its cluster know it."""
    return str(_canonical(address))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep lines of Ray's processes out of this one's streams, from before it connects until after it has ended.

    A driver prints errors of the whole cluster to its standard output, in colours, as `(raylet) ...`, whatever
    `log_to_driver` says. What of them is the end of a training, the sweep tells itself. Nor is the colour of the
    terminal reset when the process ends: nothing has changed it.
    """
    _worker._worker_logs_enabled = False
    atexit.unregister(_reset_colours)
    try:
        yield
    finally:
        _worker._worker_logs_enabled = _prints_lines


@contextmanager
def signals_kept() -> Iterator[None]:
    """A block that connects to a cluster, or starts one, and leaves the signals of this process as they were.

    Ray takes SIGTERM for itself, twice: its driver exits with 15, or aborts with stacks. And its processes would end
    at once with the terminal, by SIGHUP, before the sweep can end them in order: they are started with it blocked, as
    Ray itself blocks SIGINT for them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    _utils.set_sigterm_handler = lambda handler: None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _utils.set_sigterm_handler = _take_sigterm
        if handler is not None:  # not one of another library in C
            signal.signal(signal.SIGTERM, handler)
