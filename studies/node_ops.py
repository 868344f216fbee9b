"""Which operation of the nodes is best at equal cost? (Paper, section 4.1: convolutions against pooling.)

python studies/node_ops.py plan      the trials, their graphs and sizes
python studies/node_ops.py sweep     train them, on this machine or a Ray cluster; again: go on
python studies/node_ops.py status    where it stands
python studies/node_ops.py trial 3   one trial of the plan, in this process, without Ray
python studies/node_ops.py report    one self-contained page from the records

All operations are trained on the same graphs, each with the channels whose multiply-adds are nearest to those of the
configuration as it is given.
"""

from collections.abc import Mapping

from randwire import registry
from randwire.cli import study
from randwire.config import RunConfig


def variants(base: RunConfig) -> Mapping[str, Mapping[str, object]]:
    """Every operation, with its channels: chosen on the first graph of the configuration's generator."""
    from randwire.wiring import count, match_mult_adds, sample_graphs

    mult_adds = count(base, sample_graphs(base)).mult_adds
    by_name = {}
    for op in registry.names("randwire.model.ops"):
        config = match_mult_adds(base.override({"network.op": op}), mult_adds)
        by_name[op] = {"network.op": op, "network.channels": config.network.channels}
    return by_name


if __name__ == "__main__":
    raise SystemExit(study("node_ops", __doc__, variants=variants))
