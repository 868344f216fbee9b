"""What is an image among many files: each is one, or left out for a reason."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from randwire.data.formats import recognise

SUFFIXES = frozenset(
    (
        *(".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
"""Files with these are images, and are opened when they are converted; any other file is judged by its first bytes."""
JUNK = "side files of systems and tools"
HIDDEN_FILES = "hidden files"
HIDDEN_FOLDERS = "hidden folders (not looked into)"
_NOT_LOADED = "files that iCloud has not loaded"
_JUNK_NAMES = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *(".ds_store", ".localized", "icon\r", ".volumeicon.icns", "__macosx", ".spotlight-v100", ".fseventsd"),
        *(".temporaryitems", "temporary items", "network trash folder", ".trashes", ".apdisk", ".metadata_never_index"),
        *(".documentrevisions-v100", ".appledouble", ".appledb", ".appledesktop", ".pkinstallsandboxmanager"),
        *("@eadir", "#recycle", "#snapshot", ".@__thumb", "@recycle", "@recently-snapshot", ".snapshot", ".snapshots"),
        *(".zfs", "lost+found", ".thumbnails", ".thumb", ".thumbs", ".directory", ".picasa.ini", "picasa.ini"),
        *(".picasaoriginals", ".nomedia", ".ipynb_checkpoints", "__pycache__", ".git", ".gitignore", ".gitattributes"),
        *(".gitkeep", ".keep", ".svn", ".hg", ".dvc", ".dvcignore", ".dropbox", ".dropbox.cache", ".stfolder"),
        *("zbthumbnail.info", ".stversions", ".sync", ".idea", ".vscode"),
    )
)
_JUNK_PATTERN = re.compile(
    r"\._.*|\.nfs[0-9a-f]+|\.fuse_hidden.*|\.trash(-.*)?|\.~lock\..*#|\.smbdelete.*|.*@syno(eastream|resource)|.*\.thm"
    r"|.*[:\uf03a](zone\.identifier|encryptable|afp_.*|com\.apple\..*)",
    re.DOTALL,
)
"""Of names in small letters. Streams of Windows and macOS beside a file have a colon, or what Samba writes for one."""


class Scan(NamedTuple):
    """The paths of images, sorted, the folders at the top, sorted, and all else, by the reason why it is left out.

    A reason is a plural such as "HEIC images". Names are held as in `randwire.names`.
    """

    images: Sequence[str]
    left_out: Mapping[str, Sequence[str]]
    folders: Sequence[str] = ()


def of_path(path: str, head: Callable[[], bytes | None]) -> str | None:
    """Why a regular file of this path is left out, as of `of_folder` and `of_file`; None: it is an image."""
    *folders, name = path.split("/")
    return next((reason for folder in folders if (reason := of_folder(folder))), None) or of_file(name, head)


def of_file(name: str, head: Callable[[], bytes | None]) -> str | None:
    """Why a regular file of this name is left out; None: it is an image.

    `head` returns its first bytes, None if it cannot be opened: then it is for the conversion to say so.
    """
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    if suffix in SUFFIXES and not name.startswith("."):
        return None
    if is_junk(name):
        return JUNK
    if name.startswith("."):
        return _NOT_LOADED if suffix == ".icloud" else HIDDEN_FILES
    content = head()
    kind = None if content is None else recognise(content, suffix)
    return None if kind is None or kind.readable else kind.many


def of_folder(name: str) -> str | None:
    """Why a folder of this name is left out; None: it is looked into."""
    if is_junk(name):
        return JUNK
    return HIDDEN_FOLDERS if name.startswith(".") else None


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is made by systems and tools beside what people keep."""
    lower = name.lower()
    return lower in _JUNK_NAMES or _JUNK_PATTERN.fullmatch(lower) is not None


def in_order(left_out: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The same with sorted paths, the reason of most first, but those last of which nobody expects an image."""
    last = ("text files", "XML files", JUNK)
    reasons = sorted(left_out, key=lambda reason: (reason in last, -len(left_out[reason]), reason))
    return {reason: sorted(left_out[reason]) for reason in reasons}
