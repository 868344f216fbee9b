"""A prediction sees the pixels that the loader gives for the same file in a set, and goes on after a bad file."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import torch
from data_helpers import epoch, noise, seen_in_evaluation
from PIL import Image
from trained_helpers import refused, settings

import randwire
from randwire import inference, run
from randwire.config import DataConfig
from randwire.data import Batching, Loader, prepare
from randwire.data.codec import Encoding
from randwire.data.convert import convert
from randwire.data.reading import Reading
from randwire.data.sidecar import SIDECAR
from randwire.data.sources import load_source
from randwire.errors import CheckpointError, DataError
from randwire.records import checkpoint_file
from randwire.training import checkpoint
from randwire.training import weights as file_weights
from randwire.training.worker import ProcessWorker

CPU = ProcessWorker(torch.device("cpu"))
TURNED = Image.Exif()
TURNED[0x0112] = 6
ODD = Encoding("jpg", 20, 40)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """INPUT of a set of two classes: some files are turned, transparent or larger than the set keeps."""
    folder = tmp_path_factory.mktemp("photos")
    for part, split in enumerate(("train", "val")):
        for label, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            for number, pixels in enumerate(noise(9, 26, 36, seed=2 * part + label)):
                picture = Image.fromarray(pixels)
                picture.save(folder / split / name / f"{number}.png", exif=TURNED if number % 2 else None)
            picture.convert("RGBA").resize((50, 70)).save(folder / split / name / "large.png", exif=TURNED)
    return folder


def converted(photos: Path, output: Path, encoding: Encoding, reading: Reading) -> DataConfig:
    convert(load_source("folder")(photos), "folder", output, encoding=encoding, reading=reading)
    return DataConfig(source="folder", path=str(output), resolution=12, eval_crop=0.9)


def files_of(photos: Path) -> list[Path]:
    """The validation files in the order of the set."""
    source = load_source("folder")(photos)
    return [Path(source.name("val", index)) for index in range(len(source.labels("val")))]


def of_the_loader(config: DataConfig) -> torch.Tensor:
    loader = Loader(prepare(config), "val", config, Batching(20))
    ((images, _),) = epoch(loader)
    loader.close()
    return torch.from_numpy(images)


@pytest.mark.image_data(
    "I",
    "the files of a set, read and stored in any way: turned or not, another background, reduced, JPEG or pixels",
    "a prediction sees the pixels that the loader gives for them, to the byte",
)
@pytest.mark.parametrize(
    "encoding",
    [
        ODD,
        Encoding("raw"),
        Encoding("raw", 20),
        Encoding("proportion", 24, 60, 0.0),
        Encoding("proportion", None, 60, 1.0),
    ],
)
@pytest.mark.parametrize("reading", [Reading(upright=False), Reading(background=(0, 99, 0))], ids=["as is", "turned"])
def test_a_file_is_seen_as_in_its_set(photos: Path, tmp_path: Path, encoding: Encoding, reading: Reading) -> None:
    config = converted(photos, tmp_path / "set", encoding, reading)
    dataset = prepare(config)
    about = dataset.in_checkpoints()
    assert about["reading"] == reading.model_dump(mode="json")
    files = files_of(photos)
    seen = seen_in_evaluation(files, config, dataset.reading, Encoding(**about["encoding"]))
    assert torch.equal(seen, of_the_loader(config))


@pytest.fixture(scope="module")
def as_is(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a training on the photos, which were not turned, and are stored small and coarse."""
    folder = tmp_path_factory.mktemp("as is")
    converted(photos, folder / "set", ODD, Reading(upright=False))
    keys: dict[str, Any] = {"data__source": "folder", "data__path": str(folder / "set"), "data__eval_crop": 0.9}
    config = settings(folder / "runs", train__epochs=1, train__batch_size=4, **keys)
    run.run(config, CPU)
    return run.record_of(config).folder


def probabilities(record: Path, images: torch.Tensor) -> torch.Tensor:
    trained = inference.open_trained(record)
    with torch.no_grad():
        found: torch.Tensor = trained.network(trained.normalise(images)).softmax(1)
    return found


