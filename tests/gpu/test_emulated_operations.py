"""docs/operations.md says what a step makes the device do."""

import os

from commands import ROOT
from emulated_results import column, results_of
from emulated_table import BEFORE, CAPTURED, STEP, page, rows


def test_the_page_is_what_the_emulated_device_was_made_to_do() -> None:
    path = ROOT / "docs/operations.md"
    assert column("operations", "error") == {}
    assert {*results_of("operations")} == {*BEFORE, f"digits{CAPTURED}"}
    text = page(results_of("operations"))
    if os.environ.get("RANDWIRE_OPERATIONS") == "write":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_a_captured_step_is_launched_in_a_few_operations() -> None:
    operations, launches = rows(results_of("operations")[f"digits{CAPTURED}"])[STEP]
    assert operations == launches <= 12


def test_no_step_has_become_longer() -> None:
    for preset, result in results_of("operations").items():
        for now, before in zip(rows(result)[STEP], BEFORE[preset.removesuffix(CAPTURED)][STEP], strict=True):
            assert now <= before, preset
