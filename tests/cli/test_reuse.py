"""What was trained or drawn once is used again: graphs, weights, evaluation, prediction, export."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import commands
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from data_helpers import samples_of, write_mnist
from PIL import Image

import randwire
from randwire import config as configuration
from randwire import data, inference, run, wiring
from randwire.config import RunConfig
from randwire.dag import DAG
from randwire.data.images import batches
from randwire.data.sources.digits import Digits
from randwire.errors import CheckpointError, ConfigError, DataError, ExportError
from randwire.records import Record, checkpoint_file, find_records
from randwire.report.page.study_page import write_report
from randwire.study.results import Trial, groups, read
from randwire.training import checkpoint
from randwire.training.worker import ProcessWorker

CPU = torch.device("cpu")
SMALL: Mapping[str, object] = {
    "graph.nodes": 6,
    "network.channels": 6,
    "network.head": 24,
    "train.epochs": 3,
    "runtime.wandb": "disabled",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a short training on the digits."""
    return randwire.train("digits", {**SMALL, "runtime.output": str(tmp_path_factory.mktemp("reuse"))})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[int]]:
    """The validation images of the digits as files, and their labels."""
    folder = tmp_path_factory.mktemp("pictures")
    labels: list[int] = []
    for image, label in samples_of(Digits(), "val"):
        Image.fromarray(image).save(folder / f"{len(labels):03}.png")
        labels.append(label)
    return sorted(folder.iterdir()), labels


def settings(folder: Path, **keys: object) -> RunConfig:
    dotted = {key.replace("__", "."): value for key, value in keys.items()}
    return configuration.load("digits", {**SMALL, "runtime.output": str(folder), **dotted})


