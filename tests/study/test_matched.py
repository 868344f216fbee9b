"""Networks of equal cost: the channels of each follow from its own graphs and one number of multiply-adds."""

from pathlib import Path

import pytest
from study_helpers import command

from randwire.errors import ConfigError
from randwire.records import Record
from randwire.study.design import Design
from randwire.study.planning import listing, plan
from randwire.wiring import count, sample_graphs

ONLY, BUDGET = ("ws:k=4,p=0.75", "ba:m=5", "er:p=0.2"), 20e6


def test_each_network_has_the_channels_nearest_to_the_number_on_its_own_graphs(tmp_path: Path) -> None:
    design = Design.load("digits", {"runtime.output": tmp_path}, name="m", only=ONLY, seeds=4, match_mult_adds=BUDGET)
    planned = plan(design)
    assert len({trial.config.network.channels for trial in planned}) > 1
    for trial in planned:
        off = abs(trial.quantities["mult_adds"] - BUDGET)
        for step in (-1, 1):
            other = trial.config.override({"network.channels": trial.config.network.channels + step})
            assert off <= abs(count(other, sample_graphs(other)).mult_adds - BUDGET)
    design.open()
    again = Design.load(None, {"runtime.output": tmp_path}, name="m")
    assert again == design
    assert [trial.digest for trial in listing(again).trials] == [trial.digest for trial in planned]
    with pytest.raises(ConfigError, match="holds a study with another match_mult_adds"):
        Design.load(None, {"runtime.output": tmp_path}, name="m", match_mult_adds=6e6)


def test_a_study_is_what_it_was_without_the_option(tmp_path: Path) -> None:
    """Also one that is older than the option."""
    design = Design.load("digits", {"runtime.output": tmp_path}, name="m", only=ONLY)
    assert {trial.network.channels for trial in listing(design).trials} == {16}
    design.open()
    record = Record(design.folder)
    record.write_json("study.json", {k: v for k, v in record.read_json("study.json").items() if k != "match_mult_adds"})
    assert Design.load(None, {"runtime.output": tmp_path}, name="m") == design


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--network.channels", "9"],
            "network.channels: is chosen for each network by --match-mult-adds; leave one of",
        ),
        (["--match-mult-adds", "1e15"], "--match-mult-adds: WS(4,0.75): no number of channels from 2 to 4096 gives"),
    ],
)
def test_what_cannot_be_matched_is_told_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = [word for spec in ONLY for word in ("--only", spec)]
    assert command("plan", *only, "--match-mult-adds", "20e6", *words, "--runtime.output", str(tmp_path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_variants_that_set_channels_are_refused_and_others_are_matched(tmp_path: Path) -> None:
    values = {"runtime.output": tmp_path}
    with pytest.raises(ConfigError, match="wide sets network"):
        Design.load("digits", values, name="m", variants={"wide": {"network.channels": 20}}, match_mult_adds=BUDGET)
    ops = {name: {"network.op": name} for name in ("conv", "sepconv")}
    design = Design.load("digits", values, name="m", generators=("er",), variants=ops, match_mult_adds=BUDGET)
    counted = {
        trial.network.op: (trial.network.channels, count(trial, sample_graphs(trial)).mult_adds)
        for trial in listing(design).trials
    }
    assert counted["conv"][0] < counted["sepconv"][0]
    assert all(mult_adds == pytest.approx(BUDGET, rel=0.2) for _, mult_adds in counted.values())
