"""What archives hold, read once from beginning to end: tar, plain or compressed, tars inside of a tar, and zip."""

import bz2
import gzip
import io
import lzma
import posixpath
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from randwire.data.formats import HEAD_BYTES, kind_of
from randwire.errors import DataError, brief, system_text

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_OF_DAMAGE = (EOFError, ValueError, IndexError, NotImplementedError, RuntimeError, OverflowError)
"""What the readers raise, beside errors of their own, where an archive is damaged."""
SUFFIXES = (*TAR_SUFFIXES, ".zip")
"""Of the archives that can be read here."""
BLOCK = tarfile.BLOCKSIZE
MAX_RATIO = 200
"""Unpacked bytes for each packed one that are no attack: pictures of one colour in a format without compression."""
SMALL_BYTES = 1 << 30
"""Bytes that are unpacked whatever the ratio."""


class Member(NamedTuple):
    """A file in an archive.

    `path` is below the archive, without `..`; a tar inside of another counts as a folder of its name without suffix.
    `offset` says where in the file of the archive the content is; None: it is compressed there, and read from `content`
    before the next member comes. `target` is the path of the member that a link means.
    """

    path: str
    size: int
    offset: int | None
    content: IO[bytes]
    target: str | None = None

    def head(self) -> bytes:
        """The first bytes of the content, which stay in it."""
        return cast(io.BufferedReader, self.content).peek(HEAD_BYTES)[:HEAD_BYTES]


def stem(name: str) -> str:
    """A file's name without what says that it is an archive; the whole name if nothing does."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, compressed or a tar, by its content."""
    try:
        with open(path, "rb") as file:
            start = file.read(BLOCK)
    except OSError:
        return False
    return start.startswith(ZIP_STARTS) or _compression(start) is not None or start[257:262] == b"ustar"


def members(path: Path, inside: re.Pattern[str] | None = None) -> Generator[Member]:
    """The regular files of an archive and its links, in the archive's order.

    The tars in it whose names match `inside` are opened, too. Raises DataError for what is no such archive or damaged.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited at for ever
        raise DataError(f"{path}: is no regular file")
    with told(path), open(path, "rb") as file:
        start = file.read(HEAD_BYTES)
        file.seek(0)
        packed_bytes, unpacked = path.stat().st_size, 0
        if start.startswith(ZIP_STARTS):
            found = _of_zip(path, file)
        elif _compression(start) or _is_tar(start):
            found = _of_tar(file, 0, "", inside)
        else:
            kind = kind_of(start)
            advice = "unpack it and name the folder" if "archive" in kind else "a tar or zip archive is needed"
            raise DataError(f"{path}: is neither tar nor zip, but {kind} ({packed_bytes:,} bytes); {advice}")
        for member in found:
            unpacked += member.size
            if unpacked > max(MAX_RATIO * packed_bytes, SMALL_BYTES):
                raise DataError(
                    f"{path}: its {packed_bytes:,} bytes unpack to {unpacked:,} and more, which images do not; "
                    "unpack it yourself and name the folder"
                )
            yield member


@contextmanager
def told(path: Path) -> Iterator[None]:
    """A block that reads an archive: what is wrong with it becomes a DataError."""
    try:
        yield
    except DataError:
        raise
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, *_OF_DAMAGE) as error:
        what = brief(error)
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"{path}: cannot be read: {system_text(error)}") from None
        what = brief(error)  # bzip2's and Zstandard's readers say so that the content is damaged, gzip's likewise
    else:
        return
    raise DataError(
        f"{path}: is not a whole archive: {what} ({path.stat().st_size:,} bytes); a whole tar or zip archive is needed"
    )


class _Header(tarfile.TarInfo):
    """A header that must be whole: by itself, tarfile takes a damaged or missing one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        if not buf:
            raise tarfile.ReadError("it ends without the end mark of a tar")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError:
            if len(buf) == BLOCK and not any(buf):
                raise
            raise tarfile.ReadError("it has something else where the header of a file is due") from None


