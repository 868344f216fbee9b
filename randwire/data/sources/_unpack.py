"""An archive of folders, unpacked: where its files must be found by their paths."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from randwire.data.sources._archives import members, stem, told
from randwire.data.sources._folder_layout import VAL_NAMES
from randwire.data.sources._sift import is_junk
from randwire.data.sources._spool import BLOCK_BYTES, check_free, progress, writing
from randwire.errors import DataError
from randwire.names import below, printable

SPLIT_NAMES = {"train", "test", *VAL_NAMES}


def unpacked(archive: Path, scratch: Path | None, wanted: Callable[[str], bool] = lambda path: True) -> Path:
    """The folder in `scratch` with what an archive holds; the folder in it, if there is one, and that is no split.

    Only files whose path is `wanted` are unpacked. All is written below that folder, whatever paths an archive names;
    links become what they mean inside of the archive. Raises DataError for what is no whole archive, for a disk without
    room, and without `scratch`.
    """
    if scratch is None:
        raise DataError(f"{archive}: is packed, and only a conversion unpacks it; --estimate reads folders")
    folder = Path(tempfile.mkdtemp(prefix="unpacked-", dir=scratch))
    links = []
    with told(archive), progress(f"unpacking {archive.name}", "files") as bar:
        check_free(archive, folder, archive.stat().st_size if archive.exists() else 0)
        for member in members(archive):
            if not wanted(member.path):
                continue
            path = below(folder, member.path)
            if member.target is not None:
                links.append((path, below(folder, member.target)))
                continue
            with writing(archive / member.path, folder.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = open(path, "wb")  # noqa: SIM115
            with file:
                while block := member.content.read(BLOCK_BYTES):
                    with writing(archive / member.path, folder.parent):
                        file.write(block)
                with writing(archive / member.path, folder.parent):
                    file.flush()
            bar.update()
    with writing(archive, folder.parent):
        for path, target in links:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.symlink_to(os.path.relpath(target, path.parent))
    while (inside := _only_folder(folder)) is not None:
        folder = inside
    return folder


def _only_folder(folder: Path) -> Path | None:
    """The one folder in a folder, beside which may be files, such as a README; None: there is none, or it holds images.

    That is, it is a split, or, as it has no folders, a class.
    """
    folders = _folders(folder)
    return (
        folders[0]
        if len(folders) == 1 and folders[0].name.lower() not in SPLIT_NAMES and _folders(folders[0])
        else None
    )


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink() and not is_junk(path.name)]


def unpacked_splits(input: Path, scratch: Path | None) -> Path:
    """What can be read as a folder of INPUT: itself, or what archives in it or it itself, being one, are unpacked to.

    Archives in a folder count if they are called as splits are, such as train.zip, and there is no such folder; or if
    there is one, and nothing else. Raises DataError as `unpacked` does.
    """
    if not input.is_dir():
        if input.suffix == ".parquet":
            raise DataError(f"{input}: is one Parquet file; name the folder with all Parquet files of the set")
        return unpacked(input, scratch)
    entries = {path.name: path for path in sorted(input.iterdir()) if not is_junk(path.name)}
    archives = {stem(name): path for name, path in entries.items() if stem(name) != name and path.is_file()}
    wanted = {"train", *VAL_NAMES}
    if "train" in archives and {*archives, *entries}.isdisjoint(VAL_NAMES):
        wanted.add("test")  # it may be chosen to validate
    splits = [name for name in archives if name in wanted and name not in entries]
    for name, path in entries.items():
        if (other := archives.get(stem(name), path)) != path and path.is_file() and stem(name) in splits:
            raise DataError(f"{input}: holds {name} and {other.name} of one split; name a folder with one of them")
    if not splits:
        return unpacked(next(iter(archives.values())), scratch) if len(archives) == len(entries) == 1 else input
    inside = {name: unpacked(archives[name], scratch) for name in splits}
    folder = Path(tempfile.mkdtemp(prefix="unpacked-", dir=scratch))
    for name, path in entries.items():
        if path not in archives.values():
            (folder / name).symlink_to(path.absolute())
    for name, path in inside.items():
        (folder / name).symlink_to(path / name if (path / name).is_dir() else path)
    return folder


@contextmanager
def shown_as(archive: Path, folder: Path) -> Iterator[None]:
    """A block whose DataError names what is in `folder`, which was unpacked of `archive`, as a part of that."""
    try:
        yield
    except DataError as error:
        raise DataError(shown(str(error), archive, folder)) from None


def shown(text: str, archive: Path, folder: Path) -> str:
    """A text that names what is in `folder`, which was unpacked of `archive`, as a part of that."""
    return text.replace(str(folder), str(archive)).replace(printable(folder), printable(archive))
