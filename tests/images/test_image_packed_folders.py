"""The source `folder` from archives and Parquet files: the same images, labels and bytes as from plain folders."""

import gzip
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from data_helpers import fails, noise
from PIL import Image as Picture

from randwire.data.convert import main
from randwire.data.sources import SPLITS
from randwire.data.sources.folder import Folder
from randwire.errors import DataError

CLASSES = ("cat", "dog", "owl")


def _files() -> dict[str, bytes]:
    """Images by path: train/CLASS/... and val/CLASS/..., names that occur in each class."""
    files = {}
    images = iter(noise(15, 9, 9))
    for split, count in (("train", 3), ("val", 2)):
        for name in CLASSES:
            for number in range(count):
                memory = io.BytesIO()
                Picture.fromarray(next(images)).save(memory, "PNG")
                files[f"{split}/{name}/{number:03}.png"] = memory.getvalue()
    return files


FILES = _files()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _converted(input: Path, output: Path) -> dict[str, bytes]:
    assert main(["folder", str(input), str(output), "--mode", "raw"]) == 0
    return {split: (output / f"{split}.beton").read_bytes() for split in ("train", "val")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The converted files of plain folders."""
    folder = tmp_path_factory.mktemp("plain")
    _write(folder / "in", FILES)
    return _converted(folder / "in", folder / "out")


def _zip(path: Path, files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _below(top: str) -> dict[str, bytes]:
    return {f"{top}{name}": content for name, content in FILES.items()}


MAC = {"__MACOSX/set/._train": b"\0\5\26\7", ".DS_Store": b"\0\0\0\1Bud1"}
ARCHIVES: Mapping[str, Callable[[Path], Path]] = {
    "zip": lambda folder: _zip(folder / "set.zip", FILES),
    "zip of one folder": lambda folder: _zip(folder / "set.zip", {**_below("set-200/"), **MAC}),
    "zip of one folder and a file": lambda folder: _zip(folder / "set.zip", {**_below("set/"), "README.md": b"words"}),
    "stored zip": lambda folder: _zip(folder / "set.zip", FILES, zipfile.ZIP_STORED),
    "tar": lambda folder: _tar(folder / "set.tar", _below("./")),
    "tgz of one folder": lambda folder: _tar(folder / "set2.tgz", _below("set2/"), "w:gz"),
    "tar.xz": lambda folder: _tar(folder / "set.tar.xz", FILES, "w:xz"),
    "tar.bz2 without a suffix": lambda folder: _tar(folder / "set", FILES, "w:bz2"),
    "absolute paths": lambda folder: _tar(folder / "set.tar", _below("/")),
    "paths that lead outside": lambda folder: _tar(folder / "set.tar", _below("../../")),
}


@pytest.mark.image_data(
    "K",
    "folder: INPUT is a zip or tar, plain or compressed, of train/ and val/, or of one folder with them; odd paths",
    "converted as the plain folders, to the byte; nothing is written elsewhere",
)
@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_of_folders(tmp_path: Path, expected: Mapping[str, bytes], case: str) -> None:
    (tmp_path / "in").mkdir()
    archive = ARCHIVES[case](tmp_path / "in")
    assert _converted(archive, tmp_path / "out") == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", "train.beton", "val.beton"]


def _split_archives(folder: Path) -> None:
    for split in ("train", "val"):
        files = {name: content for name, content in FILES.items() if name.startswith(split)}
        _zip(folder / f"{split}.zip", files)
    (folder / "test.zip").write_bytes(b"no zip, and not needed")


def _split_archives_of_classes(folder: Path) -> None:
    for split in ("train", "val"):
        files = {name.partition("/")[2]: content for name, content in FILES.items() if name.startswith(split)}
        _tar(folder / f"{split}.tar.gz", files, "w:gz")


def _one_packed_split(folder: Path) -> None:
    _tar(folder / "train.tgz", {name: FILES[name] for name in FILES if name.startswith("train")}, "w:gz")
    _write(folder, {name: FILES[name] for name in FILES if name.startswith("val")})


INSIDE: Mapping[str, Callable[[Path], object]] = {
    "train.zip and val.zip": _split_archives,
    "train.tar.gz and val.tar.gz of classes": _split_archives_of_classes,
    "train.tgz beside val": _one_packed_split,
    "one archive": lambda folder: _zip(folder / "set-200.zip", {**_below("set-200/"), **MAC}),
}


@pytest.mark.image_data(
    "K",
    "folder: INPUT holds train.zip and val.zip (or tar.gz), or one archive of all",
    "as the plain folders, to the byte",
)
@pytest.mark.parametrize("case", INSIDE)
def test_archives_in_a_folder(tmp_path: Path, expected: Mapping[str, bytes], case: str) -> None:
    (tmp_path / "in").mkdir()
    INSIDE[case](tmp_path / "in")
    (tmp_path / "in" / ".DS_Store").write_bytes(b"x")
    assert _converted(tmp_path / "in", tmp_path / "out") == expected
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", "train.beton", "val.beton"]


@pytest.mark.image_data(
    "K", "folder: a packed test split beside train/ and val/", "not unpacked, so that --estimate needs no place for it"
)
def test_what_is_not_needed_is_not_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "in", FILES)
    (tmp_path / "in" / "test.zip").write_bytes(b"no zip")
    assert main(["folder", str(tmp_path / "in"), "--estimate"]) == 0


@pytest.mark.image_data(
    "K",
    "folder: links in an archive that lead outside of it, to another image or above; a file where a folder is",
    "links are followed inside the archive alone; what cannot be unpacked is named",
)
def test_links_and_clashes_in_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(next(iter(FILES.values())))
    with tarfile.open(_tar(tmp_path / "set.tar", FILES), "a") as tar:
        for name, target in (("train/cat/out.png", str(secret)), ("train/dog/good.png", "../cat/000.png"), ("up", ".")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    assert main(["folder", str(tmp_path / "set.tar"), str(tmp_path / "out"), "--corrupt", "skip"]) == 0
    sidecar = json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))
    assert sidecar["sizes"] == {"train": 10, "val": 6}
    assert sidecar["skipped"]["train"] == [f"{tmp_path / 'set.tar'}/train/cat/out.png"]
    clash = _zip(tmp_path / "clash.zip", {**FILES, "train/cat": b"a file"})
    fails(["folder", clash, tmp_path / "other"], capsys, f"{clash}/train/cat: cannot be unpacked to")
    assert not (tmp_path / "other").exists()


@pytest.mark.image_data(
    "F",
    "folder: a zip whose names are UTF-8 without saying so, or of another system's code page",
    "read; or refused by name",
)
def test_names_in_a_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shown in (("höhle".encode(), None), (b"h\xf6hle", r"h\xf6hle")):
        same = "x" * len(name)  # a name of the same length keeps all offsets
        archive = _zip(tmp_path / "set.zip", {path.replace("owl", same): FILES[path] for path in FILES})
        archive.write_bytes(archive.read_bytes().replace(same.encode(), name))
        output = tmp_path / f"out{len(name)}"
        if shown:
            fails(["folder", archive, output], capsys, shown, "not UTF-8")
            continue
        _converted(archive, output)
        sidecar = json.loads((output / "dataset.json").read_text(encoding="utf-8"))
        assert sidecar["classes"] == ["cat", "dog", "höhle"]


@pytest.mark.image_data(
    "K", "folder: an image in an archive is damaged", "named by the archive and the path in it, also in dataset.json"
)
def test_an_image_in_an_archive_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = _zip(tmp_path / "set.zip", {**FILES, "train/cat/bad.png": b"\x89PNG\r\n\x1a\nxx"})
    fails(["folder", archive, tmp_path / "out"], capsys, f"{archive}/train/cat/bad.png")
    assert main(["folder", str(archive), str(tmp_path / "out"), "--corrupt", "skip"]) == 0
    sidecar = json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))
    assert sidecar["skipped"]["train"] == [f"{archive}/train/cat/bad.png"]
    missing = _zip(tmp_path / "no.zip", {name: content for name, content in FILES.items() if "val" not in name})
    fails(["folder", missing, tmp_path / "other"], capsys, str(missing))


def _encrypted(folder: Path) -> Path:
    path = _zip(folder / "set.zip", FILES)
    content = bytearray(path.read_bytes())
    start = 0
    while (start := content.find(b"PK\1\2", start)) >= 0:  # the central directory's flags
        content[start + 8] |= 1
        start += 4
    path.write_bytes(content)
    return path


def _doubled(folder: Path) -> Path:
    path = _zip(folder / "set.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(next(iter(FILES)), b"another")
    return path


def _bomb(folder: Path) -> Path:
    path = folder / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(2):
            archive.writestr(f"train/cat/{number}.bmp", bytes(600))
    content = bytearray(path.read_bytes())
    start = content.find(b"PK\1\2")
    content[start + 24 : start + 28] = (3 << 30).to_bytes(4, "little")  # the size that it claims
    path.write_bytes(content)
    return path


def _tar_bomb(folder: Path) -> Path:
    member = tarfile.TarInfo("train/cat/0.bmp")
    member.size = 3 << 30
    (folder / "set.tar.gz").write_bytes(gzip.compress(member.tobuf() + bytes(1 << 20)))
    return folder / "set.tar.gz"


def _damaged(folder: Path) -> Path:
    path = _zip(folder / "set.zip", FILES, zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"IDAT", b"XDAT", 1))
    return path


def _cut(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def cut(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(path.read_bytes()[:-700])
        return path

    return cut


def _text(folder: Path) -> Path:
    (folder / "set.zip").write_bytes(b"<!DOCTYPE html><title>Sign in</title>")
    return folder / "set.zip"


def _gzipped_text(folder: Path) -> Path:
    (folder / "set.tar.gz").write_bytes(gzip.compress(b"words and more words"))
    return folder / "set.tar.gz"


def _twice(folder: Path) -> Path:
    path = ARCHIVES["tgz of one folder"](folder)
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def _two_of_train(folder: Path) -> Path:
    _split_archives(folder)
    other = next(path for path in folder.iterdir() if path.name.startswith("train"))
    other.rename(folder / "train.zip")
    _tar(folder / "train.tar", {"cat/000.png": FILES["train/cat/001.png"]})
    return folder


def _seven(folder: Path) -> Path:
    (folder / "set.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(50))
    return folder / "set.7z"


WRONG: Mapping[str, tuple[Callable[[Path], Path], str]] = {
    "encrypted": (_encrypted, "is encrypted"),
    "doubled": (_doubled, "train/cat/000.png twice"),
    "doubled in two spellings": (
        lambda folder: _zip(folder / "set.zip", {**FILES, "./train//cat/000.png": FILES["train/cat/001.png"]}),
        "train/cat/000.png twice",
    ),
    "two archives of train": (_two_of_train, "in: holds train.tar and train.zip of one split; name a folder with one"),
    "bomb": (_bomb, "unpack to 3,221,225,472"),
    "tar bomb": (_tar_bomb, "unpack to 3,221,225,472"),
    "damaged": (_damaged, "not a whole archive"),
    "cut zip": (_cut(ARCHIVES["zip"]), "not a whole archive"),
    "cut tgz": (_cut(ARCHIVES["tgz of one folder"]), "not a whole archive"),
    "cut tar.xz": (_cut(ARCHIVES["tar.xz"]), "not a whole archive"),
    "gzip of a text": (_gzipped_text, "what is in the gzip file is no tar, but"),
    "compressed twice": (_twice, "what is in the gzip file is no tar, but a gzip archive"),
    "7-Zip": (_seven, "is neither tar nor zip, but a 7-Zip archive (56 bytes); unpack it and name the folder"),
    "HTML": (_text, "is neither tar nor zip, but an HTML page (37 bytes)"),
}


@pytest.mark.image_data(
    "K",
    "folder: a zip that is encrypted, names a file twice, claims what no images have, or an archive that is not whole",
    "one line with what was seen, nothing left",
)
@pytest.mark.parametrize("case", WRONG)
def test_an_archive_that_cannot_be_used(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = WRONG[case]
    (tmp_path / "in").mkdir()
    archive = make(tmp_path / "in")
    fails(["folder", archive, tmp_path / "out"], capsys, f"{archive}: ", words)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.image_data(
    "K",
    "folder: interrupted while an archive is unpacked; a killed conversion left what it unpacked",
    "nothing is left",
)
def test_what_was_unpacked_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = _zip(tmp_path / "set.zip", FILES)
    partial = tmp_path / "out" / ".partial"
    (partial / "unpacked-1").mkdir(parents=True)
    (partial / "unpacked-1" / "x").write_bytes(b"x")
    for name in ("lock", "unpacked-2"):
        (partial / name).write_bytes(b"x")

    def interrupt(self: object, *arguments: object) -> bytes:
        assert any(path.name.startswith("unpacked-") for path in partial.iterdir())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipExtFile, "read", interrupt)
        assert main(["folder", str(archive), str(tmp_path / "out")]) == 130
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name != ".partial"] == []
    assert not partial.exists() or [path.name for path in partial.iterdir()] in ([], ["lock"])
    _converted(archive, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.image_data("K", "folder: a disk that turns out full while Parquet files are unpacked", "one line")
def test_a_disk_that_turns_out_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("tempfile.mkstemp", lambda prefix, dir: (full, "/dev/full"))
    fails(["folder", _parquet(tmp_path / "in"), tmp_path / "out"], capsys, "cannot be unpacked to", "No space left")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.image_data("K", "folder: a disk that fills while an archive is unpacked", "one line, nothing left")
@pytest.mark.parametrize("case", ["zip", "parquet"])
def test_a_full_disk(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    input = _parquet(tmp_path / "in") if case == "parquet" else ARCHIVES[case](tmp_path / "in")
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    fails(["folder", input, tmp_path / "out"], capsys, "unpacking it", "0.00 GB are free")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# Parquet


def _rows(split: str) -> list[dict[str, Any]]:
    return [
        {"image": {"bytes": content, "path": name.rpartition("/")[2]}, "label": CLASSES.index(name.split("/")[1])}
        for name, content in FILES.items()
        if name.startswith(split)
    ]


def _schema(names: Sequence[str] | None = CLASSES, label: pyarrow.DataType = None) -> pyarrow.Schema:
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {} if names is None else {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.schema([("image", image), ("label", label or pyarrow.int64())], metadata)


def _parquet(folder: Path, val: str = "validation", schema: pyarrow.Schema = None, parts: int = 2) -> Path:
    """As Hugging Face has it: data/train-00000-of-00002.parquet and so on."""
    data = folder / "data"
    data.mkdir(parents=True)
    for split, name in (("train", "train"), ("val", val)):
        rows = _rows(split)
        for part in range(parts):
            some = rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
            table = pyarrow.Table.from_pylist(some, schema or _schema())
            pyarrow.parquet.write_table(table, data / f"{name}-{part:05}-of-{parts:05}.parquet")
    return folder


@pytest.mark.image_data(
    "K",
    "folder: Parquet files of a set as Hugging Face has them; validation images called validation, valid, val or test",
    "converted as plain folders of the same files, to the byte; told if the split is called test",
)
@pytest.mark.parametrize("val", ["validation", "valid", "val", "test"])
def test_parquet_files(
    tmp_path: Path, expected: Mapping[str, bytes], val: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _parquet(tmp_path / "in", val) / "data"
    for name in ("extra.parquet", "x.parquet" if val == "test" else "test-00000-of-00001.parquet"):
        (data / name).write_bytes(b"another split")
    assert _converted(tmp_path / "in", tmp_path / "out") == expected
    sidecar = json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))
    assert sidecar["classes"] == list(CLASSES)
    err = capsys.readouterr().err
    assert ("the validation images are those of test-" in err) == (val == "test")
    assert f"data: not read: extra.parquet, {'test-00000-of-00001.parquet' if val != 'test' else 'x'}" in err


@pytest.mark.image_data(
    "K",
    "folder: Parquet files train/0000.parquet and test/0000.parquet, in a folder of the set's name",
    "as the others",
)
def test_parquet_files_in_folders_of_splits(
    tmp_path: Path, expected: Mapping[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    data = _parquet(tmp_path / "made", parts=1) / "data"
    for split, name in (("train", "train"), ("validation", "test")):
        (tmp_path / "in" / "default" / name).mkdir(parents=True)
        (data / f"{split}-00000-of-00001.parquet").rename(tmp_path / "in" / "default" / name / "0000.parquet")
    (tmp_path / "in" / "README.md").write_text("words")
    assert _converted(tmp_path / "in", tmp_path / "out") == expected
    assert "the validation images are those of test/0000.parquet" in capsys.readouterr().err
    one = tmp_path / "in" / "default" / "train" / "0000.parquet"
    fails(["folder", one, tmp_path / "other"], capsys, "0000.parquet: is one Parquet file; name the folder")


@pytest.mark.image_data(
    "K", "folder: Parquet files with two columns of classes, as CIFAR-100 has", "that of more classes, which is told"
)
def test_parquet_files_with_two_columns_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"coarse_label": ["animal", "bird"], "fine_label": list(CLASSES)}
    features = {column: {"names": classes, "_type": "ClassLabel"} for column, classes in names.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = [("img", pyarrow.binary()), ("coarse_label", pyarrow.int64()), ("fine_label", pyarrow.int64())]
    (tmp_path / "in").mkdir()
    for split in ("train", "val"):
        rows = [
            {"img": row["image"]["bytes"], "fine_label": row["label"], "coarse_label": row["label"] // 2}
            for row in _rows(split)
        ]
        table = pyarrow.Table.from_pylist(rows, pyarrow.schema(columns, metadata))
        pyarrow.parquet.write_table(table, tmp_path / "in" / f"{split}.parquet")
    _converted(tmp_path / "in", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))["classes"] == list(CLASSES)
    assert "labels are of the column fine_label, not coarse_label" in capsys.readouterr().err


def _changed(change: Callable[[list[dict[str, Any]]], object], schema: pyarrow.Schema = None) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rows = _rows("train")
        change(rows)
        _parquet(folder, parts=1)
        table = pyarrow.Table.from_pylist(rows, schema or _schema())
        pyarrow.parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
        return folder

    return make


def _missing(folder: Path) -> Path:
    (_parquet(folder) / "data" / "train-00001-of-00002.parquet").unlink()
    return folder


def _foreign(folder: Path) -> Path:
    (_parquet(folder) / "data" / "train-00001-of-00002.parquet").write_bytes(b"PAR1 and so on")
    return folder


WRONG_PARQUET: Mapping[str, tuple[Callable[[Path], Path], str]] = {
    "a part is missing": (_missing, "holds 1 files such as train-00000-of-00002.parquet, which are not the 2 parts"),
    "no Parquet": (_foreign, "train-00001-of-00002.parquet: cannot be read as Parquet (14 bytes)"),
    "no label": (_changed(lambda rows: rows[2].update(label=-1)), "row 2 has the label -1"),
    "a label too large": (_changed(lambda rows: rows[2].update(label=3)), "row 2 has the label 3"),
    "null": (_changed(lambda rows: rows[2].update(label=None)), "row 2 has the label None"),
    "texts beside names of classes": (
        _changed(lambda rows: [row.update(label="0") for row in rows], _schema(label=pyarrow.string())),
        "row 0 has the label '0', which is none of the classes",
    ),
    "no label, no names of classes": (
        _changed(lambda rows: rows[2].update(label=-1), _schema(None)),
        "row 2 has the label -1",
    ),
    "an empty label": (
        _changed(
            lambda rows: [row.update(label="ab"[row["label"] % 2] * (row["label"] > 0)) for row in rows],
            _schema(None, pyarrow.string()),
        ),
        "has the label ''",
    ),
    "no image": (_changed(lambda rows: rows[2]["image"].update(bytes=None)), "row 2 holds no image, only"),
}


@pytest.mark.image_data(
    "K", "folder: Parquet files of which one is missing, foreign, or has rows without image or label", "one line"
)
@pytest.mark.parametrize("case", WRONG_PARQUET)
def test_parquet_files_that_cannot_be_used(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = WRONG_PARQUET[case]
    fails(["folder", make(tmp_path / "in"), tmp_path / "out"], capsys, words)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.image_data(
    "K", "folder: Parquet files with labels as text, or images without names", "classes of the texts, or rows as names"
)
def test_parquet_files_without_hugging_faces_words(tmp_path: Path) -> None:
    image = pyarrow.binary()
    for split in ("train", "val"):
        rows = [{"image": row["image"]["bytes"], "label": CLASSES[row["label"]]} for row in _rows(split)]
        table = pyarrow.Table.from_pylist(rows, pyarrow.schema([("image", image), ("label", pyarrow.string())]))
        (tmp_path / "in").mkdir(exist_ok=True)
        pyarrow.parquet.write_table(table, tmp_path / "in" / f"{split}.parquet")
    _converted(tmp_path / "in", tmp_path / "out")
    sidecar = json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))
    assert (sidecar["classes"], sidecar["sizes"]) == (list(CLASSES), {"train": 9, "val": 6})


@pytest.mark.image_data(
    "K",
    "folder: archives and Parquet files damaged at random, some hundred",
    "read, or one line with the name of the file",
)
@pytest.mark.parametrize("case", ["zip", "tar", "tgz of one folder", "tar.xz", "parquet"])
def test_random_damage(tmp_path: Path, case: str) -> None:
    (tmp_path / "in").mkdir()
    if case == "parquet":
        input = _parquet(tmp_path / "in", parts=1)
        damaged = input / "data" / "train-00000-of-00001.parquet"
    else:
        input = damaged = ARCHIVES[case](tmp_path / "in")
    whole, stream, errors = damaged.read_bytes(), random.Random(0), list[str]()
    for number in range(60):
        content = bytearray(whole)
        start = stream.randrange(len(content))
        if number % 3 == 0:
            del content[start:]
        else:
            content[start : start + stream.choice((1, 4, 600))] = stream.randbytes(stream.choice((1, 4, 600)))
        damaged.write_bytes(content)
        source = Folder(input)
        source.scratch = tmp_path / str(number)
        source.scratch.mkdir()
        try:
            for split in SPLITS:
                for index in range(len(source.labels(split))):
                    source.image(split, index)
        except DataError as error:
            errors.append(str(error))
    assert len(errors) > 20
    assert all(line.startswith(str(input)) and "\n" not in line for line in errors)


@pytest.mark.image_data(
    "K", "folder: Parquet files beside folders of images", "the files are read; a note names the folders"
)
def test_folders_beside_parquet_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _parquet(tmp_path / "in") / "data"
    _write(root, FILES)
    assert main(["folder", str(root), str(tmp_path / "out")]) == 0
    assert "data: not read: train, val" in capsys.readouterr().err
