"""The tables of conditions and of image data are complete, and their pages in docs are made of them."""

import os

import pytest
from commands import ROOT
from conditions import TABLES, Table

OF_EACH = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.mark)


@OF_EACH
def test_every_kind_has_rows_and_every_row_a_case_and_what_is_expected(table: Table) -> None:
    rows = table.rows()
    assert {row.kind for row in rows} == set(table.kinds)
    assert all(row.case and row.expected for row in rows)
    assert len({(row.kind, row.case) for row in rows}) == len(rows)


@OF_EACH
def test_the_page_is_that_of_the_tests(table: Table) -> None:
    page = ROOT / "docs" / table.page
    if os.environ.get("RANDWIRE_CONDITIONS") == "write":
        page.write_text(table.text(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == table.text()
