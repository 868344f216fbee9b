"""ImageNet, the ILSVRC 2012 classification set: 1,281,167 and 50,000 photographs, 1,000 classes."""

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from randwire.data.sources._base import Option, Source, Split
from randwire.data.sources._index import Index, class_folders
from randwire.data.sources._scan import scan
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN_TAR, VAL_TAR, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12"
LABELS = ("synset_labels.txt", "imagenet_2012_validation_synset_labels.txt", f"{DEVKIT}.tar.gz", DEVKIT)
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
WNID = re.compile(r"n\d{8}")
PUBLISHED_IMAGES = {"train": 1_281_167, "val": 50_000}


class ImageNet(Source):
    """The two archives as they were published, from which nothing is unpacked, or their files in folders.

    INPUT, if given, holds ILSVRC2012_img_train.tar, or train/ with a folder for each class; ILSVRC2012_img_val.tar, or
    val/ with folders or all images; and, but for folders in val/, the labels: synset_labels.txt with the WordNet ID of
    each validation image in the order of the files' names, or the development kit (ILSVRC2012_devkit_t12.tar.gz or its
    folder). The options name what is elsewhere. Classes are sorted by WordNet ID.
    """

    class_count = 1000
    train_images = PUBLISHED_IMAGES["train"]
    holdout = 10_000
    mode = "jpg"
    max_side = 500
    of_files = True
    upright = False
    options = {
        "train_tar": Option(f"{TRAIN_TAR}: a tar of a tar for each class"),
        "val_tar": Option(VAL_TAR),
        "val_labels": Option("labels of the validation images: synset_labels.txt or the development kit"),
    }

    def class_names(self) -> Sequence[str]:
        return self._train[0]

    def labels(self, split: Split) -> "NDArray[np.integer]":
        return self._index(split).labels

    def image(self, split: Split, index: int) -> bytes:
        return self._index(split).read(index)

    def name(self, split: Split, index: int) -> str:
        return self._index(split).names[index]

    def left_out(self, split: Split) -> Mapping[str, Sequence[str]]:
        return self._index(split).left_out

    def notes(self) -> list[str]:
        counts = {"train": len(self._train[1].labels), "val": len(self._val.labels)}
        return [
            f"{counts[split]:,} {split} images; the published set has {published:,}"
            for split, published in PUBLISHED_IMAGES.items()
            if counts[split] != published
        ]

    def _index(self, split: Split) -> Index:
        return self._train[1] if split == "train" else self._val

    def _path(self, option: str, *names: str) -> Path:
        """What an option names, or the first of `names` that INPUT holds."""
        if option in self.given:
            given = Path(self.given[option])
            if not given.exists():
                raise DataError(f"{given}: no such file (--{option.replace('_', '-')})")
            return given
        if self.input is None:
            raise DataError(f"imagenet: needs INPUT or --{option.replace('_', '-')}; see imagenet --help")
        for name in names:
            if (self.input / name).exists():
                return self.input / name
        raise DataError(f"{self.input}: holds no {' or '.join(names)} (or use --{option.replace('_', '-')})")

    @cached_property
    def _train(self) -> tuple[list[str], Index]:
        path = self._path("train_tar", TRAIN_TAR, "train")
        classes, index = class_folders(path) if path.is_dir() else _train_tar(path)
        if wrong := [name for name in classes if not WNID.fullmatch(name)]:
            raise DataError(f"{path}: {wrong[0]} is not a class of ImageNet such as n01440764; use the source folder")
        if len(classes) != self.class_count:
            raise DataError(f"{path}: holds {len(classes)} classes, ImageNet has 1000; use the source folder")
        return classes, index.shuffled()

    @cached_property
    def _val(self) -> Index:
        import numpy as np

        classes = self._train[0]
        path = self._path("val_tar", VAL_TAR, "val")
        if path.is_dir() and any(inside.is_dir() for inside in path.iterdir()):
            return class_folders(path, classes)[1].shuffled()
        if path.is_dir():
            names, extents = list(scan(path).images), None
        else:
            with _whole(path), tarfile.open(path, "r:") as tar:
                members = {member.name.rpartition("/")[2]: member for member in tar if member.isfile()}
            names = sorted(members)
            ranges = [(0, members[name].offset_data, members[name].size) for name in names]
            extents = np.array(ranges, np.int64).reshape(-1, 3)
        if not names:
            raise DataError(f"{path}: holds no images")
        source, wnids = self._val_wnids(path)
        if len(wnids) != len(names):
            raise DataError(f"{source}: {len(wnids)} labels for the {len(names)} images of {path}")
        number = {wnid: label for label, wnid in enumerate(classes)}
        if foreign := [wnid for wnid in wnids if wnid not in number]:
            raise DataError(f"{source}: {foreign[0]!r} is not the WordNet ID of a class of the training images")
        labels = np.array([number[wnid] for wnid in wnids], np.int32)
        return Index(path, names, labels, extents, [path]).shuffled()

    def _val_wnids(self, path: Path) -> tuple[Path, list[str]]:
        if self.input is None and "val_labels" not in self.given:
            beside = next((path.parent / name for name in LABELS if (path.parent / name).exists()), None)
            if beside is None:
                raise DataError(f"imagenet: the labels of {path} are missing: name them with --val-labels")
            source = beside
        else:
            source = self._path("val_labels", *LABELS)
        if source.is_file() and source.suffix == ".txt":
            lines = source.read_text(errors="replace").split()
            if lines and lines[0].isdecimal():
                raise DataError(
                    f"{source}: holds numbers of an order of their own; name the whole development kit, {DEVKIT}.tar.gz"
                )
            return source, lines
        return source, _devkit_wnids(source)