def weights(record: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = checkpoint.read(checkpoint_file(record))["network"]
    return found


def refused(*arguments: str) -> str:
    """The one line of a command that must not work."""
    done = commands.call("train.py", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


# Saved graphs.


def test_saved_graphs_are_taken_as_they_are(trained: Path, tmp_path: Path) -> None:
    drawn = {stage: DAG.from_text(text) for stage, text in Record(trained).graphs().items()}
    for path in (trained, trained / "graphs"):
        config = settings(tmp_path, graph__path=str(path), graph__seed=99, graph__generator="er:p=0.5")
        found = wiring.sample_graphs(config)
        assert {stage: sample.dag for stage, sample in found.items()} == drawn
        assert all(sample.redraws == 0 for sample in found.values())


def test_no_generator_is_asked_for_saved_graphs(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(Path("unused"), graph__path=str(trained))

    def fail(*_: object) -> None:
        raise AssertionError("a graph was drawn")

    monkeypatch.setattr("randwire.graphs.Generator.sample", fail)
    monkeypatch.setattr("randwire.graphs.ws.WS.draw", fail)
    assert len(wiring.sample_graphs(config)) == 3


def test_one_file_is_the_graph_of_every_stage(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("0 1 1\n0 0 1\n0 0 0\n")
    config = settings(tmp_path, graph__path=str(tmp_path / "mine.txt"), network__regime="regular")
    expected = DAG(3, ((0, 1), (0, 2), (1, 2)))
    assert {s: sample.dag for s, sample in wiring.sample_graphs(config).items()} == dict.fromkeys(
        ("conv2", "conv3", "conv4", "conv5"), expected
    )


def test_the_content_of_saved_graphs_names_the_run_and_their_place_does_not(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "graphs", tmp_path / "moved")
    config = settings(tmp_path, graph__path=str(trained))
    assert config.digest == settings(tmp_path, graph__path=str(tmp_path / "moved")).digest
    assert config.digest == settings(tmp_path, graph__path=str(trained), graph__seed=5).digest
    assert config.digest != settings(tmp_path).digest
    (tmp_path / "moved" / "conv4.txt").write_text("0 1\n0 0\n")
    assert config.digest != settings(tmp_path, graph__path=str(tmp_path / "moved")).digest
    assert config.label == f"saved {config.graph.path_sha256[:8]}" if config.graph.path_sha256 else False
    assert config.graph.path is not None
    assert config.graph.path.is_absolute()


def test_a_run_on_saved_graphs_equals_the_one_that_drew_them_and_replays_without_them(tmp_path: Path) -> None:
    first = settings(tmp_path / "first")
    run.run(first, ProcessWorker(CPU))
    record = run.record_of(first)
    shutil.copytree(record.folder / "graphs", tmp_path / "copy")
    second = settings(tmp_path / "second", graph__path=str(tmp_path / "copy"))
    run.run(second, ProcessWorker(CPU))
    top1 = [row["val_top1"] for row in record.metrics()]
    assert [row["val_top1"] for row in run.record_of(second).metrics()] == top1
    shutil.rmtree(tmp_path / "copy")
    replayed = configuration.load(str(run.record_of(second).folder), {"runtime.study": "replay"})
    assert replayed.digest == second.digest
    run.run(replayed, ProcessWorker(CPU))
    assert [row["val_top1"] for row in run.record_of(replayed).metrics()] == top1


def test_saved_graphs_that_change_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("0 1 1\n0 0 1\n0 0 0\n")
    config = settings(tmp_path, graph__path=str(tmp_path / "mine.txt"))
    (tmp_path / "mine.txt").write_text(" 0 1  1\n0 0 1 \n0 0 0\n\n")  # spaces are not content
    wiring.sample_graphs(config)
    (tmp_path / "mine.txt").write_text("0 1 0\n0 0 1\n0 0 0\n")
    with pytest.raises(ConfigError, match=r"graph.path: .*mine.txt has changed since"):
        wiring.sample_graphs(config)
    assert wiring.sample_graphs(configuration.resolve(config.override({"graph.path": str(tmp_path / "mine.txt")})))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 1\n1 0\n", "row 2, column 1: only entries above the diagonal"),
        ("0 1\n0 2\n", "row 2, column 2 is '2', expected 0 or 1"),
        ("0 1 0\n0 0 1\n", "row 1 has 3 entries, expected 2"),
        ("", "a DAG needs at least one node"),
        ("\xff\xfe", "mine.txt"),
    ],
)
def test_wrong_adjacency_text_is_a_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=message) as caught:
        settings(tmp_path, graph__path=str(tmp_path / "mine.txt"))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("graph.path: ")


def test_graphs_of_other_stages_are_a_line(trained: Path, tmp_path: Path) -> None:
    assert "needs conv2, conv3, conv4, conv5" in refused(
        "digits", "--show", "--graph.path", str(trained), "--network.regime", "regular"
    )
    (tmp_path / "empty").mkdir()
    assert "holds no adjacency matrix" in refused("digits", "--show", "--graph.path", str(tmp_path / "empty"))


def test_a_study_does_not_take_saved_graphs(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(settings(tmp_path, graph__path=str(trained)).to_yaml())
    for arguments in (
        ("--graph.path", str(trained)),
        ("--base", str(tmp_path / "base.yaml")),
        ("--train.pretrained", str(trained)),
    ):
        done = commands.call("studies/generators.py", "plan", *arguments, "--runtime.output", str(tmp_path))
        assert done.returncode == 2
        assert "graphs are what the study varies" in done.stderr


def test_a_report_shows_trials_on_saved_graphs_apart(trained: Path, tmp_path: Path) -> None:
    for keys in ({"train__schedule": "step"}, {"graph__path": str(trained), "graph__seed": 5}):
        run.run(settings(tmp_path, train__epochs=1, **keys), ProcessWorker(CPU))
    page = write_report(tmp_path / "local").read_text()
    name = settings(tmp_path, graph__path=str(trained)).label
    assert name in page
    assert "WS(4,0.75)" in page
    assert "(linear warm-up, steps); largest deviation 0." in page
    assert "(linear warm-up, half a cosine); largest deviation 0." in page
    trials = [trial for record in find_records(tmp_path / "local") if isinstance(trial := read(record), Trial)]
    assert {(trial.generator, trial.setting) for trial in trials} == {("ws", "WS(4,0.75)"), ("saved", name)}
    assert "saved graphs, sepconv" in page
    assert len(groups(trials)) == 2, "what was drawn is not compared with what was saved"


# Pretrained weights.


def _initial(config: RunConfig) -> dict[str, torch.Tensor]:
    """The weights that a training starts from: the checkpoint of an epoch at a rate too small to change anything."""
    frozen = config.override({"train.lr": 1e-30, "train.epochs": 1, "train.weight_decay": 0, "train.momentum": 0})
    run.run(frozen, ProcessWorker(CPU))
    return weights(run.record_of(frozen).folder)


@pytest.mark.parametrize("file", [False, True], ids=["record", "checkpoint"])
def test_a_training_goes_on_from_weights(trained: Path, tmp_path: Path, file: bool) -> None:
    source = checkpoint_file(trained) if file else trained
    config = settings(tmp_path, train__pretrained=str(source))
    found, given = _initial(config), weights(trained)
    for name, value in given.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(found[name], value), name
    (path,) = tmp_path.glob("local/*/pretrained.json")
    told = json.loads(path.read_text())
    assert told["left_out"] == {}
    assert told["loaded"] == len(given)
    assert told["epoch"] == 3


def test_a_training_that_goes_on_is_better_than_one_that_starts(trained: Path, tmp_path: Path) -> None:
    top1 = {}
    for name, keys in (("fresh", {}), ("pretrained", {"train__pretrained": str(trained)})):
        config = settings(
            tmp_path / name, train__epochs=1, train__seed=7, train__lr=0.02, train__warmup_epochs=0, **keys
        )
        run.run(config, ProcessWorker(CPU))
        top1[name] = run.record_of(config).metrics()[0]["val_top1"]
    assert top1["pretrained"] > top1["fresh"] + 10
    assert settings(tmp_path, train__pretrained=str(trained)).digest != settings(tmp_path).digest


def _with_classes(record: Path, target: Path, classes: list[str]) -> Path:
    """The checkpoint of a record, as if it had been trained on other classes."""
    state = checkpoint.read(checkpoint_file(record))
    last = "stages.classifier.fc."
    count = min(len(classes), len(state["data"]["classes"]))
    for name in ("weight", "bias"):
        value = state["network"][last + name]
        state["network"][last + name] = torch.cat([value[:count], value[: len(classes) - count]])
    state["data"]["classes"] = classes
    torch.save(state, target)
    return target


def test_another_number_of_classes_keeps_all_but_the_last_layer_and_says_so(trained: Path, tmp_path: Path) -> None:
    source = _with_classes(trained, tmp_path / "seven.pt", list("abcdefg"))
    keys = [f"--{key}={value}" for key, value in SMALL.items()]
    done = commands.call("train.py", "digits", *keys, "--train.epochs=1", "--train.pretrained", str(source),
                        "--runtime.output", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    total = len(weights(trained))
    assert f"seven.pt (epoch 3): loaded {total - 2} of {total} tensors" in done.stderr
    assert "not loaded: stages.classifier.fc.weight: 7x24 in the file, 10x24 here" in done.stderr
    assert "not loaded: stages.classifier.fc.bias: 7 in the file, 10 here" in done.stderr
    (path,) = tmp_path.glob("local/*/pretrained.json")
    assert set(json.loads(path.read_text())["left_out"]) == {
        "stages.classifier.fc.weight",
        "stages.classifier.fc.bias",
    }


def test_classes_of_other_names_do_not_get_each_others_weights(trained: Path, tmp_path: Path) -> None:
    source = _with_classes(trained, tmp_path / "letters.pt", list("abcdefghij"))
    found = _initial(settings(tmp_path, train__pretrained=str(source)))
    given = weights(trained)
    assert torch.equal(found["stages.classifier.conv.weight"], given["stages.classifier.conv.weight"])
    assert not torch.equal(found["stages.classifier.fc.weight"], given["stages.classifier.fc.weight"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"network__channels": 8}, "is another network: stages.conv1.0.weight: 3x3x3x3 in the file, 4x3x3x3 here"),
        ({"network__op": "conv"}, "is another network"),
        ({"graph__seed": 1}, "has other graphs .* --graph.path RECORD"),
        ({"graph__generator": "ba:m=2"}, "has other graphs"),
    ],
    ids=str,
)
def test_weights_of_another_network_are_refused(
    trained: Path, tmp_path: Path, keys: dict[str, object], message: str
) -> None:
    config = settings(tmp_path, train__pretrained=str(trained), **keys)
    with pytest.raises(ConfigError, match=message) as caught:
        run.run(config, ProcessWorker(CPU))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("local/*/config.yaml")), "nothing is left that looks like a trial"


