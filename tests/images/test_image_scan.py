"""What is an image in folders, what is left out, and that nothing is left out without a word."""

import io
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from data_helpers import fails
from PIL import Image

from randwire.data.convert import main
from randwire.data.sources._scan import LOOPS
from randwire.data.sources._sift import HIDDEN_FILES, HIDDEN_FOLDERS, JUNK

pytestmark = pytest.mark.filterwarnings("ignore:IM image format:DeprecationWarning")

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(80)


def picture(format: str, seed: int = 0) -> bytes:
    """A small picture of its own colours, 12x9 pixels."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)).save(file, format)
    return file.getvalue()


JPEG, PNG = picture("JPEG"), picture("PNG")


def write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source with two classes of one image each in both splits."""
    root = tmp_path / "in"
    write(root, {f"{split}/{name}/0.jpg": JPEG for split in ("train", "val") for name in ("cat", "dog")})
    return root


def convert(folder: Path, *options: str) -> tuple[int, Mapping[str, int]]:
    """Convert it: the number of training images, and of what was left out of them by the reason."""
    output = folder.parent / "out"
    assert main(["folder", str(folder), str(output), "--mode", "raw", *options]) == 0
    sidecar = json.loads((output / "dataset.json").read_text(encoding="utf-8"))
    return sidecar["sizes"]["train"], sidecar["left_out"]["train"]


UNUSUAL = {
    "a.jfif": "JPEG",
    "a.jpe": "JPEG",
    "a.avif": "AVIF",
    "a.jp2": "JPEG2000",
    "a.tga": "TGA",
    "a.ico": "ICO",
    "a.qoi": "QOI",
    "a.pcx": "PCX",
    "a.sgi": "SGI",
    "a.dds": "DDS",
    "a.im": "IM",
    "a.dib": "DIB",
    "a.icns": "ICNS",
    "without_suffix": "PNG",
    "called_text.txt": "GIF",
    "called_heic.heic": "JPEG",
    "backup.jpg~": "JPEG",
    "a.bak": "BMP",
    "unknown.xyz": "WEBP",
    "b.dat": "TIFF",
    "c.0001": "PPM",
    "LOUD.JFIF": "JPEG",
}


@pytest.mark.image_data(
    "B", "`.jfif`, `.avif`, `.jp2`, `.tga`, any other suffix or none", "read, whatever the suffix: the content decides"
)
def test_the_content_decides_what_is_an_image(folder: Path) -> None:
    write(folder / "train" / "cat", {name: picture(format, 1) for name, format in UNUSUAL.items()})
    assert convert(folder) == (2 + len(UNUSUAL), {})


@pytest.mark.image_data("B", "a class whose images are all `.jfif`", "a class like others")
def test_a_class_of_an_unusual_suffix(folder: Path) -> None:
    for split in ("train", "val"):
        (folder / split / "cat" / "0.jpg").rename(folder / split / "cat" / "0.jfif")
    assert convert(folder) == (2, {})


FOREIGN = {
    "HEIC images": ("IMG_1.heic", HEIC),
    "JPEG XL images": ("a.jxl", b"\xff\x0a" + bytes(30)),
    "SVG drawings": ("a.svg", b'<?xml version="1.0"?><svg/>'),
    "PDF documents": ("a.pdf", b"%PDF-1.4\n"),
    "MP4 videos": ("a.mp4", b"\x00\x00\x00\x18ftypisom" + bytes(12)),
    "raw photographs (NEF)": ("a.nef", b"MM\x00*" + bytes(100)),
    "raw photographs (CR2)": ("a.cr2", b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(100)),
    "zip archives": ("a.zip", b"PK\x03\x04" + bytes(30)),
    "Git LFS pointers": ("a", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "NumPy arrays": ("a.npy", b"\x93NUMPY\x01\x00"),
    "HDF5 files": ("a.h5", b"\x89HDF\r\n\x1a\n"),
    "HTML pages": ("index.html", b"<!DOCTYPE html><html>"),
    "empty files": ("empty", b""),
    "files of no known kind": ("weights.bin", bytes(range(100))),
    "text files": ("notes.txt", b"two cats\n"),
}


@pytest.mark.image_data(
    "B", "HEIC, JPEG XL, raw photographs, videos, archives, texts", "left out by their kind, counted in dataset.json"
)
def test_what_cannot_be_read_is_left_out_by_its_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "train" / "cat", dict(FOREIGN.values()))
    assert convert(folder) == (2, dict.fromkeys(FOREIGN, 1))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out of train: ")]
    assert "left out of train: 1 HEIC image, cat/IMG_1.heic" in told
    assert told[-1] == "left out of train: 9 more, of 9 other kinds, which dataset.json names"
    assert len(told) == 7


