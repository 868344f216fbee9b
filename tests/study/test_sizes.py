"""The table of sizes: its command, its committed output, its judgement."""

import re
from collections.abc import Iterable
from dataclasses import replace
from math import sqrt

import commands
import pytest
from scipy import stats

from randwire import config as configuration
from randwire.cli import sizes as command
from randwire.model.published import size as published_size
from randwire.study import sizes
from randwire.study.sizes import MAX_STANDARD_ERRORS, PRINTED, PRINTED_NETWORKS, PRINTED_REFERENCES, Compared

PAGE = commands.ROOT / "docs" / "sizes.md"


def _rows(page: str, cells: int) -> list[list[str]]:
    lines = (line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| "))
    return [line for line in lines if len(line) == cells and "---" not in line[0]][1:]


def test_the_command_writes_the_committed_page() -> None:
    done = commands.call("studies/sizes.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == PAGE.read_text(), "write it again: python studies/sizes.py > docs/sizes.md"
    assert done.stderr == ""


def test_every_mean_fits_the_printed_one() -> None:
    compared = list(sizes.compare(200))
    assert [row.printed for row in compared] == list(PRINTED)
    for row in compared:
        assert row.n == 200
        assert abs(row.mean - row.printed.mean) < 3 * row.printed.std / sqrt(5), row
        # The printed standard deviation is that of five networks: a chi-squared variable with 4 degrees of freedom.
        share = stats.chi2.cdf(4 * row.printed.std**2 / row.std**2, 4)
        assert 1e-3 < share < 1 - 1e-3, row


def test_the_page_has_all_tables_and_settings() -> None:
    page = PAGE.read_text()
    compared = _rows(page, 6)
    assert [(row[0], row[1].strip("`"), row[2]) for row in compared] == [
        (printed.table, printed.preset, printed.quantity) for printed in PRINTED
    ]
    assert all(abs(float(row[5])) < 3 for row in compared)
    settings = {row[0]: row for row in _rows(page, 10)}
    assert len(settings) == 29
    assert settings["WS(4,0)"][2:] == ["64.0", "1.0", "1.0", "32.0", "0.50", "4.39", "5.929", "603.7"]
    assert settings["BA(5)"][8:] == ["5.678", "583.8"]
    published = {(row[0], row[1]): row for row in _rows(page, 8)}
    assert len(published) == len(PRINTED_REFERENCES)
    assert published["Table 3", "ResNet-50"][2:] == [
        *("`pytorchcv:resnet50b`", "224", "25.6 M", "25.56 M", "4.1 B", "4.089 B"),
    ]
    for reference in PRINTED_REFERENCES:
        if reference.reference is not None:
            params, mult_adds = published_size(reference.reference, 1000, reference.resolution)
            assert params / 1e6 == pytest.approx(reference.params, rel=0.04)
            off = 0.12 if reference.network == "DARTS" else 0.01
            assert mult_adds / 1e6 == pytest.approx(reference.mult_adds, rel=off)
    seeds = re.search(r"--seeds (\d+)", page)
    assert seeds is not None
    assert int(seeds[1]) >= 200


@pytest.mark.parametrize(("off", "fits"), [(2.9, True), (-2.9, True), (3.1, False), (-3.1, False)])
def test_a_mean_may_be_three_standard_errors_off(off: float, fits: bool) -> None:
    printed = PRINTED[0]
    row = Compared(printed, 10, printed.mean + off * printed.std / sqrt(PRINTED_NETWORKS), 1.0)
    assert row.off == pytest.approx(off)
    assert row.fits == fits == (abs(off) < MAX_STANDARD_ERRORS)


def test_networks_of_other_sizes_end_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(seeds: int, start: int) -> Iterable[Compared]:
        yield Compared(replace(PRINTED[1], mean=600.0), seeds, 580.0, 7.0)

    monkeypatch.setattr(sizes, "compare", compare)
    monkeypatch.setattr(sizes, "settings", lambda *_: iter(()))
    assert command(None, ["--seeds", "5"]) == 1
    assert "Table 2, small: multiply-adds are off by more than 3 standard errors" in capsys.readouterr().err


@pytest.mark.parametrize(
    "keys",
    [
        {"network.channels": 72},
        {"graph.nodes": 30},
        {"graph.generator": "ws:k=2,p=0.75"},
        {"network.head": 1024},
        {"network.op": "conv"},
    ],
    ids=str,
)
def test_another_network_would_not_fit(keys: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    other = configuration.load("small", keys)
    monkeypatch.setattr(configuration, "load", lambda name: other)
    monkeypatch.setattr(sizes, "PRINTED", PRINTED[:2])
    assert not all(row.fits for row in sizes.compare(40))


def test_mistakes_are_a_line() -> None:
    for arguments in (["--seeds", "1"], ["--seeds", "many"], ["--start", "-1"]):
        done = commands.call("studies/sizes.py", *arguments)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