def test_another_head_keeps_the_stages(trained: Path, tmp_path: Path) -> None:
    config = settings(tmp_path, train__pretrained=str(trained), network__head=32)
    found, given = _initial(config), weights(trained)
    kept = [name for name in given if name.startswith("stages.conv") and name.endswith(".weight")]
    assert kept
    assert all(torch.equal(found[name], given[name]) for name in kept)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_malicious_file_is_refused_and_not_run(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = dict.fromkeys(checkpoint.KEYS, _Bomb())
    file = tmp_path / "bomb.pt"
    if how == "torch":
        torch.save(state, file)
    else:
        file.write_bytes(pickle.dumps(state))
    monkeypatch.chdir(tmp_path)
    for action in (
        lambda: run.run(settings(tmp_path, train__pretrained=str(file)), ProcessWorker(CPU)),
        lambda: randwire.load(file),
        lambda: randwire.predict(file, []),
    ):
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            action()
    assert not (tmp_path / "exploded").exists()


def test_weights_that_change_are_noticed(trained: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(checkpoint_file(trained), tmp_path / "copy.pt"))
    config = settings(tmp_path, train__pretrained=str(file))
    state = checkpoint.read(file)
    torch.save({**state, "epoch": 9}, file)
    with pytest.raises(ConfigError, match=r"copy.pt has changed since"):
        run.run(config, ProcessWorker(CPU))


def test_a_resumed_training_does_not_need_its_pretrained_weights(trained: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(checkpoint_file(trained), tmp_path / "copy.pt"))
    config = settings(tmp_path, train__pretrained=str(file))

    class Interrupting(ProcessWorker):
        def report(self, row: Mapping[str, Any]) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(config, Interrupting(CPU))
    file.unlink()
    again = configuration.load(str(run.record_of(config).folder))
    assert run.run(again, ProcessWorker(CPU))["status"] == "finished"


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
    source = _with_classes(trained, tmp_path / "letters.pt", list("abcdefghij"))
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
    found = randwire.predict(trained, paths)
    assert [prediction.path for prediction in found] == paths
    hits = sum(prediction.top(1)[0][0] == str(label) for prediction, label in zip(found, labels, strict=True))
    assert 100 * hits / len(labels) == pytest.approx(Record(trained).metrics()[-1]["val_top1"])
    for prediction in found[:5]:
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
        (found,) = batches(pictures[0], config, 360)
        assert torch.equal(found, expected)


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
    (found,) = batches(paths, config, 10)
    plain = found[paths.index(tmp_path / "plain.png")].float()
    for path, other in zip(paths, found, strict=True):
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


# Export.


@pytest.fixture(scope="module")
def raw(pictures: tuple[list[Path], list[int]]) -> torch.Tensor:
    """Pixels as the exported file takes them: a batch of a size that the exporter never saw."""
    (found,) = batches(pictures[0][:7], configuration.load("digits").data, 7)
    return found.contiguous()


def test_a_torch_export_gives_the_same_logits(trained: Path, tmp_path: Path, raw: torch.Tensor) -> None:
    assert randwire.export(trained, tmp_path / "net.pt2") < 1e-6
    extra = {"classes.json": ""}
    program = torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    found = inference.open_trained(trained)
    with torch.no_grad():
        expected = found.network(found.normalise(raw))
        for batch in (raw, raw[:1]):
            torch.testing.assert_close(program.module()(batch), expected[: len(batch)], rtol=1e-5, atol=1e-5)
    assert json.loads(extra["classes.json"]) == list("0123456789")


def test_an_onnx_export_gives_the_same_logits(trained: Path, tmp_path: Path, raw: torch.Tensor) -> None:
    done = commands.run("train.py", str(trained), "--export", str(tmp_path / "net.onnx"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "net.onnx")
    assert len(done.stderr.strip().splitlines()) == 1
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    found = inference.open_trained(trained)
    with torch.no_grad():
        expected = found.network(found.normalise(raw))
    for batch in (raw, raw[:1]):
        logits = torch.from_numpy(session.run(["logits"], {"images": batch.numpy()})[0])
        torch.testing.assert_close(logits, expected[: len(batch)], rtol=1e-4, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list("0123456789")
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


def test_an_export_at_another_resolution(trained: Path, tmp_path: Path) -> None:
    randwire.export(trained, tmp_path / "net.pt2", resolution=40)
    program = torch.export.load(tmp_path / "net.pt2").module()
    assert program(torch.zeros(2, 3, 40, 40, dtype=torch.uint8)).shape == (2, 10)


def test_a_wrong_export_gets_no_name(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from randwire import deploy

    def writes_another(_: Any, network: torch.nn.Module, example: torch.Tensor, path: Path) -> Any:
        path.write_text("half")
        return lambda images: network(images) + 1

    monkeypatch.setitem(deploy._WRITERS, ".pt2", writes_another)
    with pytest.raises(ExportError, match="not written: its logits differ"):
        randwire.export(trained, tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_and_unknown_suffixes_are_lines(trained: Path, tmp_path: Path) -> None:
    assert "the suffix must be one of .pt2, .onnx" in refused(str(trained), "--export", str(tmp_path / "net.h5"))
    with pytest.raises(ExportError, match="cannot be written"):
        randwire.export(trained, tmp_path / "no" / "net.pt2")


# Channels for a budget.


def test_operations_at_equal_cost_from_the_command_line(tmp_path: Path) -> None:
    keys = ("small", "--network.op", "conv", "--show", "--json", "--match-mult-adds")
    shown = json.loads(commands.call("train.py", *keys, "579e6").stdout)
    assert shown["config"]["network"]["op"] == "conv"
    assert abs(shown["mult_adds"] / 579e6 - 1) < 0.03
    assert shown["config"]["network"]["channels"] < 78
    assert "no number of channels" in refused(*keys, "1000")
    assert "give one of them" in refused(*keys, "579e6", "--network.channels", "20")
    assert "is for a network to be trained" in refused("digits", "--evaluate", "--match-mult-adds", "579e6")
    assert "number above 0" in refused(*keys, "-5")
    assert yaml.safe_load(configuration.load("small").to_yaml())["network"]["channels"] == 78
