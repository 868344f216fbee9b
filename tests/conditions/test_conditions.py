"""The table of conditions is complete, and docs/conditions.md is made of it."""

import os
import sys

import conditions
import pytest
from commands import ROOT

PAGE = ROOT / "docs/conditions.md"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(conditions.FOLDER), *sys.path])


def test_every_kind_has_rows_and_every_row_a_case_and_what_is_expected() -> None:
    rows = conditions.rows()
    assert {row.kind for row in rows} == set(conditions.KINDS)
    assert all(row.case and row.expected for row in rows)
    assert len({(row.kind, row.case) for row in rows}) == len(rows)


def test_the_page_is_that_of_the_tests() -> None:
    if os.environ.get("RANDWIRE_CONDITIONS") == "write":
        PAGE.write_text(conditions.page())
    assert PAGE.read_text() == conditions.page()