@pytest.mark.image_data("B", "12 HEIC images", "told in one line with an example")
def test_several_of_a_kind_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "train" / "cat", {f"IMG_{number:02}.heic": HEIC for number in range(12)})
    convert(folder)
    assert "left out of train: 12 HEIC images, such as cat/IMG_00.heic\n" in capsys.readouterr().err


@pytest.mark.image_data(
    "B", "a class that holds HEIC images alone", "refused with what it holds; no advice to remove it"
)
def test_a_class_without_a_readable_image_is_told_what_it_holds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "train" / "owl", {"a/1.heic": HEIC, "a/2.heic": HEIC, ".DS_Store": b"x"})
    arguments = ["folder", folder, folder.parent / "out"]
    fails(arguments, capsys, "train/owl: holds no image that can be read here, but 2 HEIC images and 1 side file")
    assert main([str(argument) for argument in arguments]) == 2
    assert "remove" not in capsys.readouterr().err


@pytest.mark.image_data("B", "an empty class folder", "refused: it is empty")
def test_an_empty_class(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train" / "owl").mkdir()
    fails(["folder", folder, folder.parent / "out"], capsys, "train/owl: holds no image: it is empty")


@pytest.mark.image_data("B", "hidden files, a class with a leading dot", "left out as hidden, and counted")
def test_hidden_entries_are_counted(folder: Path) -> None:
    write(folder / "train", {"cat/.a.jpg": JPEG, ".owl/0.jpg": JPEG, "cat/.IMG_2.JPG.icloud": b"bplist00"})
    hidden = {HIDDEN_FILES: 1, HIDDEN_FOLDERS: 1, "files that iCloud has not loaded": 1}
    assert convert(folder) == (2, hidden)


SIDE_FILES = (
    *("cat/.DS_Store", "cat/._0.jpg", "cat/Thumbs.db", "cat/ehthumbs.db", "cat/desktop.ini", "cat/.nfs0000a1"),
    *("cat/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", "cat/.@__thumb/0.jpg", "cat/.thumbnails/0.jpg", "@Recycle/0.jpg"),
    *("#recycle/0.jpg", "__MACOSX/cat/._0.jpg", "$RECYCLE.BIN/0.jpg", "System Volume Information/x", "lost+found/0"),
    *(".Trash-1000/0.jpg", ".Spotlight-V100/x", ".fseventsd/x", ".TemporaryItems/x", ".AppleDouble/0.jpg"),
    *("cat/0.jpg:Zone.Identifier", "cat/0.jpg\uf03aZone.Identifier", "cat/0.jpg@SynoResource", "cat/0.THM"),
    *("cat/.directory", "cat/.picasa.ini", "cat/.ipynb_checkpoints/0.jpg", ".git/HEAD", ".snapshot/0.jpg"),
)


@pytest.mark.image_data(
    "B", "thumbnails, recycle bins, `.DS_Store` and others", "side files of systems and tools: no images, one count"
)
def test_side_files_of_systems_are_no_images(folder: Path) -> None:
    write(folder / "train", dict.fromkeys(SIDE_FILES, JPEG))
    assert convert(folder) == (2, {JUNK: len(SIDE_FILES)})


@pytest.mark.image_data("B", "links to images and to folders of images", "followed")
def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "disk", {"more/1.jpg": JPEG, "more/inside/2.jpg": JPEG})
    (folder / "train" / "cat" / "more").symlink_to(tmp_path / "disk" / "more")
    (folder / "train" / "cat" / "3.jpg").symlink_to("0.jpg")
    (folder / "train" / "owl").symlink_to(tmp_path / "disk")
    assert convert(folder) == (7, {})


@pytest.mark.image_data("B", "a link to a folder above it, at any height", "left out; no image is taken twice")
def test_a_link_upwards_is_no_loop(folder: Path) -> None:
    (folder / "train" / "cat" / "here").symlink_to(".")
    (folder / "train" / "cat" / "up").symlink_to("..")
    (folder / "train" / "cat" / "input").symlink_to(folder)
    (folder / "train" / "cat" / "root").symlink_to("/")
    assert convert(folder) == (2, {LOOPS: 4})


