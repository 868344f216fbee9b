"""What a file is, by its first bytes: an image that can be read here, or what else."""

import re
import struct
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from randwire.data.signatures import BRANDS, FOREIGN, RAW_SUFFIXES, is_raw_photograph

HEAD_BYTES = 4096
"""First bytes of a file that tell what it is."""
_PREFIX_BYTES = 16
"""Of these, those that Pillow judges by."""

_PLURAL = re.compile(
    r"\b(files|folders|links|images|photographs|archives|documents|drawings|pages|pipes|sockets|devices|videos|sounds"
    r"|textures|arrays|tables|databases|lists|shortcuts|programs|pickles|pointers)\b"
)
"""The noun of a reason."""


class Kind(NamedTuple):
    """What a file is: `one` is "a HEIC image", `many` "HEIC images"; `readable`: an image that can be read here."""

    one: str
    many: str
    readable: bool = False


def kind_of(content: bytes, name: str = "") -> str:
    """What a file is, with its article, such as "a HEIC image" or "an HTML page"; the first HEAD_BYTES are enough.

    `name` tells of formats without a signature, such as TGA.
    """
    return recognise(content, PurePosixPath(name).suffix).one


def recognise(head: bytes, suffix: str = "") -> Kind:
    """What a file is, by its first bytes; `suffix`, such as ".tga", decides only where a format has no signature."""
    suffix = suffix.lower()
    if not head:
        return Kind("an empty file", "empty files")
    if raw := is_raw_photograph(head, suffix):
        return Kind(f"a raw photograph ({raw})", f"raw photographs ({raw})")
    if format := _pillow_format(head, suffix):
        return _image(format)
    if head[4:8] == b"ftyp":
        return _kind(next((name for brands, name in BRANDS if head[8:12] in brands), "an MP4 video"))
    for offset, signature, name in FOREIGN:
        if head.startswith(signature, offset):
            return _kind(name)
    if text := _text(head):
        return _kind(text)
    return Kind(f"a file of no known kind, which begins with {head[:8].hex(' ')}", "files of no known kind")


def counted(number: int, many: str) -> str:
    """A kind, or a reason, with its number: "12 HEIC images", "1 HEIC image"."""
    return f"{number:,} {_PLURAL.sub(lambda plural: plural[0][:-1], many, count=1) if number == 1 else many}"


def _kind(one: str) -> Kind:
    name = one.partition(" ")[2]
    return Kind(one, f"{name}s")


def _image(format: str) -> Kind:
    name = _NAMES.get(format, format)
    spelled = name.isupper() and name not in _WORDS
    article = "an" if name[0] in ("AEFHILMNORSX" if spelled else "AEIO") else "a"
    noun = "file" if format in ("BUFR", "GRIB", "HDF5") else "image"
    return Kind(f"{article} {name} {noun}", f"{name} {noun}s", format in _decodable())


_NAMES: Mapping[str, str] = {
    "BLP": "Blizzard texture",
    "FTEX": "Independence War texture",
    "GBR": "GIMP brush",
    "ICO": "Windows icon",
    "CUR": "Windows cursor",
    "ICNS": "macOS icon",
    "JPEG2000": "JPEG 2000",
    "PSD": "Photoshop",
    "PPM": "Netpbm",
    "SUN": "Sun raster",
    "WEBP": "WebP",
    "WMF": "Windows metafile",
}
_WORDS = ("FITS", "MCIDAS", "SPIDER")
"""Names of formats that are spoken as words."""
_WITHOUT_SIGNATURE: Mapping[str, str] = {
    ".tga": "TGA",
    ".icb": "TGA",
    ".vda": "TGA",
    ".vst": "TGA",
    ".im": "IM",
    ".imt": "IMT",
    ".pcd": "PCD",
    ".spi": "SPIDER",
    ".spider": "SPIDER",
    ".iim": "IPTC",
    ".dib": "DIB",
    ".gbr": "GBR",
}
"""Formats that have no signature, or one that other files have, too: only files of these suffixes are such."""


