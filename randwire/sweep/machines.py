"""Wait until all machines of a cluster are there: `python -m randwire.sweep.machines ADDRESS COUNT [SECONDS]`.

A sweep looks once at how much fits its cluster. Machines that a scheduler gives, as SLURM does, join one after the
other, within seconds of each other. RAY_AUTH_TOKEN_PATH names the token, if the cluster wants one.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from randwire.arguments import Parser, guarded, positive_float, positive_int
from randwire.errors import ConfigError
from randwire.sweep.cluster import Cluster
from randwire.sweep.steering import steered

POLL_S = 0.5


def await_machines(address: str, count: int, seconds: float) -> None:
    """Return when the cluster at the address has `count` machines.

    Raises ConfigError if it has not within so many seconds, with what was found last.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            _await_machines(address, count, deadline)
            return
        except ConfigError:  # nothing listens there yet
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def _await_machines(address: str, count: int, deadline: float) -> None:
    cluster = Cluster(address)
    with steered(cluster) as start:
        from randwire.sweep.connection import connected

        with connected(start, cluster, ()):
            while (here := sum(node["Alive"] for node in _nodes())) < count:
                if time.monotonic() > deadline:
                    raise ConfigError(f"{address}: {here} of {count} machines have joined the cluster")
                time.sleep(POLL_S)


def _nodes() -> list[dict[str, Any]]:
    import ray

    return list(ray.nodes())  # type: ignore[no-untyped-call]


def main() -> int:
    parser = Parser(prog="python -m randwire.sweep.machines", description="Wait for the machines of a cluster.")
    parser.add_argument("address", help="of the head, HOST:PORT")
    parser.add_argument("count", type=positive_int, help="machines, with the head")
    parser.add_argument("seconds", type=positive_float, nargs="?", default=300.0, help="at most [%(default)g]")
    options: argparse.Namespace = parser.parse_args(sys.argv[1:])

    def wait() -> int:
        await_machines(options.address, options.count, options.seconds)
        return 0

    return guarded(wait, interrupted="interrupted while machines of the cluster were awaited")


if __name__ == "__main__":
    raise SystemExit(main())