@pytest.mark.image_data("B", "a link that leads nowhere, or to itself", "a bad image: named, or skipped if chosen")
@pytest.mark.parametrize("target", ["gone.jpg", "bad.jpg"])
def test_a_broken_link_is_a_bad_image(folder: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train" / "cat" / "bad.jpg").symlink_to(target)
    fails(["folder", folder, folder.parent / "out"], capsys, "train/cat/bad.jpg: cannot be read: ")
    assert convert(folder, "--corrupt", "skip") == (2, {})


@pytest.mark.image_data("B", "a link to a class folder that is not there", "refused: a class would be missing")
def test_a_broken_link_to_a_class(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train" / "owl").symlink_to("/unmounted/owl")
    fails(
        ["folder", folder, folder.parent / "out"], capsys, "train/owl: is a link to /unmounted/owl, which is not there"
    )


@pytest.fixture
def locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a class that may not be listed."""
    path = folder / "train" / "cat" / "locked"
    write(path, {"1.jpg": JPEG})
    listed = os.scandir

    def refusing(inside: bytes) -> Iterator["os.DirEntry[bytes]"]:
        if inside == os.fsencode(path):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(inside)

    monkeypatch.setattr("randwire.data.sources._scan.os.scandir", refusing)
    return path


@pytest.mark.image_data("B", "a folder that may not be listed", "a bad image: named, or skipped if chosen")
def test_a_folder_that_cannot_be_listed_is_a_bad_image(
    folder: Path, locked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(
        ["folder", folder, folder.parent / "out"],
        capsys,
        f"{locked}: cannot be read: it is a folder that could not be listed",
    )
    assert convert(folder, "--corrupt", "skip") == (2, {})


@pytest.mark.image_data("B", "named pipes and sockets among images", "left out, and never opened")
def test_pipes_and_sockets_are_not_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "train" / "cat")  # the path of a socket must be short
    os.mkfifo("pipe.jpg")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        assert convert(folder) == (2, {"named pipes": 2, "sockets": 1})


@pytest.mark.image_data("B", "pictures and texts beside the class folders", "left out, and told")
def test_files_outside_of_the_class_folders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "train", {"loose.jpg": JPEG, "loose": PNG, "README.md": b"# Cats\n"})
    assert convert(folder) == (2, {"images outside of the class folders": 2, "text files": 1})
    assert "2 images outside of the class folders, such as loose\n" in capsys.readouterr().err


@pytest.mark.image_data("B", "pictures in `train` and no class folder", "refused with what is there")
def test_images_without_a_class_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog"):
        (folder / "train" / name / "0.jpg").rename(folder / "train" / f"{name}.jpg")
        (folder / "train" / name).rmdir()
    words = "train: holds no class folders with images, but 2 images outside of the class folders"
    fails(["folder", folder, folder.parent / "out"], capsys, words)


@pytest.mark.image_data("B", "`train` is a link that leads nowhere", "told as such among what is there")
def test_a_broken_link_to_a_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train").rename(folder / "elsewhere")
    (folder / "train").symlink_to("unmounted")
    fails(["folder", folder, folder.parent / "out"], capsys, "train (a link that leads nowhere)")


TEXTS = {
    "bmw.txt": b"BMW makes cars\n",
    "plan": b"P1 is due today\n",
    "code.c": b"#define WIDE 3\nint a;\n",
    "style.css": b"/* colours */ a { }\n",
    "a.md": b"GIF and PNG\n",
}


@pytest.mark.image_data("B", "texts that begin like an image: `BM`, `P1`, `#define`", "texts")
def test_texts_with_the_first_letters_of_images(folder: Path) -> None:
    write(folder / "train" / "cat", TEXTS)
    assert convert(folder) == (2, {"text files": len(TEXTS)})


@pytest.mark.image_data("B", "an image that is damaged, whatever its suffix", "a bad image, not one that is left out")
@pytest.mark.parametrize(
    ("name", "kind"), [("bad.jpg", "JPEG"), ("bad.jfif", "JPEG"), ("bad", "JPEG"), ("bad.tga", "TGA")]
)
def test_a_damaged_image_is_not_left_out(
    folder: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "train" / "cat", {name: picture(kind)[:200]})
    fails(["folder", folder, folder.parent / "out"], capsys, f"train/cat/{name}: ", f"a {kind} image")


@pytest.mark.image_data("B", "EPS where ghostscript is not installed", "left out by its kind")
def test_what_pillow_cannot_decode_here_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from randwire.data import formats

    monkeypatch.setattr("PIL.EpsImagePlugin.has_ghostscript", lambda: False)
    formats._decodable.cache_clear()
    write(folder / "train" / "cat", {"a.eps": picture("EPS"), "a.wmf": b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(40)})
    assert convert(folder) == (2, {"EPS images": 1, "Windows metafile images": 1})
    formats._decodable.cache_clear()


@pytest.mark.image_data("B", "the same files in an archive", "judged as in folders")
def test_members_of_archives_are_judged_as_files(folder: Path) -> None:
    write(folder / "train" / "cat", {**dict(FOREIGN.values()), **TEXTS, "without_suffix": PNG, ".b.jpg": JPEG})
    write(
        folder / "train", {**dict.fromkeys(SIDE_FILES, JPEG), ".owl/0.jpg": JPEG, "loose.jpg": JPEG, "__MACOSX/a": b""}
    )
    images, left_out = convert(folder)
    assert (images, sum(left_out.values())) == (3, 3 + len(FOREIGN) + len(TEXTS) + len(SIDE_FILES))
    packed = shutil.make_archive(str(folder.parent / "packed"), "gztar", folder)
    assert convert(Path(packed), "--force") == (images, left_out)
