"""ImageNet's archives packed in other ways: the same images, labels and bytes, or one line that says what was seen."""

import gzip
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from data_helpers import fails

from benchmarks.imagenet_like import make
from randwire.data.convert import main
from randwire.data.sources._packed import Packed
from randwire.data.sources.imagenet import ImageNet
from randwire.errors import DataError

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"

pytestmark = pytest.mark.usefixtures("few_classes")


@pytest.fixture
def few_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageNet, "class_count", 3)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    make(folder, 12, 6, classes=3, side=40)
    return folder


@pytest.fixture(scope="module")
def expected(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The converted files of the archives as they were published."""
    output = tmp_path_factory.mktemp("expected") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageNet, "class_count", 3)
        return _converted(published, output)


def _converted(folder: Path, output: Path, *options: object) -> dict[str, bytes]:
    assert main(["imagenet", str(folder), str(output), *map(str, options)]) == 0
    return {split: (output / f"{split}.beton").read_bytes() for split in ("train", "val")}


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of the published files, to be changed."""
    return Path(shutil.copytree(published, tmp_path / "in"))


def _tar(files: Mapping[str, bytes], mode: str = "w", format: int = tarfile.PAX_FORMAT) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode, format=format) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            tar.addfile(member, io.BytesIO(content))
    return memory.getvalue()


def _members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def _gzipped(folder: Path) -> None:
    for name in (TRAIN_TAR, VAL_TAR):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), 1))
        (folder / name).unlink()


def _compressed(mode: str) -> Callable[[Path], None]:
    """Compressed, under the names of plain tars."""

    def change(folder: Path) -> None:
        for name in (TRAIN_TAR, VAL_TAR):
            (folder / name).write_bytes(_tar(_members(folder / name), mode))

    return change


def _zstd(folder: Path) -> None:
    for name in (TRAIN_TAR, VAL_TAR):
        memory = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(memory, "zstd") as packed:
            packed.write((folder / name).read_bytes())
        (folder / name).write_bytes(memory.getvalue().to_pybytes())


def _gzipped_inside(folder: Path) -> None:
    inside = _members(folder / TRAIN_TAR)
    packed = {f"./{name}.gz": gzip.compress(content) for name, content in inside.items()}
    (folder / TRAIN_TAR).write_bytes(_tar(packed))


def _all_gzipped(folder: Path) -> None:
    _gzipped_inside(folder)
    (folder / TRAIN_TAR).write_bytes(gzip.compress((folder / TRAIN_TAR).read_bytes()))


def _side_files(folder: Path) -> None:
    for name in (TRAIN_TAR, VAL_TAR):
        files = {"./": b"", "./.DS_Store": b"x", "._other": b"y"}
        for inside, content in _members(folder / name).items():
            files[f"./._{inside}"] = b"\0\5\26\7" + bytes(100)
            files[f"./{inside}"] = content
        (folder / name).write_bytes(_tar(files))


def _class_tars(suffix: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "train").mkdir()
        for name, content in _members(folder / TRAIN_TAR).items():
            packed = gzip.compress(content) if suffix else content
            (folder / "train" / f"{name}{suffix}").write_bytes(packed)
        (folder / TRAIN_TAR).unlink()

    return change


def _class_folders_in_tar(folder: Path) -> None:
    files = {}
    for name, content in _members(folder / TRAIN_TAR).items():
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file
                files[f"train/{name.removesuffix('.tar')}/{member.name}"] = file.read()
    (folder / "train.tar.gz").write_bytes(_tar(files, "w:gz"))
    (folder / TRAIN_TAR).unlink()


def _long_names(format: int) -> Callable[[Path], None]:
    """Paths for which the format needs further headers."""

    def change(folder: Path) -> None:
        for name in (TRAIN_TAR, VAL_TAR):
            files = {f"{'files/' * 40}{inside}": content for inside, content in _members(folder / name).items()}
            (folder / name).write_bytes(_tar(files, format=format))

    return change


PACKED: Mapping[str, Callable[[Path], None]] = {
    "gzipped": _gzipped,
    "gzip in a .tar": _compressed("w:gz"),
    "bzip2": _compressed("w:bz2"),
    "xz": _compressed("w:xz"),
    "zstd": _zstd,
    "gzipped class tars": _gzipped_inside,
    "gzipped class tars in a gzipped tar": _all_gzipped,
    "side files": _side_files,
    "long names of POSIX": _long_names(tarfile.PAX_FORMAT),
    "long names of GNU": _long_names(tarfile.GNU_FORMAT),
    "train/ of class tars": _class_tars(""),
    "train/ of gzipped class tars": _class_tars(".gz"),
    "class folders in a tar.gz": _class_folders_in_tar,
}