@pytest.mark.image_data(
    "I",
    "a set that was not turned by EXIF, and `--predict` with a file that says so",
    "the record, its safetensors file and its other exports keep how the set was read and stored; not turned",
)
def test_a_record_and_its_exports_keep_how_the_set_was_read(as_is: Path, photos: Path, tmp_path: Path) -> None:
    files = files_of(photos)
    trained = inference.open_trained(as_is)
    assert trained.reading == Reading(upright=False)
    assert Encoding(**trained.encoding) == ODD
    expected = probabilities(as_is, of_the_loader(trained.config.data.evaluation))
    randwire.export(as_is, tmp_path / "net.safetensors")
    for source in (as_is, checkpoint_file(as_is), tmp_path / "net.safetensors"):
        found = [list(prediction.probabilities.values()) for prediction in randwire.predict(source, files)]
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=0)
    randwire.export(as_is, tmp_path / "net.pt2")
    extra = {"reading.json": "", "encoding.json": ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    assert json.loads(extra["reading.json"])["upright"] is False
    assert json.loads(extra["encoding.json"]) == {"mode": "jpg", "max_side": 20, "quality": 40}


@pytest.mark.image_data(
    "I",
    "a checkpoint of an earlier version, which says nothing of how its set was read",
    "read as its source is: of imagenet not turned, of folder and of sources of pixels turned",
)
@pytest.mark.parametrize(("source", "upright"), [("imagenet", False), ("folder", True), ("cifar10", True)])
def test_an_earlier_checkpoint_is_read_as_its_source(as_is: Path, tmp_path: Path, source: str, upright: bool) -> None:
    state = checkpoint.read(checkpoint_file(as_is))
    del state["data"]["reading"], state["data"]["encoding"]
    state["config"]["data"] |= {"source": source, "path_sha256": None}
    torch.save(state, tmp_path / "earlier.pt")
    trained = inference.open_trained(tmp_path / "earlier.pt")
    assert trained.reading == Reading(upright=upright)
    assert Encoding(**trained.encoding) == Encoding("raw")
    randwire.export(tmp_path / "earlier.pt", tmp_path / "net.safetensors")
    assert inference.open_trained(tmp_path / "net.safetensors").reading == trained.reading
    file_weights.write(tmp_path / "earlier.safetensors", state)
    again = inference.open_trained(tmp_path / "earlier.safetensors")
    assert (again.reading, again.encoding) == (trained.reading, trained.encoding)


@pytest.mark.image_data(
    "I", "a set of format 2, whose dataset.json says nothing of it", "its checkpoints say what its source says"
)
def test_a_set_of_format_2_is_read_as_its_source(photos: Path, tmp_path: Path) -> None:
    config = converted(photos, tmp_path / "set", ODD, Reading())
    content = json.loads((tmp_path / "set" / SIDECAR).read_bytes())
    for key in ("reading", "left_out"):
        del content[key]
    content["format"] = 2
    (tmp_path / "set" / SIDECAR).write_text(json.dumps(content))
    about = prepare(config).in_checkpoints()
    assert about["reading"] == Reading(upright=True).model_dump(mode="json")
    assert Encoding(**about["encoding"]) == ODD


@pytest.mark.image_data(
    "I",
    "a dataset.json that does not say how its images were read, or says of it what cannot be",
    "refused in one line: nothing stands for it that nobody has chosen",
)
def test_a_set_that_does_not_say_how_it_is_read(photos: Path, tmp_path: Path) -> None:
    config = converted(photos, tmp_path / "set", ODD, Reading())
    said = json.loads((tmp_path / "set" / SIDECAR).read_bytes())
    without = {key: value for key, value in said.items() if key != "reading"}
    odd: list[tuple[str, dict[str, Any]]] = [
        ("does not say how its images were read", without),
        ("reading.value_range", {**said, "reading": {**said["reading"], "value_range": [1, 1]}}),
        ("quality", {**said, "quality": 500}),
        ("reduced_to", {**said, "reduced_to": 0}),
        ("compress_probability", {**said, "compress_probability": 7}),
        ("std: ", {**said, "std": [-1, 1, 1]}),
    ]
    for words, content in odd:
        (tmp_path / "set" / SIDECAR).write_text(json.dumps(content))
        with pytest.raises(DataError, match=rf"^[^\n]+{SIDECAR}: damaged[^\n]+$") as caught:
            prepare(config)
        assert words in str(caught.value)


@pytest.mark.image_data(
    "I",
    "`--predict` with a text, a missing file, a folder and a named pipe among images",
    "each a line with its name on standard error; all others are predicted, in order; exit code 1",
)
def test_a_prediction_goes_on_after_a_bad_file(
    trained: Path, pictures: tuple[list[Path], list[int]], tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    bad = [tmp_path / name for name in ("text.png", "none.png", "folder", "pipe")]
    given = [bad[0], *pictures[0][:2], *bad[1:3], pictures[0][2], bad[3]]
    done = commands.call("train.py", str(trained), "--predict", *map(str, given), "--top", "1")
    assert done.returncode == 1
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [str(path) for path in pictures[0][:3]]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.removeprefix("error: ").split(": ")[0] for line in errors] == [str(path) for path in bad]
    for line, reason in zip(errors, ("image", "No such file", "is a folder", "is a pipe"), strict=True):
        assert reason in line
    assert done.stderr.splitlines()[-1] == "4 of 7 images have no prediction"
    done = commands.call("train.py", str(trained), "--predict", *map(str, given[:2]), "--json")
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [sorted(row) for row in rows] == [["error", "path"], ["path", "probabilities"]]
    for path in bad:
        with pytest.raises(DataError, match=path.name):
            randwire.predict(trained, [given[1], path])


@pytest.mark.image_data(
    "I",
    "`--predict` with a URL or an empty name; with floats, or more pixels of a side than any set stores",
    "one line, which tells of the conversion's options as such: `--predict` has none of them",
)
def test_what_a_prediction_cannot_read_is_a_line(trained: Path, tmp_path: Path) -> None:
    assert "s3://bucket/a.png is a URL" in refused(str(trained), "--predict", "s3://bucket/a.png")
    assert "an empty name" in refused(str(trained), "--predict", "")
    Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / "float.tif")
    Image.new("1", (70000, 2)).save(tmp_path / "wide.png")
    for name, words in (("float.tif", "--value-range LOW:HIGH of a conversion"), ("wide.png", "70000x2 pixels")):
        with pytest.raises(DataError, match=f"{name}: .*{words}"):
            randwire.predict(trained, [tmp_path / name])


