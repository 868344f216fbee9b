"""The file of the images that an evaluation got right: what it holds, and what is made of one that is damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_helpers import Page, add_trial, write_design

from randwire.correct import FILE, Correct
from randwire.errors import RecordError
from randwire.metrics import VAL_TOP1
from randwire.records import Record
from randwire.report import write_report
from randwire.study import results

SHA256 = "5f" * 32


def _correct(images: int, split: str = "val") -> Correct:
    return Correct(np.random.default_rng(images).random(images) < 0.7, split, SHA256)


@pytest.mark.parametrize("images", [1, 7, 8, 9, 360, 50_000])
def test_a_file_gives_back_what_was_written(tmp_path: Path, images: int) -> None:
    record, written = Record(tmp_path), _correct(images)
    assert Correct.load(record) is None
    written.save(record)
    read = Correct.load(record)
    assert read is not None
    assert read.bits.dtype == bool
    assert np.array_equal(read.bits, written.bits)
    assert (read.split, read.sha256) == ("val", SHA256)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_size < 8_000, "for the 50,000 images of ImageNet"


@pytest.mark.parametrize(("right", "images"), [(259, 360), (37_337, 50_000), (1, 3), (0, 7), (7, 7)])
def test_its_top1_is_to_the_last_bit_that_of_the_evaluation(right: int, images: int) -> None:
    bits = np.random.default_rng(0).permutation(np.arange(images) < right)
    assert Correct(bits, "val", SHA256).top1 == VAL_TOP1.mean(float(right), images)


def test_damaged_bytes_are_found_or_do_no_harm(tmp_path: Path) -> None:
    """A file cut off, and one with a byte changed, at every third place: never another error, and never other bits."""
    record, written = Record(tmp_path), _correct(360)
    written.save(record)
    whole = (tmp_path / FILE).read_bytes()
    cut = [whole[:end] for end in range(0, len(whole), 3)]
    changed = [
        whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]
        for place in range(0, len(whole), 3)
        for mask in (0x01, 0xFF)
    ]
    refused, lines = [], []
    for damaged in cut + changed:
        (tmp_path / FILE).write_bytes(damaged)
        try:
            read = Correct.load(record)
        except RecordError as error:
            refused.append(damaged)
            lines.append(str(error))
        else:
            assert read is not None
            assert np.array_equal(read.bits, written.bits)
            assert (read.split, read.sha256) == (written.split, written.sha256)
    assert all(line.startswith(f"{tmp_path / FILE}: damaged: ") and "\n" not in line for line in lines)
    assert refused[: len(cut)] == cut
    assert len(refused) > len(cut) + len(changed) / 2


@pytest.mark.parametrize(
    "content",
    [
        {"bits": np.zeros(44, np.uint8)},
        {"bits": np.zeros(46, np.uint8)},
        {"bits": np.zeros((5, 9), np.uint8)},
        {"bits": np.zeros(45)},
        {"images": np.array(0), "bits": np.zeros(0, np.uint8)},
        {"images": np.array(-4)},
        {"images": np.zeros(3)},
    ],
    ids=str,
)
def test_a_whole_file_that_is_none_of_bits_is_damaged(tmp_path: Path, content: dict[str, Any]) -> None:
    whole: dict[str, Any] = {
        "bits": np.zeros(45, np.uint8),
        "images": np.array(360),
        "split": np.array("val"),
        "sha256": np.array(""),
    }
    np.savez(tmp_path / FILE, **whole)
    assert Correct.load(Record(tmp_path)) is not None
    np.savez(tmp_path / FILE, **whole | content)
    with pytest.raises(RecordError, match="damaged"):
        Correct.load(Record(tmp_path))


def test_a_trial_has_the_images_that_tell_or_none_and_is_reported_either_way(tmp_path: Path) -> None:
    """Of four trials one has them, one is of an earlier version, one is damaged, and one has those that chose."""
    folders = [tmp_path / add_trial(tmp_path, "er:p=0.2", seed, 77.5).digest for seed in range(4)]
    unfinished = tmp_path / add_trial(tmp_path, "er:p=0.2", 4, 77.5, status=None).digest
    write_design(tmp_path, "grid")
    for folder in (folders[0], folders[2], unfinished):
        _correct(360).save(Record(folder))
    _correct(300, "holdout").save(Record(folders[3]))
    (folders[2] / FILE).write_bytes((folders[2] / FILE).read_bytes()[:700])
    trials, unreadable = results.load(tmp_path)
    assert not unreadable
    assert {trial.folder for trial in trials if trial.correct is not None} == {folders[0].name}
    page = Page(write_report(tmp_path))
    assert all(folder.name in page.text for folder in folders)