@pytest.mark.image_data(
    "H",
    "imagenet: archives or class tars gzipped (or bzip2, xz, zstd), `train/` of class tars, `./` and `._` entries",
    "converted as the published ones, to the byte",
)
@pytest.mark.parametrize("case", PACKED)
def test_archives_packed_otherwise_give_the_same_files(
    folder: Path, expected: Mapping[str, bytes], tmp_path: Path, case: str
) -> None:
    PACKED[case](folder)
    assert _converted(folder, tmp_path / "out") == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert len(list((tmp_path / "out").iterdir())) == 3


# Hugging Face


def _images(folder: Path) -> dict[str, list[tuple[str, str, bytes]]]:
    """The class, the name and the content of the images of both splits, in the order of their names."""
    labels = (folder / "synset_labels.txt").read_text().split()
    found: dict[str, list[tuple[str, str, bytes]]] = {"train": [], "val": []}
    for name, content in _members(folder / TRAIN_TAR).items():
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file
                found["train"].append((name[:9], member.name, file.read()))
    val = sorted(_members(folder / VAL_TAR).items())
    found["val"] = [(wnid, name, content) for wnid, (name, content) in zip(labels, val, strict=True)]
    return found


def _renamed(name: str, wnid: str) -> str:
    """As Hugging Face names the file."""
    return name.replace(".JPEG", f"_{wnid}.JPEG")


def _hugging_face_tars(folder: Path, output: Path) -> Path:
    images = _images(folder)
    output.mkdir()
    named = {split: {_renamed(name, wnid): content for wnid, name, content in images[split]} for split in images}
    train = list(named["train"].items())
    for part in range(2):
        (output / f"train_images_{part}.tar.gz").write_bytes(_tar(dict(train[part::2]), "w:gz"))
    (output / "val_images.tar.gz").write_bytes(_tar(named["val"], "w:gz"))
    return output


