"""The axes of parallel coordinates: parameters that only some trials have, and whole ticks where things are counted."""

import random
from pathlib import Path
from typing import Any

import pytest
from report_helpers import add_reference, add_trial, write_design

from randwire.pages.style import Figure
from randwire.report.facts.study import StudyFacts
from randwire.report.plots.axes import NONE, whole
from randwire.report.plots.parallel_coordinates import parallel_coordinates


def axes(folder: Path) -> tuple[dict[str, Figure], Figure]:
    """The axes by their labels, and the whole figure."""
    figure = parallel_coordinates.draw(StudyFacts.load(folder).sections[0])
    assert figure is not None
    return {axis["label"]: axis for axis in figure["data"][0]["dimensions"]}, figure


def read(axis: Figure) -> list[str]:
    """What the ticks say at each value."""
    texts = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    return [texts[value] for value in axis["values"]]


def test_parameters_have_axes_and_trials_without_one_run_below_its_numbers(tmp_path: Path) -> None:
    specs = ("er:p=0.2", "er:p=0.6", "ba:m=3", "ba:m=5", "ws:k=4,p=0.75", "ws:k=6,p=0.5")
    for top1, spec in enumerate(specs):
        add_trial(tmp_path, spec, 0, 80.0 + top1)
    add_reference(tmp_path, "pytorchcv:resnet20_cifar10")
    found, figure = axes(tmp_path)
    assert list(found) == [
        "setting", "k", "m", "p", "depth", "clustering", "mean path", "edges", "parameters", "top-1 (%)"
    ]  # fmt: skip
    assert read(found["setting"]) == ["ER(0.2)", "ER(0.6)", "BA(3)", "BA(5)", "WS(4,0.75)", "WS(6,0.5)"]
    assert read(found["k"]) == [NONE] * 4 + ["4", "6"]
    assert read(found["m"]) == [NONE, NONE, "3", "5", NONE, NONE]
    assert read(found["p"]) == ["0.2", "0.6", NONE, NONE, "0.75", "0.5"]
    for key, low in (("k", 4), ("m", 3), ("p", 0.2)):
        missing = min(found[key]["values"])
        assert found[key]["range"][0] == missing < low, "it is at the bottom, apart from the numbers"
    assert f"At {NONE} run the lines of trials without" in figure["note"]


def test_a_parameter_with_one_value_has_no_axis(tmp_path: Path) -> None:
    for seed in range(3):
        add_trial(tmp_path, "ws:k=4,p=0.75", seed)
        add_trial(tmp_path, "ws:k=4,p=0.5", seed)
    found, figure = axes(tmp_path)
    assert "k" not in found
    assert sorted(read(found["p"])) == ["0.5"] * 3 + ["0.75"] * 3
    assert f"At {NONE} run" not in figure["note"]


def test_further_keys_have_axes_and_settings_are_named_without_them(tmp_path: Path) -> None:
    for channels, op, seed in ((16, "conv", 3), (32, "sepconv", 7), (64, "conv", 9)):
        variant = f"graph.seed={seed} network.channels={channels} network.op={op}"
        keys: dict[str, Any] = {"network__channels": channels, "network__op": op, "runtime__variant": variant}
        add_trial(tmp_path, "ba:m=5", seed, 80.0 + channels / 10, **keys)
    write_design(tmp_path, "tpe", space=["graph.seed=0:9", "network.channels=16,32,64", "network.op=conv,sepconv"])
    found, _ = axes(tmp_path)
    assert list(found)[:4] == ["setting", "channels", "op", "depth"], "a seed is no quantity"
    assert read(found["channels"]) == ["16", "32", "64"]
    assert read(found["op"]) == ["conv", "sepconv", "conv"]
    assert set(read(found["setting"])) == {"BA(5)"}


def test_many_values_have_round_ticks(tmp_path: Path) -> None:
    for k in range(17):
        add_trial(tmp_path, f"er:p={round(0.1 + 0.05 * k, 2)}", 0, 80.0 + k)
        add_trial(tmp_path, f"er:p={round(0.1 + 0.05 * k, 2)}", 1, 80.0 + k)
    found, _ = axes(tmp_path)
    assert found["p"]["ticktext"] == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert len(found["p"]["values"]) == 34


@pytest.mark.parametrize(
    ("values", "ticks", "ends"),
    [
        ([5, 9, 7], [5, 6, 7, 8, 9], [5, 9]),
        ([8.25, 8.75], [8, 9], [8, 9]),
        ([3, 30.5], [5, 10, 15, 20, 25, 30], [3, 31]),
        ([100, 1_500], [200, 400, 600, 800, 1_000, 1_200, 1_400], [100, 1_500]),
        ([7, 7], [7], None),
    ],
)
def test_what_is_counted_has_whole_ticks(values: list[float], ticks: list[int], ends: list[int] | None) -> None:
    (axis,) = whole("depth", values)
    assert axis["values"] == values
    assert axis["tickvals"] == ticks
    assert axis["ticktext"] == [f"{tick:,}" for tick in ticks]
    assert axis.get("range") == ends


def test_what_a_trial_lacks_has_no_axis() -> None:
    assert whole("depth", [3, None]) == []
    assert whole("depth", []) == []


def test_ticks_are_whole_and_few_whatever_the_range() -> None:
    stream = random.Random(0)
    for _ in range(300):
        low = stream.randrange(200)
        (axis,) = whole("edges", [low, low + stream.random() * 10 ** stream.randrange(5)])
        assert 1 <= len(axis["tickvals"]) <= 11
        assert all(isinstance(tick, int) for tick in axis["tickvals"])


def test_a_study_of_variants_is_coloured_by_variant(tmp_path: Path) -> None:
    for op, top1 in (("conv", 80.0), ("avgpool", 70.0)):
        for seed in range(2):
            add_trial(tmp_path, "er:p=0.2", seed, top1 + seed, network__op=op, runtime__variant=op)
    write_design(tmp_path, "grid", variants={op: {"network.op": op} for op in ("conv", "avgpool")})
    found, figure = axes(tmp_path)
    assert [choice["label"] for choice in figure["choices"]] == ["coloured by variant", "coloured by top-1"]
    line = figure["data"][0]["line"]
    names = [line["colorbar"]["ticktext"][k] for k in line["color"]]
    assert names == [name.partition(" ")[2] for name in read(found["setting"])]
    assert set(names) == {"conv", "avgpool"}
