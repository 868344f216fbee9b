"""What `--help` says: every code in the description of a key is explained there."""

import re

import pytest

from randwire.cli import train
from randwire.config import keys

CODE = r"\(([A-Z-](?:/[A-Z-])*)\)"


def test_help_explains_every_code_of_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train(["--help"])
    shown = capsys.readouterr().out
    codes = {code for text in keys().values() for codes in re.findall(CODE, text) for code in codes.split("/")}
    assert codes == set("ABCR-")
    explained = dict(re.findall(r"\(([A-Z-])\) ([a-z ]+)", next(line for line in shown.splitlines() if "(A)" in line)))
    assert set(explained) == codes
    assert all(explained.values())


def test_a_description_says_more_than_a_code() -> None:
    for key, text in keys().items():
        assert re.search(r"[a-z]{3}", re.sub(CODE + r"|\[.*\]$", "", text)), key
