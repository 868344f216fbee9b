"""The images in archives: where each is, or where it was unpacked to."""

import re
from pathlib import Path
from typing import IO, TYPE_CHECKING

from randwire.data.sources._archives import Member, members, told
from randwire.data.sources._sift import of_path
from randwire.data.sources._spool import Spool, check_free, progress
from randwire.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Extent = tuple[int, int, int]


class Packed:
    """The images of some archives, by path, in the archives' order.

    `extents` has the number of a file in `files`, the offset and the size of each. What a plain tar holds is read
    there; all else is unpacked to one file in `scratch`. `left_out` are the paths, by reason, of what is no image.
    """

    def __init__(self, scratch: Path | None) -> None:
        self.scratch = scratch
        self.files: list[Path] = []
        self.extents: dict[str, Extent] = {}
        self.left_out: dict[str, list[str]] = {}
        self._spool: Spool | None = None
        self._spool_number = -1

    def add(self, archive: Path, prefix: str = "", inside: re.Pattern[str] | None = None) -> None:
        """Take in an archive, its paths behind `prefix`; the tars in it whose names match `inside` are opened, too.

        Raises DataError for what is no whole archive, and for a disk without room for what is to be unpacked.
        """
        number = len(self.files)
        links: dict[str, str] = {}
        here: set[str] = set()
        self.files.append(archive)
        size = archive.stat().st_size if archive.exists() else 0
        with told(archive), progress(f"index of {archive.name}", "images") as bar:
            for member in members(archive, inside):
                path = prefix + member.path
                if path in self.extents and path not in here:
                    raise DataError(f"{archive}: holds {path}, which another of the archives holds, too")
                here.add(path)
                if reason := _reason(path, member):
                    self.left_out.setdefault(reason, []).append(path)
                elif member.target is not None:
                    links[path] = prefix + member.target
                elif member.offset is not None:
                    self.extents[path] = number, member.offset, member.size
                else:
                    self.extents[path] = self._unpacked(archive, size, member.content)
                bar.update()
        for path in links:
            target, followed = path, set()
            while target in links and target not in followed:
                followed.add(target)
                target = links[target]
            if target in self.extents:
                self.extents[path] = self.extents[target]
            else:
                self.left_out.setdefault("links to what is not in the archive", []).append(path)

    def _unpacked(self, archive: Path, size: int, content: IO[bytes]) -> Extent:
        if self._spool is None:
            self._spool = Spool(self.scratch, archive)
            check_free(archive, self._spool.path.parent, size)
            self._spool_number = len(self.files)
            self.files.append(self._spool.path)
        return self._spool_number, *self._spool.add(content)

    def close(self) -> None:
        """What was unpacked can be read from now on."""
        if self._spool:
            self._spool.close()

    def array(self) -> "NDArray[np.int64]":
        """The extents (n, 3)."""
        import numpy as np

        return np.array(list(self.extents.values()), np.int64).reshape(-1, 3)


def _reason(path: str, member: Member) -> str | None:
    """Why a member is none of the images; None: it is one. Links are judged by their names."""
    return of_path(path, lambda: None if member.target is not None else member.head())