@pytest.mark.image_data(
    "I", "a set that was limited to small images by --max-megapixels", "larger ones are predicted all the same"
)
def test_the_limit_of_a_set_is_none_of_a_prediction(photos: Path) -> None:
    config = DataConfig(source="folder", path="any", resolution=12)
    files = files_of(photos)
    assert torch.equal(seen_in_evaluation(files, config, Reading(max_pixels=9)), seen_in_evaluation(files, config))


@pytest.mark.image_data(
    "I", "`--predict` with many images", "each is printed soon after it is read: the first before others are"
)
def test_the_first_prediction_waits_for_no_other(trained: Path, pictures: tuple[list[Path], list[int]]) -> None:
    from randwire.prediction import BATCH_SIZE, Prediction, predictions

    class Counted(list[Path]):
        """Paths that know how many have been asked for."""

        asked = 0

        def __getitem__(self, index: Any) -> Any:
            if isinstance(index, slice) and index.stop is not None:
                self.asked = max(self.asked, min(index.stop, len(self)))
            return super().__getitem__(index)

    paths = Counted(pictures[0][:60])
    waited = []
    for number, result in enumerate(predictions(inference.open_trained(trained), paths, torch.device("cpu"))):
        assert isinstance(result, Prediction)
        assert result.path == paths[number]
        waited.append(paths.asked - number)
    assert waited[0] == 1
    assert max(waited) <= BATCH_SIZE


@pytest.mark.image_data(
    "I",
    "a checkpoint that says how its set was read or stored in terms of another version: keys or modes that are new",
    "told so in one line; nothing is predicted by a guess",
)
def test_a_checkpoint_of_another_version_says_so(as_is: Path, tmp_path: Path, photos: Path) -> None:
    copy = Path(shutil.copytree(as_is, tmp_path / "copy"))
    state = checkpoint.read(checkpoint_file(copy))
    for key, value in (
        ("reading", {"upside": True}),
        ("encoding", {"mode": "jpg", "colours": 2}),
        ("encoding", {"mode": "webp"}),
        ("encoding", {"mode": "raw", "max_side": 0}),
    ):
        changed = {**state, "data": {**state["data"], key: value}}
        torch.save(changed, tmp_path / "other.pt")
        with pytest.raises(CheckpointError, match="of another version") as caught:
            randwire.predict(tmp_path / "other.pt", [next(photos.rglob("*.png"))])
        assert "\n" not in str(caught.value)


def test_pixels_are_unturned_where_the_set_is(photos: Path) -> None:
    """That the fixtures tell one reading from the other."""
    config = DataConfig(source="folder", path="any", resolution=12)
    files = files_of(photos)
    plain, turned = (seen_in_evaluation(files, config, Reading(upright=upright)).numpy() for upright in (False, True))
    assert 0 < np.count_nonzero((plain != turned).any((1, 2, 3))) < len(files)
