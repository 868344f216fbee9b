"""The ring that WS and Newman-Watts begin with: each node joins its K nearest."""

from randwire.graphs._base import Generator


def check_ring(generator: Generator, k: int, p: float, nodes: int) -> None:
    """Raise ValueError if there is no such ring of `nodes` nodes, or if `p` is no probability."""
    # networkx lowers an odd k without a word
    if k < 2 or k % 2:
        raise ValueError(f"{generator}: k must be even and at least 2")
    if k >= nodes:
        raise ValueError(f"{generator}: k must be below the number of nodes, {nodes}")
    if not 0 <= p <= 1:
        raise ValueError(f"{generator}: p must be in 0..1")
