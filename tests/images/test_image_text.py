"""Names of classes, images and paths as they come: not UTF-8, in other locales, in two forms, with controls."""

import argparse
import ast
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from commands import ROOT
from data_helpers import fails
from PIL import Image

from randwire import cli, inference, prediction
from randwire.cli import trained
from randwire.config import RunConfig
from randwire.data.convert import main
from randwire.errors import ConfigError, one_line
from randwire.names import below, printable, quoted
from randwire.stdio import Stream

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
"""One word in the two forms of Unicode, which look the same."""
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def source(root: Path, train: Sequence[str], val: Sequence[str], name: str = "0.png") -> Path:
    """INPUT of the source folder with one image in each class; names are held as in `randwire.names`."""
    for split, classes in (("train", train), ("val", val)):
        for number, folder in enumerate(classes):
            file = below(root, f"{split}/{folder}/{name}")
            file.parent.mkdir(parents=True)
            file.write_bytes(png(number))
    return root


def classes(output: Path) -> list[str]:
    names: list[str] = json.loads((output / "dataset.json").read_text(encoding="utf-8"))["classes"]
    return names


def in_locale(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """A conversion in a process of that environment."""
    command = [sys.executable, "-m", "randwire.data.convert", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, cwd=ROOT)


@pytest.mark.image_data("F", "a class name that is not UTF-8", "refused before anything is converted, shown printable")
def test_a_class_that_is_not_utf8_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = source(tmp_path / "in", ["cat", "caf\udce9"], ["cat", "caf\udce9"])
    fails(["folder", folder, tmp_path / "out"], capsys, r"train: the name of the class 'caf\xe9' is not UTF-8")
    assert not (tmp_path / "out").exists()


@pytest.mark.image_data("F", "a conversion in a locale without UTF-8", "the same files; standard output does not raise")
def test_the_locale_changes_nothing(tmp_path: Path) -> None:
    names = ["cat", COMPOSED, "東京"]
    folder = source(tmp_path / "in", names, names, "\udce9té.png")
    assert main(["folder", str(folder), str(tmp_path / "here"), "--mode", "raw"]) == 0
    done = in_locale(ASCII_LOCALE, "folder", str(folder), str(tmp_path / "düne"), "--mode", "raw")
    assert (done.returncode, done.stderr.count(b"Traceback")) == (0, 0)
    assert done.stdout.endswith(b"d\\xfcne: 3 train, 3 val images, 3 classes\n")
    assert classes(tmp_path / "here") == sorted(names)
    for name in ("train.beton", "val.beton", "dataset.json"):
        assert (tmp_path / "düne" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


@pytest.mark.image_data("F", "a strict standard output that lacks a letter", "the letter by its number")
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_strict_output_does_not_raise(errors: str) -> None:
    inner = io.TextIOWrapper(io.BytesIO(), "ascii", errors)
    stream = Stream(inner)
    stream.write("東京\n")
    stream.flush()
    assert inner.buffer.getvalue() == b"\\u6771\\u4eac\n"


@pytest.mark.image_data("F", "one class name in two forms (NFC, NFD) in `train`", "one class, and a note")
def test_two_forms_of_a_name_are_one_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = source(tmp_path / "in", ["cat", COMPOSED, DECOMPOSED], ["cat", COMPOSED])
    assert main(["folder", str(folder), str(tmp_path / "out")]) == 0
    assert classes(tmp_path / "out") == [COMPOSED, "cat"]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(told) == 1
    assert r"('cafe\u0301') and" in told[0]
    assert r"('caf\u00e9') are one class" in told[0]


@pytest.mark.image_data("F", "a class in one form in `train`, in the other in `val`", "the same class")
@pytest.mark.parametrize(("train", "val"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_the_splits_may_differ_in_form(tmp_path: Path, train: str, val: str) -> None:
    folder = source(tmp_path / "in", ["cat", train], ["cat", val])
    assert main(["folder", str(folder), str(tmp_path / "out")]) == 0
    assert classes(tmp_path / "out") == [COMPOSED, "cat"]


@pytest.mark.image_data("F", "Parquet files whose labels have both forms of a class name", "one class")
def test_parquet_labels_in_two_forms(tmp_path: Path) -> None:
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("image", image), ("label", pyarrow.string())])
    (tmp_path / "in").mkdir()
    for split, names in (("train", ("cat", COMPOSED, DECOMPOSED)), ("validation", (DECOMPOSED,))):
        rows = [{"image": {"bytes": png(number), "path": None}, "label": name} for number, name in enumerate(names)]
        path = tmp_path / "in" / f"{split}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert classes(tmp_path / "out") == [COMPOSED, "cat"]


@pytest.mark.image_data(
    "F", "a foreign class that looks like one that is there", "shown with the numbers of its letters"
)
@pytest.mark.parametrize(
    ("foreign", "shown"), [("\u0441\u0430t", r"('\u0441\u0430t')"), ("cat ", "'cat '"), ("ca\u200bt", r"'ca\u200bt'")]
)
def test_names_that_look_the_same_are_told_apart(
    tmp_path: Path, foreign: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = source(tmp_path / "in", ["cat", "dog"], [foreign, "dog"])
    fails(["folder", folder, tmp_path / "out"], capsys, "val: has the class ", shown)


@pytest.mark.image_data("F", "an image whose name is not UTF-8", "converted; in messages and dataset.json printable")
def test_names_of_images_need_not_be_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = source(tmp_path / "in", ["cat", "dog"], ["cat", "dog"], "\udce9\n\x1b[31m.png")
    assert main(["folder", str(folder), str(tmp_path / "out")]) == 0
    below(folder, "val/cat/\udcff\n.png").write_bytes(b"none")
    name = r"val/cat/\xff\n.png"
    fails(["folder", folder, tmp_path / "out", "--force"], capsys, f"{name}: ")
    assert main(["folder", str(folder), str(tmp_path / "out"), "--force", "--corrupt", "skip"]) == 0
    sidecar = json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))
    assert sidecar["skipped"]["val"] == [f"{folder}/{name}"]
    assert f"skipped: {folder}/{name}: " in capsys.readouterr().err


@pytest.mark.image_data("F", "an archive, and an OUTPUT whose name is not UTF-8", "its images are named by the archive")
def test_an_image_in_an_archive_is_named_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = source(tmp_path / "in", ["cat", "dog"], ["cat", "dog"])
    (folder / "val" / "cat" / "bad.png").write_bytes(b"none")
    packed = shutil.make_archive(str(tmp_path / "packed"), "tar", folder)
    fails(["folder", packed, below(tmp_path, "\udce9")], capsys, f"error: {packed}/val/cat/bad.png: ")


@pytest.mark.image_data("F", "controls, line breaks and invisible letters in names", "escaped; one line stays one line")
def test_the_printable_form() -> None:
    assert printable("été 東京 a  b.jpg") == "été 東京 a  b.jpg"
    assert printable("a\nb\x1b[0m\r\u202f\u200b\U000e0001\udcff") == r"a\nb\x1b[0m\r\u202f\u200b\U000e0001\xff"
    assert printable(Path(os.fsdecode(b"/caf\xe9"))) == r"/caf\xe9"
    assert printable(printable("\x1b")) == printable("\x1b")
    assert quoted("a") == "'a'"
    assert one_line("x/a  b\x07.jpg:\n  cannot\n\n be read") == r"x/a  b\x07.jpg: cannot be read"


@pytest.mark.image_data(
    "F", "an INPUT that is missing and has controls in its name", "one line, in which they are escaped"
)
def test_a_path_with_controls_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = f"{os.fsdecode(os.fsencode(tmp_path) + bytes([0xE9]))}\x1b[31m"
    fails(["folder", missing, tmp_path / "out"], capsys, r"\xe9\x1b[31m")
    fails(["folder", tmp_path / "no\nne", tmp_path / "out"], capsys, r"no\nne: no such folder")


@pytest.mark.image_data("F", "a class name with a line break in `--predict`", "escaped: one image is one line")
def test_a_prediction_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = prediction.Prediction(Path("a\nb.png"), {"c\nat": 0.75, "dog": 0.25})
    monkeypatch.setattr(inference, "open_trained", lambda path: None)
    monkeypatch.setattr(prediction, "predictions", lambda *arguments: iter([result]))
    options = argparse.Namespace(config=str(tmp_path), predict=["a\nb.png"], json=False, top=None)
    assert trained.predict(options, {"runtime.device": "cpu"}) == 0
    assert capsys.readouterr().out == "a\\nb.png  c\\nat 0.7500  dog 0.2500\n"


@pytest.mark.image_data("F", "`--evaluate` on a set whose class names have the other form", "the same classes")
def test_an_evaluation_compares_class_names_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.model_validate({"data": {"source": "digits"}})
    network: Any = SimpleNamespace(path="record", classes=("cat", DECOMPOSED))
    for names, same in ((("cat", COMPOSED), True), (("cat", "cafe"), False)):
        dataset: Any = SimpleNamespace(classes=names, source="folder")
        monkeypatch.setattr("randwire.data.prepare", lambda *_, found=dataset, **__: found)
        if same:
            assert inference.evaluation_data(network, config, 1) is dataset
        else:
            with pytest.raises(ConfigError, match="has other classes"):
                inference.evaluation_data(network, config, 1)


@pytest.mark.image_data("F", "text files of the whole package", "read and written as UTF-8, whatever the locale")
def test_text_files_are_utf8() -> None:
    assert not [place for place in _calls() if _follows_the_locale(place[1])]


def _calls() -> Iterator[tuple[str, ast.Call]]:
    folders = [Path(cli.__file__).parents[1], ROOT / "studies", ROOT / "cluster"]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    for file in (*files, ROOT / "train.py", ROOT / "hubconf.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call):
                yield f"{file}:{node.lineno}", node


def _follows_the_locale(call: ast.Call) -> bool:
    """Whether it opens, reads or writes text without naming the encoding."""
    called = ast.unparse(call.func)
    keywords = {keyword.arg for keyword in call.keywords}
    if "encoding" in keywords:
        return False
    if called.startswith("subprocess.") and keywords & {"text", "universal_newlines"}:
        return True
    if called.endswith(".read_text"):
        return not call.args
    if called.endswith(".write_text"):
        return len(call.args) == 1  # a path's; a record's has the name of the file, too, and is UTF-8
    if called not in ("open", "os.fdopen"):
        return False
    return not any(isinstance(word, ast.Constant) and "b" in str(word.value) for word in call.args[1:])