def _of_tar(file: IO[bytes], base: int | None, prefix: str, inside: re.Pattern[str] | None) -> Iterator[Member]:
    """The members of one tar; `base`: where it begins in the archive's file, None: inside of something compressed."""
    start = file.read(HEAD_BYTES)
    file.seek(0)
    if compression := _compression(start):
        file, base = _decompressed(file, compression), None
        start = file.read(HEAD_BYTES)
        file.seek(0)
        if not _is_tar(start):
            raise tarfile.ReadError(f"what is in the {compression} file is no tar, but {kind_of(start)}")
    where = f" in {prefix}" if prefix else ""
    try:
        with tarfile.TarFile(fileobj=file, tarinfo=_Header, encoding="utf-8") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it keeps all, and there may be a million
                path = _clean(member.name)
                if member.issym() or member.islnk():
                    folder = posixpath.dirname(member.name) if member.issym() else ""
                    target = prefix + _clean(posixpath.join(folder, member.linkname))
                    yield Member(prefix + path, 0, None, file, target)
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    continue
                offset = None if base is None or member.issparse() else base + member.offset_data
                if inside and inside.fullmatch(posixpath.basename(path)):
                    folder = prefix + posixpath.join(posixpath.dirname(path), stem(posixpath.basename(path)))
                    yield from _of_tar(content, offset, f"{folder}/", None)
                else:
                    yield Member(prefix + path, member.size, offset, content)
            if rest := _behind(file):
                raise tarfile.ReadError(f"{rest:,} bytes or more follow its end mark")
    except tarfile.TarError as error:
        raise tarfile.ReadError(f"{brief(error)}{where}") from None


def _behind(file: IO[bytes]) -> int:
    """How many bytes follow from the first that is not zero in what is left, as far as one block shows."""
    while block := file.read(1 << 20):
        if rest := block.lstrip(b"\0"):
            return len(rest)
    return 0


def _of_zip(path: Path, file: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        found = [member for member in archive.infolist() if not member.is_dir()]
        names = set()
        for member in found:
            if member.flag_bits & 1:
                raise DataError(
                    f"{path}: {member.filename} is encrypted; unpack it with its password and name the folder"
                )
            if (name := _clean(_name(member))) in names:
                raise DataError(f"{path}: holds {name} twice")
            names.add(name)
        for member in found:
            try:
                with archive.open(member) as content:
                    yield Member(_clean(_name(member)), member.file_size, None, content)
            except NotImplementedError as error:
                raise DataError(f"{path}: {member.filename}: {brief(error)}") from None


def _name(member: zipfile.ZipInfo) -> str:
    """The path of a member of a zip, whose names are UTF-8 if they say so or can be, else bytes of a system's own."""
    name = member.filename
    if not member.flag_bits & 0x800 and not name.isascii():
        name = name.encode("cp437", "surrogateescape").decode("utf-8", "surrogateescape")
    return name.replace("\\", "/") if member.create_system == 0 else name


def _clean(path: str) -> str:
    """A path that stays below the archive, whatever it says."""
    return posixpath.normpath("/" + path).lstrip("/")


def _decompressed(file: IO[bytes], compression: str) -> IO[bytes]:
    opened: Any  # file objects of many types
    if compression == "gzip":
        opened = gzip.GzipFile(fileobj=file)
    elif compression == "bzip2":
        opened = bz2.BZ2File(file)
    elif compression == "xz":
        opened = lzma.LZMAFile(file)  # noqa: SIM115
    else:
        opened = io.BufferedReader(_Zstd(file))
    return cast(IO[bytes], opened)


def _compression(start: bytes) -> str | None:
    return next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), None)


def _is_tar(start: bytes) -> bool:
    """Whether a file begins with the header of a tar; those from before POSIX have a checksum alone to be known by."""
    try:
        tarfile.TarInfo.frombuf(start[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return start[257:262] == b"ustar"
    return True


class _Zstd(io.RawIOBase):
    """What is compressed with Zstandard, to be read forward, as a tar is."""

    def __init__(self, file: IO[bytes]) -> None:
        import pyarrow

        self._stream, self._position = pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd"), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        target = offset + (self._position if whence == 1 else 0)
        if whence == 2 or target < self._position:
            raise io.UnsupportedOperation("is read forward alone")
        while self._position < target and (content := self._stream.read(min(1 << 20, target - self._position))):
            self._position += len(content)
        return self._position