def _pillow_format(head: bytes, suffix: str) -> str | None:
    """The format that Pillow would take the file for; None: it is none that Pillow knows."""
    from PIL import Image

    for format in _known():
        factory_and_accept = Image.OPEN[format]
        accept: Callable[[bytes], Any] | None = factory_and_accept[1]
        if accept is None or format in _WITHOUT_SIGNATURE.values():
            continue
        try:
            if accept(head[:_PREFIX_BYTES]) and _GUARDS.get(format, _unguarded)(head):
                return format
        except (IndexError, struct.error):  # fewer bytes than it needs
            continue
    return _WITHOUT_SIGNATURE.get(suffix)


@cache
def _known() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(Image.OPEN)


@cache
def _decodable() -> frozenset[str]:
    """The formats of images whose pixels Pillow can read on this machine."""
    from PIL import EpsImagePlugin, Image, ImageFile, features

    without = {"MPEG"}  # it reads the size alone
    without |= {
        format
        for format in _known()
        if isinstance(factory := Image.OPEN[format][0], type) and issubclass(factory, ImageFile.StubImageFile)
    }
    if not EpsImagePlugin.has_ghostscript():
        without.add("EPS")
    libraries = {"JPEG": "jpg", "JPEG2000": "jpg_2000", "WEBP": "webp", "AVIF": "avif"}
    without |= {format for format, library in libraries.items() if not features.check(library)}
    return frozenset(_known()) - without


def _unguarded(head: bytes) -> bool:
    return True


def _is_avif(head: bytes) -> bool:
    size = int.from_bytes(head[:4], "big")
    brands = head[8:12], *(head[place : place + 4] for place in range(16, min(size, len(head)), 4))
    return b"avif" in brands or b"avis" in brands


def _is_icon(head: bytes) -> bool:
    reserved, _, count = struct.unpack_from("<HHH", head)
    size, offset = struct.unpack_from("<II", head, 14)
    return bool(reserved == 0 and 0 < count <= 256 and size and offset >= 6 + 16 * count)


def _is_pcx(head: bytes) -> bool:
    left, top, right, bottom = struct.unpack_from("<4H", head, 4)
    known = head[2] <= 1 and head[3] in (1, 2, 4, 8) and head[64] == 0 and head[65] in (1, 3, 4)
    return bool(known and left <= right and top <= bottom)


def _is_bmp(head: bytes) -> bool:
    return struct.unpack_from("<I", head, 14)[0] in (12, 16, 40, 52, 56, 64, 108, 124)


def _is_netpbm(head: bytes) -> bool:
    return bool(re.match(rb"P([1-6f]|0CMYK|yP|yRGBA|yCMYK)\s+(#[^\n]*\n\s*)*\d+\s", head))


def _is_sgi(head: bytes) -> bool:
    return head[2] <= 1 and head[3] in (1, 2) and head[4] == 0 and 1 <= head[5] <= 3


def _is_xbm(head: bytes) -> bool:
    return bool(re.match(rb"\s*(/\*.*?\*/\s*)*#define[ \t]+\S*_?width[ \t]+\d+", head, re.DOTALL))


_GUARDS: Mapping[str, Callable[[bytes], bool]] = {
    "AVIF": _is_avif,
    "ICO": _is_icon,
    "CUR": _is_icon,
    "PCX": _is_pcx,
    "BMP": _is_bmp,
    "PPM": _is_netpbm,
    "SGI": _is_sgi,
    "XBM": _is_xbm,
    "WMF": lambda head: head.startswith(b"\xd7\xcd\xc6\x9a") or head[40:44] == b" EMF",
    "FLI": lambda head: head[12] in (0, 8),
}
"""What else stands in the first bytes of formats with a signature so short that other files begin with it, too."""


def _text(head: bytes) -> str | None:
    """What a text is; None for what is none."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) & ~1].decode("utf-16", "replace")
        return None if re.search("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd\ud800-\udfff]", text[:-1]) else "a text file"
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head):
        return None
    start = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if b"annex/objects/" in start:
        return "a git-annex pointer"
    if b"<svg" in start:
        return "an SVG drawing"
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<") and b"<html" in start):
        return "an HTML page"
    return "an XML file" if start.startswith(b"<") else "a text file"


assert set(RAW_SUFFIXES).isdisjoint(_WITHOUT_SIGNATURE)
