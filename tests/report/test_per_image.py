"""The panel on graphs and images: what it makes of the bits in records, and what it leaves out."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_helpers import Page, add_trial, write_design
from scipy import special

from randwire.correct import FILE, Bits, Correct
from randwire.records import Record
from randwire.report import write_report
from randwire.report.facts import per_image
from randwire.report.facts.per_image import ImageFacts, image_facts
from randwire.report.facts.study import StudyFacts
from randwire.statistics.intervals import t_interval
from randwire.statistics.two_way import Margins, difference_of, mean_of

SETTINGS = {"WS(4,0.75)": "ws:k=4,p=0.75", "BA(5)": "ba:m=5", "ER(0.2)": "er:p=0.2"}
IMAGES = 360
TITLE = "Graphs and images"


def drawn(top1: float, graphs: int, images: int = IMAGES, seed: int = 0) -> list[Bits]:
    """Bits of networks that find the same images hard."""
    rng = np.random.default_rng(seed)
    easy = rng.normal(size=images)
    threshold = np.quantile(easy, 1 - top1)
    return [easy + 0.3 * rng.normal(size=images) > threshold for _ in range(graphs)]


def add(study: Path, spec: str, seed: int, bits: Bits, sha256: str = "same", split: str = "val", **keys: Any) -> Record:
    """A record whose bits add up to its top-1."""
    correct = Correct(bits, split, sha256)
    config = add_trial(study, spec, seed, correct.top1, **keys)
    record = Record(study / config.digest)
    correct.save(record)
    return record


def facts_of(study: Path) -> ImageFacts | None:
    (section,) = StudyFacts.load(study).sections
    return image_facts(section)


def found(study: Path) -> ImageFacts:
    facts = facts_of(study)
    assert facts is not None
    return facts


@pytest.fixture
def tables() -> dict[str, list[Bits]]:
    shares = zip(SETTINGS, (0.97, 0.95, 0.96), (5, 5, 4), strict=True)
    return {name: drawn(share, n, seed=k) for k, (name, share, n) in enumerate(shares)}


@pytest.fixture
def study(tmp_path: Path, tables: Mapping[str, Sequence[Bits]]) -> Path:
    for name, rows in tables.items():
        for seed, bits in enumerate(rows):
            add(tmp_path, SETTINGS[name], seed, bits)
    write_design(tmp_path, "grid")
    return tmp_path


def test_means_and_differences_are_those_of_the_tables_of_bits(
    study: Path, tables: Mapping[str, Sequence[Bits]]
) -> None:
    facts = found(study)
    assert (facts.noun, facts.images, facts.left_out, facts.unread) == ("setting", IMAGES, {}, 0)
    assert list(facts.means) == ["WS(4,0.75)", "ER(0.2)", "BA(5)"]
    for name, rows in tables.items():
        mean, expected = facts.means[name], mean_of(Margins.of(rows))
        assert mean.n == (len(rows),)
        assert mean.value == pytest.approx(100 * np.mean(rows))
        assert mean.graph_error == pytest.approx(100 * np.std(np.mean(rows, axis=1), ddof=1) / len(rows) ** 0.5)
        assert mean.image_error == pytest.approx(100 * np.std(np.mean(rows, axis=0), ddof=1) / IMAGES**0.5)
        assert mean.by_graphs == pytest.approx(t_interval([100 * float(bits.mean()) for bits in rows]))
        assert mean.by_both is not None
        assert expected.half is not None
        reach = expected.half / (expected.value * (1 - expected.value))
        ends = special.expit(special.logit(expected.value) + np.array([-1, 1]) * reach)
        assert mean.by_both == pytest.approx(tuple(100 * ends))
    assert list(facts.differences) == list(combinations(facts.means, 2))
    for pair, difference in facts.differences.items():
        one, two = (Margins.of(tables[name]) for name in pair)
        half = difference_of(one, two).half
        assert half is not None
        assert difference.by_both == pytest.approx(
            (100 * (one.mean - two.mean - half), 100 * (one.mean - two.mean + half))
        )
        crossed = [float(np.mean(a != b)) for a, b in product(*(tables[name] for name in pair))]
        assert difference.disagreement == pytest.approx(100 * np.mean(crossed))


def test_networks_together_are_counted_image_by_image(study: Path, tables: Mapping[str, Sequence[Bits]]) -> None:
    facts = found(study)
    for name, rows in tables.items():
        right, together = np.sum(rows, axis=0), facts.together[name]
        assert together.networks == len(rows)
        assert together.every == pytest.approx(100 * np.mean(right == len(rows)))
        assert together.most == pytest.approx(100 * np.mean(2 * right > len(rows)))
        assert together.some == pytest.approx(100 * np.mean(right > 0))
        apart = [float(np.mean(one != two)) for one, two in combinations(rows, 2)]
        assert facts.means[name].disagreement == pytest.approx(100 * np.mean(apart))


def test_the_page_shows_the_three_tables_and_what_they_say(study: Path) -> None:
    page, facts = Page(write_report(study)), found(study)
    assert page.text.count(TITLE) == 1
    mean = facts.means["ER(0.2)"]
    assert page.table("mean of a setting")["ER(0.2)"][:4] == [
        "4", f"{mean.value:.2f}", f"{mean.graph_error:.2f}", f"{mean.image_error:.2f}"
    ]  # fmt: skip
    assert mean.by_both is not None
    assert page.table("mean of a setting")["ER(0.2)"][-1] == f"{mean.by_both.low:.2f} to {mean.by_both.high:.2f}"
    assert page.table("mean difference")["WS(4,0.75) over ER(0.2)"][0] == "5 and 4"
    assert page.table("networks of a setting")["BA(5)"][-1] == f"{facts.together['BA(5)'].some:.2f}"
    assert "A plurality vote of all networks is right on at least the images that more than half" in page.text
    assert "360 images tell: one image is 0.28 points, and the standard error over images is" in page.text


def test_few_images_are_said_to_be_few(tmp_path: Path) -> None:
    add(tmp_path, "ba:m=5", 0, np.arange(IMAGES) >= 18)
    write_design(tmp_path, "tpe")
    assert found(tmp_path).sentences == [
        "360 images tell: one image is 0.28 points, and the standard error over images is 1.2 points."
    ]


def test_one_network_of_each_setting_has_an_error_over_images_alone(tmp_path: Path) -> None:
    for name, spec in SETTINGS.items():
        add(tmp_path, spec, 0, drawn(0.9, 1, seed=len(name))[0])
    write_design(tmp_path, "tpe")
    facts, page = found(tmp_path), Page(write_report(tmp_path))
    assert not facts.together
    assert {(mean.graph_error, mean.by_graphs, mean.by_both) for mean in facts.means.values()} == {(None, None, None)}
    assert len(facts.differences) == 3
    heads = next(table[0] for table in page.tables if table[0][0] == "mean of a setting")
    assert heads == ["mean of a setting", "n", "top-1 (%)", "std error, images"]


def test_two_networks_have_errors_but_neither_intervals_nor_a_majority(tmp_path: Path) -> None:
    for seed, bits in enumerate(drawn(0.9, 2)):
        add(tmp_path, "ba:m=5", seed, bits)
    write_design(tmp_path, "tpe")
    page = Page(write_report(tmp_path))
    heads = {table[0][0]: table[0][1:] for table in page.tables}
    assert heads["mean of a setting"] == ["n", "top-1 (%)", "std error, graphs", "std error, images"]
    assert heads["networks of a setting"] == ["networks", "disagreement (%)", "all right (%)", "at least one right (%)"]
    assert "vote" not in page.text
    assert "interval is for its row alone" not in page.text


def test_training_seeds_of_a_graph_are_averaged(tmp_path: Path) -> None:
    rows = drawn(0.9, 6)
    for k, bits in enumerate(rows):
        add(tmp_path, "ba:m=5", k // 2, bits, train__seed=k % 2)
    write_design(tmp_path, "grid", train_seeds=[0, 1])
    facts = found(tmp_path)
    mean, averaged = facts.means["BA(5)"], np.reshape(rows, (3, 2, IMAGES)).mean(axis=1)
    expected = mean_of(Margins.of(averaged))
    assert expected.graph_error is not None
    assert (mean.n, facts.together["BA(5)"].networks) == ((3,), 6)
    assert mean.graph_error == pytest.approx(100 * expected.graph_error)
    across = [(g, h) for g, h in combinations(range(6), 2) if g // 2 != h // 2]
    assert mean.disagreement == pytest.approx(100 * np.mean([np.mean(rows[g] != rows[h]) for g, h in across]))


def test_what_has_no_bits_of_the_same_images_is_left_out_and_said(study: Path) -> None:
    others = drawn(0.9, 12, seed=9)
    records = {
        spec: [add(study, spec, seed, others[seed]) for seed in range(3)]
        for spec in ("er:p=0.4", "er:p=0.6", "ba:m=3", "ba:m=2", "ba:m=1", "ws:k=2,p=0.5")
    }
    (records["er:p=0.4"][1].folder / FILE).unlink()
    (records["er:p=0.6"][1].folder / FILE).write_bytes(b"PK\3\4 torn")
    for record in records["ba:m=3"]:
        Correct(others[0], "val", "other").save(record)
        record.write_json("summary.json", {**(record.summary() or {}), "val_top1": 100 * float(others[0].mean())})
    Correct(others[0], "val", "other").save(records["ba:m=2"][0])
    Correct(~others[0], "val", "same").save(records["ba:m=1"][0])
    Correct(others[0], "holdout", "same").save(records["ws:k=2,p=0.5"][0])
    facts, page = found(study), Page(write_report(study))
    assert list(facts.means) == ["WS(4,0.75)", "ER(0.2)", "BA(5)"]
    unrecorded = "which images were right is not recorded of 1 of 3 trainings"
    assert facts.left_out == {
        "ER(0.4)": unrecorded,
        "ER(0.6)": unrecorded,
        "BA(3)": "evaluated on another data file",
        "BA(2)": "its 3 trainings were evaluated on 2 data files",
        "BA(1)": "the images recorded as right do not add up to the top-1 of 1 of 3 trainings",
        "WS(2,0.5)": unrecorded,
    }
    assert f"BA(3) ({facts.left_out['BA(3)']})" in page.text
    assert not {name for pair in facts.differences for name in pair} & set(facts.left_out)


def test_a_study_without_bits_is_reported_without_the_panel(tmp_path: Path) -> None:
    for seed in range(3):
        add_trial(tmp_path, "ba:m=5", seed, 90.0 + seed)
    write_design(tmp_path, "grid")
    assert facts_of(tmp_path) is None
    assert TITLE not in Page(write_report(tmp_path)).text


def test_the_leaders_and_then_the_best_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = ("ws:k=4,p=0.75", "ws:k=4,p=0.5", "ws:k=4,p=0.25", "ba:m=5", "ba:m=3", "er:p=0.2")
    for rank, spec in enumerate(ranks):
        add(tmp_path, spec, 0, np.arange(IMAGES) > 10 * rank)
    write_design(tmp_path, "tpe")
    monkeypatch.setattr(per_image, "MAX_SETTINGS", 4)
    facts = found(tmp_path)
    assert list(facts.means) == ["WS(4,0.75)", "WS(4,0.5)", "BA(5)", "ER(0.2)"]
    assert facts.unread == 2
    assert facts.sentences[-1] == "These are 4 of 6 settings: the leaders, and the best of the others."


def test_more_leaders_than_a_few_are_compared_with_the_best(study: Path) -> None:
    for spec in ("newman_watts:k=4,p=0.5", "residual"):
        add(study, spec, 0, drawn(0.8, 1)[0])
    write_design(study, "tpe")
    pairs = list(found(study).differences)
    assert len(pairs) == 4
    assert {one for one, _ in pairs} == {"WS(4,0.75)"}


def test_variants_are_compared_graph_by_graph(tmp_path: Path) -> None:
    variants = {"conv": {"network.op": "conv"}, "avgpool": {"network.op": "avgpool"}}
    rows = {"conv": drawn(0.95, 6), "avgpool": drawn(0.9, 5)}
    for name, bits in rows.items():
        for k, own in enumerate(bits):
            add(tmp_path, ("er:p=0.2", "ba:m=5")[k % 2], k // 2, own, network__op=name)
    write_design(tmp_path, "grid", variants=variants)
    facts, page = found(tmp_path), Page(write_report(tmp_path))
    assert facts.noun == "variant"
    assert {name: mean.n for name, mean in facts.means.items()} == {"conv": (6,), "avgpool": (5,)}
    [(pair, difference)] = facts.differences.items()
    both = [np.array(rows[name][:5], dtype=float) for name in pair]
    expected = mean_of(Margins.of(both[0] - both[1]))
    assert expected.half is not None
    assert (pair, difference.n) == (("conv", "avgpool"), (5,))
    assert difference.by_both == pytest.approx(
        (100 * (expected.value - expected.half), 100 * (expected.value + expected.half))
    )
    assert difference.disagreement == pytest.approx(100 * np.mean(both[0] != both[1]))
    assert page.table("mean difference")["conv over avgpool"][0] == "5"
    assert "Differences of variants, graph by graph" in page.text


def test_a_best_setting_of_other_images_is_not_compared(study: Path) -> None:
    for seed in range(3):
        add(study, "er:p=0.4", seed, drawn(0.99, 3, images=100)[seed], sha256="smaller")
    facts = found(study)
    assert facts.images == IMAGES
    assert list(facts.means) == ["WS(4,0.75)", "ER(0.2)", "BA(5)"]
    assert list(facts.differences) == [("WS(4,0.75)", "BA(5)")]
    assert facts.left_out == {"ER(0.4)": "evaluated on another data file"}
