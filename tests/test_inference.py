"""A trained network in use: loaded, evaluated, and predicting."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import numpy as np
import pytest
import torch
from data_helpers import seen_in_evaluation, write_mnist
from PIL import Image
from trained_helpers import CPU, refused, settings, weights, with_classes

import randwire
from randwire import config as configuration
from randwire import data, inference, run
from randwire.errors import CheckpointError, ConfigError, DataError
from randwire.records import Record, checkpoint_file
from randwire.training import checkpoint
from randwire.training.worker import ProcessWorker

# Load and evaluate.


def test_a_record_is_a_network_in_one_line(trained: Path) -> None:
    network = randwire.load(trained)
    assert not network.training
    given = weights(trained)
    assert all(torch.equal(value, given[name]) for name, value in network.state_dict().items())
    assert randwire.load(checkpoint_file(trained))(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import randwire, sys; assert 'torch' not in sys.modules; assert callable(randwire.load)"
    assert subprocess.run([sys.executable, "-c", code], cwd=commands.ROOT).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = randwire.nothing


def test_evaluation_gives_the_scores_of_the_training(trained: Path) -> None:
    last = Record(trained).metrics()[-1]
    row = randwire.evaluate(trained)
    assert {key: row[key] for key in ("val_top1", "val_top5")} == {key: last[key] for key in ("val_top1", "val_top5")}
    assert row["val_loss"] == pytest.approx(last["val_loss"], rel=1e-5)
    assert (row["images"], row["resolution"], row["epoch"], row["source"]) == (360, 32, 3, "digits")


def test_evaluation_from_the_command_line_at_another_resolution(trained: Path) -> None:
    before = len((trained / inference.EVALUATIONS_FILE).read_text().splitlines()) if (
        trained / inference.EVALUATIONS_FILE
    ).exists() else 0  # fmt: skip
    done = commands.call("train.py", str(trained), "--evaluate", "--data.resolution", "48")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["resolution"] == 48
    assert f"at 48 pixels: val loss {row['val_loss']:.4f}, val top-1 {row['val_top1']:.2f}%" in done.stderr
    lines = (trained / inference.EVALUATIONS_FILE).read_text().splitlines()
    assert len(lines) == before + 1
    assert json.loads(lines[-1]) == row
    expected = randwire.evaluate(trained, {"data.eval_resolution": 48})
    assert expected["val_top1"] == row["val_top1"] != Record(trained).metrics()[-1]["val_top1"]


def test_a_record_that_cannot_be_written_is_evaluated_and_says_so(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(trained, tmp_path / "copy", ignore=shutil.ignore_patterns(inference.EVALUATIONS_FILE)))
    (copy / inference.EVALUATIONS_FILE).mkdir()  # even root cannot write there
    assert randwire.evaluate(copy)["val_top1"] == Record(trained).metrics()[-1]["val_top1"]
    assert "the result is not recorded" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_what_is_sent_to_a_gpu_is_read_into_page_locked_memory(
    trained: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """By an evaluation, and by the loaders of a training."""
    asked = []

    def loader(dataset: object, split: str, config: object, batching: data.Batching) -> None:
        asked.append(batching.page_locked)
        raise InterruptedError

    monkeypatch.setattr(data, "Loader", loader)
    worker = ProcessWorker(torch.device(device))
    with pytest.raises(InterruptedError):
        inference.evaluate(trained, worker=worker)
    rank: Any = SimpleNamespace(config=configuration.load("digits"), worker=worker, dataset=None, threads=1)
    for split in ("train", "val"):
        with pytest.raises(InterruptedError):
            run._Rank._loader(rank, split)
    assert asked == [device != "cpu"] * 3


def test_two_ranks_evaluate_as_one(trained: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend=c10d",
                "--rdzv-endpoint=127.0.0.1:0")  # fmt: skip
    done = commands.run(*launcher, "train.py", str(trained), "--evaluate")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["images"], row["val_top1"]) == (360, Record(trained).metrics()[-1]["val_top1"])


def test_validation_in_training_is_at_the_resolution_of_evaluation(tmp_path: Path) -> None:
    config = settings(tmp_path, train__epochs=1, data__eval_resolution=24)
    run.run(config, ProcessWorker(CPU))
    record = run.record_of(config)
    row = randwire.evaluate(record.folder)
    assert row["resolution"] == 24
    assert row["val_top1"] == record.metrics()[0]["val_top1"]
    assert randwire.evaluate(record.folder, {"data.resolution": 32})["resolution"] == 32
    assert record.read_json("complexity.json")["stages"][0]["output"] == [3, 24, 24]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network.channels": 5}, "network.channels: is what .* was trained with; an evaluation may choose data"),
        ({"graph.seed": 5}, "graph.seed: is what"),
        ({"train.lr": 5}, "train.lr: is what"),
        ({"data.nothing": 5}, "data.nothing: unknown key"),
        ({"data.resolution": 2}, "greater than or equal to 8"),
    ],
    ids=str,
)
def test_an_evaluation_changes_no_network(trained: Path, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        randwire.evaluate(trained, values)


def test_an_evaluation_needs_the_classes_of_the_training(trained: Path, tmp_path: Path) -> None:
    source = with_classes(trained, tmp_path / "letters.pt", list("abcdefghij"))
    with pytest.raises(ConfigError, match="has other classes"):
        randwire.evaluate(source)


def test_digits_can_be_evaluated_on_data_of_the_same_classes(trained: Path, tmp_path: Path) -> None:
    write_mnist(tmp_path / "files")
    assert (
        commands.call("-m", "randwire.data.convert", "mnist", str(tmp_path / "files"), str(tmp_path / "m")).returncode
        == 0
    )
    row = randwire.evaluate(trained, {"data.source": "mnist", "data.path": str(tmp_path / "m")})
    assert (row["source"], row["images"]) == ("mnist", 12)


def test_commands_on_what_was_not_trained_are_a_line(tmp_path: Path) -> None:
    assert "digits: no such record; --evaluate takes the folder of a record" in refused("digits", "--evaluate")
    assert "holds no checkpoint" in refused(str(tmp_path), "--evaluate")
    assert "not allowed with argument" in refused(str(tmp_path), "--evaluate", "--show")
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    assert "not a readable checkpoint" in refused(str(tmp_path / "checkpoint.pt"), "--predict", "x.png")


def test_a_checkpoint_of_another_version_is_a_line(trained: Path, tmp_path: Path) -> None:
    state = checkpoint.read(checkpoint_file(trained))
    changes: list[dict[str, Any]] = [
        {"config": {**state["config"], "network": {**state["config"]["network"], "unknown": 1}}},
        {"graphs": {"conv3": state["graphs"]["conv3"]}},
        {"data": {}},
        {"network": {}},
    ]
    for change in changes:
        torch.save({**state, **change}, tmp_path / "other.pt")
        with pytest.raises(CheckpointError, match="of another version or damaged") as caught:
            randwire.load(tmp_path / "other.pt")
        assert "\n" not in str(caught.value)


# Predict.


def test_predictions_are_those_of_the_evaluation(trained: Path, pictures: tuple[list[Path], list[int]]) -> None:
    paths, labels = pictures
    predictions = randwire.predict(trained, paths)
    assert [prediction.path for prediction in predictions] == paths
    hits = sum(prediction.top(1)[0][0] == str(label) for prediction, label in zip(predictions, labels, strict=True))
    assert 100 * hits / len(labels) == pytest.approx(Record(trained).metrics()[-1]["val_top1"])
    for prediction in predictions[:5]:
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert list(prediction.probabilities) == list("0123456789")
        shares = [share for _, share in prediction.top(10)]
        assert shares == sorted(shares, reverse=True)


def test_a_file_becomes_the_pixels_of_the_loader(pictures: tuple[list[Path], list[int]]) -> None:
    for keys in ({}, {"data.resolution": 20, "data.eval_crop": 0.7}):
        config = configuration.load("digits", keys).data
        loader = data.Loader(data.prepare(config), "val", config, data.Batching(batch_size=360))
        ((expected, _),) = loader.epoch(0)
        loader.close()
        assert torch.equal(seen_in_evaluation(pictures[0], config), expected)


def test_any_kind_of_image_is_read_as_a_viewer_shows_it(tmp_path: Path) -> None:
    config = configuration.load("digits", {"data.resolution": 8}).data
    pixels = np.zeros((24, 16, 3), np.uint8)
    pixels[:12] = 200
    image = Image.fromarray(pixels)
    image.save(tmp_path / "plain.png")
    image.convert("L").save(tmp_path / "gray.png")
    image.convert("RGBA").save(tmp_path / "alpha.png")
    image.quantize(2).save(tmp_path / "palette.gif")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees
    image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    paths = sorted(tmp_path.iterdir())
    images = seen_in_evaluation(paths, config)
    plain = images[paths.index(tmp_path / "plain.png")].float()
    for path, other in zip(paths, images, strict=True):
        assert float((other.float() - plain).abs().max()) <= 3, path
    assert plain[:, 0].mean() == 200
    assert plain[:, -1].mean() == 0


def test_predict_on_the_command_line(trained: Path, pictures: tuple[list[Path], list[int]]) -> None:
    names = [str(path) for path in pictures[0][:3]]
    done = commands.call("train.py", str(trained), "--predict", *names, "--top", "2")
    assert done.returncode == 0, done.stderr
    expected = randwire.predict(trained, names)
    for line, prediction in zip(done.stdout.splitlines(), expected, strict=True):
        shown = "  ".join(f"{name} {share:.4f}" for name, share in prediction.top(2))
        assert line == f"{prediction.path}  {shown}"
    done = commands.call("train.py", str(trained), "--predict", *names, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == names
    assert [row["probabilities"] for row in rows] == [
        pytest.approx(dict(prediction.probabilities), abs=1e-6) for prediction in expected
    ]


def test_a_bad_image_is_a_line_that_names_it(
    trained: Path, tmp_path: Path, pictures: tuple[list[Path], list[int]]
) -> None:
    (tmp_path / "text.png").write_text("no image")
    content = pictures[0][0].read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    for name, reason in (
        ("text.png", "is not an image"),
        ("cut.png", "image file is truncated"),
        ("none.png", "No such file"),
    ):
        with pytest.raises(DataError, match=f"{name}: .*{reason}") as caught:
            randwire.predict(trained, [tmp_path / name])
        assert "\n" not in str(caught.value)
    assert "train.lr: is not for --predict" in refused(str(trained), "--predict", "x.png", "--train.lr", "1")