def _parquet(folder: Path, output: Path, change: Callable[[dict[str, object]], object] = lambda row: None) -> Path:
    """`change`: of the last row of each split."""
    images = _images(folder)
    classes = sorted({wnid for wnid, _, _ in images["train"]})
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features = {"label": {"names": ["tench", "goldfish", "shark"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pyarrow.schema([("image", image), ("label", pyarrow.int64())], metadata)
    output.mkdir()
    for split, name in (("train", "train"), ("val", "validation")):
        rows: list[dict[str, object]] = [
            {"image": {"bytes": content, "path": _renamed(name, wnid)}, "label": classes.index(wnid)}
            for wnid, name, content in images[split]
        ]
        change(rows[-1])
        for part in range(2):
            table = pyarrow.Table.from_pylist(rows[part::2], schema)
            pyarrow.parquet.write_table(table, output / f"{name}-{part:05}-of-00002.parquet")
    return output


@pytest.mark.image_data(
    "H",
    "imagenet: Hugging Face's Parquet files, and its older train_images_0.tar.gz ... val_images.tar.gz",
    "converted as the published archives, to the byte; labels from the names, which the numbers must agree with",
)
@pytest.mark.parametrize("below", [".", "data"])
@pytest.mark.parametrize("make", [_hugging_face_tars, _parquet])
def test_hugging_faces_files(
    published: Path, expected: Mapping[str, bytes], tmp_path: Path, below: str, make: Callable[[Path, Path], Path]
) -> None:
    made = make(published, tmp_path / "made")
    folder = made if below == "." else tmp_path / "in"
    if below != ".":
        folder.mkdir()
        made.rename(folder / below)
    assert _converted(folder, tmp_path / "out") == expected


WRONG_ROWS: Mapping[str, tuple[Callable[[dict[str, object]], object], str]] = {
    "another number": (lambda row: row.update(label=(int(str(row["label"])) + 1) % 3), "has the label"),
    "no name": (lambda row: row.update(image={**_image(row), "path": None}), "is named None"),
    "another name": (lambda row: row.update(image={**_image(row), "path": "1.jpg"}), "is named '1.jpg'"),
}


def _image(row: Mapping[str, object]) -> dict[str, object]:
    image = row["image"]
    assert isinstance(image, dict)
    return image


@pytest.mark.image_data(
    "H", "imagenet: a row of a Parquet file whose number is not that of the class in its name", "one line with its name"
)
@pytest.mark.parametrize("case", WRONG_ROWS)
def test_rows_whose_label_and_name_differ(
    published: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = WRONG_ROWS[case]
    fails(["imagenet", _parquet(published, tmp_path / "in", change), tmp_path / "out"], capsys, words)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.image_data("H", "imagenet: a link in an archive", "the image that it means; else left out and told")
@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_in_archives(folder: Path, tmp_path: Path, kind: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    files = _members(folder / VAL_TAR)
    first, second = list(files)[:2]
    files[second] = files[first]
    (folder / VAL_TAR).write_bytes(_tar({f"val/{name}": content for name, content in files.items()}))
    expected = _converted(folder, tmp_path / "copied")
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, target in ((second, first), ("broken.JPEG", "none.JPEG")):
            link = tarfile.TarInfo(f"val/{name}")
            link.type, link.linkname = kind, target if kind == tarfile.SYMTYPE else f"val/{target}"
            tar.addfile(link)
        for name in files.keys() - {second}:
            member = tarfile.TarInfo(f"val/{name}")
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))
    for name, content in (("plain", memory.getvalue()), ("gzipped", gzip.compress(memory.getvalue()))):
        (folder / VAL_TAR).write_bytes(content)
        capsys.readouterr()
        assert _converted(folder, tmp_path / name) == expected
        assert "left out of val: 1 link to what is not in the archive" in capsys.readouterr().err


@pytest.mark.image_data(
    "H", "imagenet: links to links in an archive, also in a circle", "followed; a circle is left out"
)
def test_links_to_links(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, target in (("c", "b"), ("b", "a"), ("d", "e"), ("e", "d")):
            link = tarfile.TarInfo(f"{name}.png")
            link.type, link.linkname = tarfile.SYMTYPE, f"{target}.png"
            tar.addfile(link)
        member = tarfile.TarInfo("a.png")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    packed = Packed(None)
    packed.add(tmp_path / "a.tar")
    assert packed.extents["a.png"] == packed.extents["b.png"] == packed.extents["c.png"]
    assert list(packed.left_out.values()) == [["d.png", "e.png"]]


@pytest.mark.image_data(
    "H", "imagenet: an archive that must be unpacked, with --estimate", "one line: only a conversion unpacks it"
)
def test_an_estimate_of_what_must_be_unpacked_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _gzipped(folder)
    fails(["imagenet", folder, "--estimate"], capsys, f"{TRAIN_TAR}.gz: is packed", "--estimate")


DAMAGED: Mapping[str, tuple[Callable[[bytes], bytes], tuple[str, ...]]] = {
    "cut gzip": (lambda tar: gzip.compress(tar)[:-5000], ("not a whole archive", "bytes")),
    "cut between files": (lambda tar: tar[: _inside(tar)[1].offset], ("ends without the end mark",)),
    "header damaged": (lambda tar: _with_damaged_header(tar), ("not a whole archive", "header")),
    "two in one": (lambda tar: tar + tar, ("not a whole archive", "follow its end mark")),
    "PNG": (lambda tar: b"\x89PNG\r\n\x1a\n" + bytes(9), ("is neither tar nor zip, but a PNG image (17 bytes)",)),
    "zeros": (lambda tar: bytes(len(tar)), ("is neither tar nor zip, but",)),
}


def _inside(tar: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return opened.getmembers()


def _with_damaged_header(tar: bytes) -> bytes:
    start = _inside(tar)[1].offset
    return tar[:start] + b"?" * 512 + tar[start + 512 :]


@pytest.mark.image_data(
    "H",
    "imagenet: an archive that is cut (also between two of its files), damaged, doubled or foreign",
    "one line: what was seen, and how many bytes",
)
@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("name", [TRAIN_TAR, VAL_TAR])
def test_an_archive_that_is_not_whole_is_refused(
    folder: Path, tmp_path: Path, case: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = DAMAGED[case]
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    fails(["imagenet", folder, tmp_path / "out"], capsys, f"{folder / name}: ", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# Where the files are


def _unpack(folder: Path, train: Path, val: Path) -> None:
    """The images of archives in class folders and in one folder, in the place of the archives."""
    for wnid, name, content in _images(folder)["train"]:
        (train / wnid).mkdir(parents=True, exist_ok=True)
        (train / wnid / name).write_bytes(content)
    val.mkdir(parents=True)
    for name, content in _members(folder / VAL_TAR).items():
        (val / name).write_bytes(content)
    (folder / TRAIN_TAR).unlink()
    (folder / VAL_TAR).unlink()


def _kaggle(folder: Path) -> None:
    root = folder / "ILSVRC" / "Data" / "CLS-LOC"
    lines = [f"{name.removesuffix('.JPEG')},{wnid} 1 2 30 40" for wnid, name, _ in _images(folder)["val"]]
    _unpack(folder, root / "train", root / "val")
    for path in list(folder.glob("*label*")) + list(folder.glob("*devkit*")):
        path.unlink()
    (root / "test").mkdir()
    (root / "test" / "ILSVRC2012_test_00000001.JPEG").write_bytes(b"x")
    (folder / "ILSVRC" / "Annotations" / "CLS-LOC").mkdir(parents=True)
    (folder / "ILSVRC" / "Annotations" / "CLS-LOC" / "x.xml").write_bytes(b"<x/>")
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]))
    (folder / "LOC_synset_mapping.txt").write_text("n00000001 thing")


@pytest.mark.image_data(
    "H",
    "imagenet: Kaggle's files, INPUT being their folder, its ILSVRC, the folder CLS-LOC or the archive, zip or tar.gz",
    "converted as the published archives, to the byte",
)
@pytest.mark.parametrize("input", [".", "ILSVRC", "ILSVRC/Data/CLS-LOC", "zip", "tar.gz"])
def test_kaggles_files(folder: Path, expected: Mapping[str, bytes], tmp_path: Path, input: str) -> None:
    _kaggle(folder)
    path = folder / input
    files = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    if input == "zip":
        path = tmp_path / "imagenet-object-localization-challenge.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif input == "tar.gz":
        path = tmp_path / "imagenet_object_localization_patched2019.tar.gz"
        path.write_bytes(_tar(files, "w:gz"))
    assert _converted(path, tmp_path / "out") == expected
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.image_data(
    "H", "imagenet: INPUT is one of the published archives", "one line: name the folder, or the option for it"
)
@pytest.mark.parametrize(("name", "split"), [(TRAIN_TAR, "train"), (VAL_TAR, "val")])
def test_input_is_one_archive(
    folder: Path, tmp_path: Path, name: str, split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(["imagenet", folder / name, tmp_path / "out"], capsys, f"archive of {split} images alone", f"--{split}-tar")
    folders = {f"{wnid}/{name}": content for wnid, name, content in _images(folder)["train"]}
    (folder / "folders.tar.gz").write_bytes(_tar(folders, "w:gz"))
    fails(["imagenet", folder / "folders.tar.gz", tmp_path / "out"], capsys, "archive of train images alone")
    (folder / "text.txt").write_text("words")
    fails(["imagenet", folder / "text.txt", tmp_path / "out"], capsys, "text.txt: is neither tar nor zip, but")


KIT = "ILSVRC2012_devkit_t12"


def _kit(folder: Path, name: str, mode: str = "", top: str = KIT) -> None:
    """The development kit alone, packed otherwise or unpacked."""
    files = {name.replace(KIT, top, 1): content for name, content in _regular(folder / f"{KIT}.tar.gz").items()}
    for path in (folder / "synset_labels.txt", folder / f"{KIT}.tar.gz"):
        path.unlink()
    if mode:
        (folder / name).write_bytes(_tar(files, mode))
        return
    for inside, content in files.items():
        path = folder / name / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _regular(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


KITS: Mapping[str, tuple[str, str, str]] = {
    "tar": (f"{KIT}.tar", "w", KIT),
    "tgz": (f"{KIT}.tgz", "w:gz", KIT),
    "fetched twice": (f"{KIT} (1).tar.gz", "w:gz", KIT),
    "in a folder": ("devkit", "", KIT),
    "unpacked": (".", "", KIT),
    "unpacked without its folder": (".", "", "."),
}


@pytest.mark.image_data(
    "H",
    "imagenet: the development kit as .tar, .tgz, `ILSVRC2012_devkit_t12 (1).tar.gz`, in folder devkit, or its data/",
    "found, converted as with the published one, to the byte",
)
@pytest.mark.parametrize("case", KITS)
def test_the_development_kit_under_other_names(
    folder: Path, expected: Mapping[str, bytes], tmp_path: Path, case: str
) -> None:
    _kit(folder, *KITS[case])
    assert _converted(folder, tmp_path / "out") == expected


@pytest.mark.image_data("H", "imagenet: the development kit of task 3", "refused by its name; which one is needed")
@pytest.mark.parametrize("name", ["ILSVRC2012_devkit_t3.tar.gz", "kit.tar.gz"])
def test_the_development_kit_of_another_task(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _kit(folder, name, "w:gz", "ILSVRC2012_devkit_t3")
    words = "is ILSVRC2012_devkit_t3", "ILSVRC2012_devkit_t12"
    fails(["imagenet", folder, tmp_path / "out", "--val-labels", folder / name], capsys, *words)


@pytest.mark.image_data(
    "H",
    "imagenet: class tars in `train/` beside the folders that they were unpacked to; some not unpacked; a class twice",
    "the folders, if they hold all; else refused with the first that is missing",
)
def test_class_tars_beside_class_folders(
    folder: Path, expected: Mapping[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tars = _members(folder / TRAIN_TAR)
    _unpack(folder, folder / "train", folder / "val")
    for name, content in tars.items():
        (folder / "train" / name).write_bytes(content)
    assert _converted(folder, tmp_path / "out") == expected
    first = next(iter(tars))
    lost = next((folder / "train" / first[:9]).iterdir())
    lost.unlink()
    fails(["imagenet", folder, tmp_path / "other"], capsys, f"{lost.name} of {first} is in no folder")
    (folder / "train" / f"{first}.gz").write_bytes(gzip.compress(tars[first]))
    fails(["imagenet", folder, tmp_path / "other"], capsys, f"{first} and {first}.gz of one class")


@pytest.mark.image_data(
    "H", "imagenet: side files, a text and junk folders beside flat validation images", "left out and told, not images"
)
def test_stray_files_beside_flat_validation_images(
    folder: Path, expected: Mapping[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _unpack(folder, folder / "train", folder / "val")
    for name in ("._ILSVRC2012_val_00000001.JPEG", "Thumbs.db", "readme.txt", "valprep.sh"):
        (folder / "val" / name).write_bytes(b"words and more words")
    for name in ("__MACOSX", "@eaDir", ".thumbnails", "empty"):
        (folder / "val" / name).mkdir()
        if name != "empty":
            (folder / "val" / name / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"x")
    assert _converted(folder, tmp_path / "out") == expected
    assert "left out of val: " in capsys.readouterr().err


@pytest.mark.image_data(
    "H", "imagenet: folders ILSVRC2012_img_train and ILSVRC2012_img_val, or train and validation", "found"
)
@pytest.mark.parametrize(
    ("train", "val"),
    [("ILSVRC2012_img_train", "ILSVRC2012_img_val"), ("train", "validation")],
    ids=["archives", "splits"],
)
def test_folders_called_as_the_archives_or_splits(
    folder: Path, expected: Mapping[str, bytes], tmp_path: Path, train: str, val: str
) -> None:
    _unpack(folder, folder / train, folder / val)
    assert _converted(folder, tmp_path / "out") == expected


@pytest.mark.image_data(
    "H",
    "imagenet: an archive of both splits as that of one; the same images in two archives; a pipe",
    "refused in one line",
)
def test_archives_that_would_be_mixed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = {
        f"{split}/{wnid}/{name}": content
        for split in ("train", "val")
        for wnid, name, content in _images(folder)[split]
    }
    (folder / "all.tar").write_bytes(_tar(both))
    fails(
        ["imagenet", folder, tmp_path / "out", "--train-tar", folder / "all.tar"], capsys, "holds folders train and val"
    )
    made = _hugging_face_tars(folder, tmp_path / "made")
    shutil.copy(made / "train_images_0.tar.gz", made / "train_images_2.tar.gz")
    fails(
        ["imagenet", made, tmp_path / "out"], capsys, "train_images_2.tar.gz: holds ", "another of the archives holds"
    )
    (made / "train_images_1.tar.gz").unlink()
    fails(["imagenet", made, tmp_path / "out"], capsys, "number 1 is missing")
    os.mkfifo(tmp_path / "pipe")
    fails(["imagenet", folder, tmp_path / "out", "--val-tar", tmp_path / "pipe"], capsys, "pipe: is no regular file")


@pytest.mark.image_data("H", "imagenet: INPUT is missing, a file, or holds something else", "what is there instead")
def test_what_input_is(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(["imagenet", tmp_path / "none", tmp_path / "out"], capsys, "none: no such folder")
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    fails(["imagenet", tmp_path / "photos", tmp_path / "out"], capsys, "photos: holds no ", "it holds cats")


@pytest.mark.image_data(
    "H", "an archive that becomes shorter while it is converted", "the first image that it lacks is named"
)
def test_an_archive_that_becomes_shorter(folder: Path) -> None:
    source = ImageNet(folder)
    numbers = range(len(source.labels("train")))
    os.truncate(folder / TRAIN_TAR, 4096)
    for number in numbers:
        with pytest.raises(DataError, match=f"/{source.name('train', number)}: .* has become shorter since"):
            source.image("train", number)
