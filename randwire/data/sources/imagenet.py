"""ImageNet, the ILSVRC 2012 classification set: 1,281,167 and 50,000 photographs, 1,000 classes."""

import tarfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from randwire.data.sources._base import Option, Source, Split
from randwire.data.sources._imagenet_files import WNID, train_files, val_files
from randwire.data.sources._imagenet_layout import located
from randwire.data.sources._index import Index, class_folders
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN_TAR, VAL_TAR, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12"
LABELS = ("synset_labels.txt", "imagenet_2012_validation_synset_labels.txt", f"{DEVKIT}.tar.gz", DEVKIT)
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
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

    def _files(self, split: Split) -> list[Path]:
        """The folder, archive or archives with the images of a split."""
        if self.input is None or f"{split}_tar" in self.given:
            return [self._path(f"{split}_tar")]
        return located(self.input, split)

    @cached_property
    def _train(self) -> tuple[list[str], Index]:
        paths = self._files("train")
        path, (classes, index) = paths[0], train_files(paths, self.scratch)
        if wrong := [name for name in classes if not WNID.fullmatch(name)]:
            raise DataError(f"{path}: {wrong[0]} is not a class of ImageNet such as n01440764; use the source folder")
        if len(classes) != self.class_count:
            raise DataError(f"{path}: holds {len(classes)} classes, ImageNet has 1000; use the source folder")
        return classes, index.shuffled()

    @cached_property
    def _val(self) -> Index:
        import numpy as np

        classes = self._train[0]
        paths = self._files("val")
        path = paths[0]
        if path.is_dir() and any(WNID.fullmatch(inside.name) and inside.is_dir() for inside in path.iterdir()):
            return class_folders(path, classes)[1].shuffled()
        images = val_files(paths, self.scratch)
        source, wnids = (path, images.wnids) if images.wnids else self._val_wnids(path)
        if len(wnids) != len(images.names):
            raise DataError(f"{source}: {len(wnids)} labels for the {len(images.names)} images of {path}")
        number = {wnid: label for label, wnid in enumerate(classes)}
        if foreign := [wnid for wnid in wnids if wnid not in number]:
            raise DataError(f"{source}: {foreign[0]!r} is not the WordNet ID of a class of the training images")
        labels = np.array([number[wnid] for wnid in wnids], np.int32)
        return Index(path, images.names, labels, images.extents, images.files, images.left_out).shuffled()

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