def _train_tar(path: Path) -> tuple[list[str], Index]:
    """The classes of a tar of a tar for each class, sorted, and where their images are in it."""
    import numpy as np
    from tqdm import tqdm

    labels, names, extents = [], [], []
    with _whole(path), open(path, "rb") as file, tarfile.TarFile(fileobj=file) as outer:
        inner = {}
        for member in outer:
            name = member.name.rpartition("/")[2]
            if not re.fullmatch(rf"{WNID.pattern}\.tar", name):
                raise DataError(
                    f"{path}: holds {member.name}, where a tar for each class, such as n01440764.tar, is due"
                )
            inner[name[:9]] = member
        classes = sorted(inner)
        for label, wnid in enumerate(tqdm(classes, desc=f"index of {path.name}", unit=" classes", disable=None)):
            start, end = inner[wnid].offset_data, inner[wnid].offset_data + inner[wnid].size
            for member in _members(file, start, end, f"{path}: {wnid}.tar"):
                labels.append(label)
                names.append(member.name.rpartition("/")[2])
                extents.append((0, member.offset_data, member.size))
    return classes, Index(path, names, np.array(labels, np.int32), np.array(extents, np.int64).reshape(-1, 3), [path])


def _members(file: IO[bytes], start: int, end: int, name: str) -> Iterator[tarfile.TarInfo]:
    """The files of a tar that stands from `start` to `end` in another one, with their offsets in the outer file."""
    file.seek(start)
    count = 0
    for member in tarfile.TarFile(fileobj=file):
        if member.isfile():
            if member.offset_data + member.size > end:
                raise DataError(f"{name} is damaged: {member.name} exceeds it; fetch the archive again")
            count += 1
            yield member
    if not count:
        raise DataError(f"{name} holds no images")


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise DataError(f"{path}: is not a whole tar file ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _devkit_wnids(source: Path) -> list[str]:
    """The WordNet ID of each validation image, from the development kit, whose numbers have an order of their own."""
    import io

    from scipy.io import loadmat

    truth, meta = _devkit_files(source)
    try:
        rows: Any = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        wnid = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
        return [wnid[int(number)] for number in truth.split()]
    except Exception as error:  # a damaged file can make the reader raise anything
        raise DataError(f"{source}: {META} or {TRUTH} is damaged ({error!r}); fetch it again") from None


def _devkit_files(source: Path) -> tuple[bytes, bytes]:
    files: dict[str, bytes] = {}
    if source.is_dir():
        files = {path.name: path.read_bytes() for name in (TRUTH, META) for path in source.rglob(name)}
    else:
        try:
            with tarfile.open(source) as tar:
                for member in tar:
                    name = member.name.rpartition("/")[2]
                    if name in (TRUTH, META) and (file := tar.extractfile(member)):
                        files[name] = file.read()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(
                f"{source}: neither a text file of WordNet IDs nor the development kit {DEVKIT}.tar.gz ({error})"
            ) from None
    if missing := {TRUTH, META} - set(files):
        raise DataError(f"{source}: holds no {min(missing)}; is it {DEVKIT}?")
    return files[TRUTH], files[META]
