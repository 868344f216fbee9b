"""The measures of a record's graphs, and whether its files agree on these."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from randwire.dag import DAG
from randwire.errors import RecordError
from randwire.records import REMEDY, Record, Row

LATER_MEASURES = frozenset({"shortest_path", "mean_path", "betweenness"})
"""Measures of graphs that the first records lack. They exist for every graph."""


def check_graphs(record: Record, stages: Mapping[str, Row], dags: Mapping[str, DAG]) -> None:
    """Raise RecordError if the matrices of a record are not the graphs that its dag.json describes, stage by stage."""
    for stage in sorted(stages.keys() | dags.keys()) if stages and dags else ():
        edges = stages.get(stage, {}).get("edges")
        if stage not in stages or stage not in dags or (edges and [list(edge) for edge in dags[stage].edges] != edges):
            raise RecordError(f"{record.folder / 'graphs'}: {stage} is not as in dag.json; {REMEDY}")


def measures_of(stages: Mapping[str, Row], dags: Mapping[str, DAG]) -> dict[str, float]:
    """The means over stages of the measures that all of them have, of what dag.json holds."""
    measures = [_measured(about["measures"], dags.get(stage)) for stage, about in stages.items()]
    means = {}
    for key in measures[0] if measures else ():
        values = [row.get(key) for row in measures]
        finite = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
        if len(finite) == len(values):
            means[key] = math.fsum(finite) / len(finite)
    return means


def _measured(recorded: Row, dag: DAG | None) -> Row:
    """The measures of a stage, with those that its record was written too early to have, from its graph."""
    if dag is None or recorded.keys() >= LATER_MEASURES:
        return recorded
    return {**recorded, **_later(dag)}


@lru_cache(maxsize=16)  # the stages of a record mostly share one graph
def _later(dag: DAG) -> dict[str, float]:
    return {name: value for name, value in dag.measures().to_dict().items() if name in LATER_MEASURES}
