"""`train.py`: what only its command line does."""

import json
from pathlib import Path

import commands
import yaml
from trained_helpers import refused

from randwire import config as configuration


def test_operations_at_equal_cost_from_the_command_line(tmp_path: Path) -> None:
    keys = ("small", "--network.op", "conv", "--show", "--json", "--match-mult-adds")
    shown = json.loads(commands.call("train.py", *keys, "579e6").stdout)
    assert shown["config"]["network"]["op"] == "conv"
    assert abs(shown["mult_adds"] / 579e6 - 1) < 0.03
    assert shown["config"]["network"]["channels"] < 78
    assert "no number of channels" in refused(*keys, "1000")
    assert "give one of them" in refused(*keys, "579e6", "--network.channels", "20")
    assert "is for a network to be trained" in refused("digits", "--evaluate", "--match-mult-adds", "579e6")
    assert "number above 0" in refused(*keys, "-5")
    assert yaml.safe_load(configuration.load("small").to_yaml())["network"]["channels"] == 78
