"""The table of conditions is complete: each kind has rows, and each test here is a row."""

import sys

import conditions
import pytest


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(conditions.FOLDER), *sys.path])


def test_every_row_has_a_known_kind_a_case_and_what_is_expected() -> None:
    for row in conditions.rows():
        assert row.kind in conditions.KINDS
        assert row.case
        assert row.expected
