"""The connection of a sweep to its cluster, or a cluster of this machine, and how much trains there at a time."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import psutil
import ray

from randwire.errors import ConfigError, one_line
from randwire.study.design import Design
from randwire.sweep import autoscaler
from randwire.sweep.cluster import Cluster
from randwire.sweep.headwatch import exit_without_head
from randwire.sweep.places import Machine, Machines, Places, places
from randwire.sweep.ray_internals import canonical, node_groups, refresh, signals_kept
from randwire.sweep.ray_variables import ADDRESS, ALWAYS, AUTH_TOKEN, TEMPORARY, WORKER_START, values
from randwire.sweep.share import share
from randwire.sweep.steering import Start
from randwire.tracking import without_secrets


@contextmanager
def connected(
    start: Start, cluster: Cluster, data_secrets: tuple[str, ...], local: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[None]:
    """A connection to the cluster that was found, or a cluster of this machine that ends with the block.

    `local`: what Ray is told of this machine when it starts a cluster here, see `share.local_options`.

    Secrets leave the environment while processes are started, but those that reading the data needs (patterns of
    names): W&B is served by the driver alone. Raises ConfigError if Ray cannot be started or joined.
    """
    if ray.is_initialized():
        raise ConfigError("this process is connected to a Ray cluster already; call ray.shutdown() before a sweep")
    environment = dict(os.environ)
    others = {process.pid for process in psutil.Process().children(recursive=True)}
    os.environ.clear()
    os.environ.update({**without_secrets(environment, (*data_secrets, AUTH_TOKEN.name)), **start.steering})
    try:
        _init(start, cluster, local)
        # Tune would hand AWS's keys to its trials, and Ray write them into logs: processes that read the data have them
        # from their start, and of all secrets this process needs W&B's alone.
        os.environ.clear()
        os.environ.update({**without_secrets(environment, ("WANDB_*", AUTH_TOKEN.name)), **start.steering})
        head: str = ray.get_runtime_context().gcs_address
        with exit_without_head(head, cluster.timeouts) if start.head else contextlib.nullcontext():
            yield
    finally:
        processes = [] if start.head else psutil.Process().children(recursive=True)
        started = [process for process in processes if process.pid not in others]
        ray.shutdown()
        _end(started)
        os.environ.clear()
        os.environ.update(environment)


def _init(start: Start, cluster: Cluster, local: Mapping[str, Any]) -> None:
    refresh()
    options: dict[str, Any]
    if start.head:
        address = canonical(start.head.address)
        worker_start = {WORKER_START.name: f"{cluster.timeouts.worker_start_s:g}"}
        # Of several clusters on one machine, Ray's own cleaners would not know which is theirs.
        variables = {**values(ALWAYS), **worker_start, ADDRESS.name: address}
        options = {"address": address, "runtime_env": {"env_vars": variables}}
    else:
        options = {"address": "local", "dashboard_host": "127.0.0.1", "_temp_dir": start.steering[TEMPORARY.name]}
        options |= local
    try:
        with signals_kept():
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # whatever Ray says of what could not begin
        causes = one_line(f"{error} ({error.__cause__})" if error.__cause__ else error)
        if start.head:
            raise ConfigError(f"--address: {start.head.address} cannot be used: {causes}") from None
        raise ConfigError(f"Ray cannot be started on this machine: {causes}") from None


def _end(processes: list[psutil.Process]) -> None:
    """End the processes of a local cluster that outlive it: Ray's agents notice its end only after a minute.

    W&B's service is a child of the driver too, and ends with its tracker.
    """
    of_ray = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if not process.name().startswith("wandb"):
                of_ray.append(process)
    _, alive = psutil.wait_procs(of_ray, timeout=1)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def capacity(design: Design, cluster: Cluster, left: int | None = None) -> Places:
    """What each rank of a sweep gets of the cluster that this process is connected to, and how much trains at a time.

    So many settings are `left`, see `places`. A cluster that grows counts as if it had grown. Raises ConfigError if not
    one trial fits.
    """
    nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    here = [_machine(node["Resources"]) for node in nodes]
    most = None
    if cluster.address is None:
        grown, most = [], share(cluster, design).settings
    else:
        groups = [_machine(resources, count if count >= 0 else sys.maxsize) for resources, count in node_groups()]
        grown = groups or autoscaler.grown(ray.get_runtime_context().gcs_address)
    base = design.base
    return places(cluster, base.runtime.device, base.train.batch_size, Machines(here, grown), most, left)


def _machine(resources: Mapping[str, float], number: int = 1) -> Machine:
    return Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), number)
