"""The benchmark of starts: what it makes of its marks."""

import json
from pathlib import Path

import pytest

from benchmarks.start.marks import MARKS, STAGES, spans_of
from benchmarks.start.measure import FORMS, Measured
from benchmarks.start.picture import draw
from benchmarks.start.report import show

AT = {"driver": 1.0, "workers": 4.0, "data": 4.5, "network": 4.75, "step": 6.0, "trained": 9.0}


def test_stages_follow_each_other_without_gaps(tmp_path: Path) -> None:
    """The first setting waits for the cluster; of marks that come again the first counts, and the last end."""
    began, cluster = 100.0, 105.0
    marks = [["", "cluster", cluster]]
    marks += [["a", stage, cluster + at] for stage, at in AT.items()]
    marks += [["b", stage, cluster + 9 + at / 2] for stage, at in AT.items()]
    marks += [["a", "step", cluster + 8], ["b", "trained", cluster + 9 + 4]]
    (tmp_path / MARKS).write_text("".join(json.dumps(mark) + "\n" for mark in marks))
    first, later = spans_of(tmp_path / MARKS, began)
    assert list(first) == list(later) == list(STAGES)
    assert list(first.values()) == [5.0, 1.0, 3.0, 0.5, 0.25, 1.25, 3.0]
    assert list(later.values()) == [0.0, 0.5, 1.5, 0.25, 0.125, 0.625, 1.5]
    assert sum(first.values()) + sum(later.values()) == pytest.approx(cluster + 9 + 4.5 - began)


def test_the_share_of_training_is_of_the_whole_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spans = [dict.fromkeys(STAGES, 1.0), {**dict.fromkeys(STAGES, 0.5), "trained": 2.0}]
    sweeps = [Measured(form, 10.0 * scale, 6.0, spans) for scale, form in zip((2, 1), FORMS, strict=True)]
    assert [sweep.share for sweep in sweeps] == [0.15, 0.3]
    show(sweeps)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    numbers = {line[0]: [cell.strip() for cell in line if cell.strip()][1:] for line in lines if len(line) > 1}
    assert numbers["all before training"] == ["6.0", "3.0", "6.0", "3.0"]
    assert numbers["randwire"] == ["10", "30 %", "6", "2.00", "1.00"]
    draw(sweeps, tmp_path / "start.png")
    assert (tmp_path / "start.png").read_bytes().startswith(b"\x89PNG")
