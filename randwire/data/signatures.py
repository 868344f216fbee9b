"""The first bytes of files that are no images, or images that cannot be read here; raw photographs."""

import struct
from collections.abc import Iterator, Sequence

FOREIGN: Sequence[tuple[int, bytes, str]] = (
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"II\xbc", "a JPEG XR image"),
    (0, b"gimp xcf", "a GIMP image"),
    (0, b"P7\n", "a PAM image"),
    (0, b"AT&TFORM", "a DjVu document"),
    (0, b"FLIF", "a FLIF image"),
    (0, b"\x8aMNG", "an MNG video"),
    (0, b"KTX ", "a KTX texture"),
    (0, b"\xabKTX", "a KTX texture"),
    (128, b"DICM", "a DICOM image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska video"),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a WAVE sound"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media video"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b"\x00\x00\x01\xba", "an MPEG video"),
    (0, b"OggS", "an Ogg sound"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"fLaC", "a FLAC sound"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"ARROW1", "an Arrow table"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"\x00\x05\x16\x07", "an AppleDouble file"),
    (0, b"bplist00", "a property list"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"\x80\x02", "a pickle"),
    (0, b"\x80\x03", "a pickle"),
    (0, b"\x80\x04", "a pickle"),
    (0, b"\x80\x05", "a pickle"),
)
"""Offset, signature, and what the file is."""
BRANDS: Sequence[tuple[tuple[bytes, ...], str]] = (
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"), "a HEIC image"),
    ((b"avif", b"avis"), "an AVIF image"),
    ((b"qt  ",), "a QuickTime video"),
)
"""Brands of files whose first box is `ftyp`, and what the file is; others are videos."""
RAW_SUFFIXES: Sequence[str] = (
    *(".dng", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".cr2", ".pef", ".srw", ".3fr", ".fff", ".iiq"),
    *(".erf", ".kdc", ".dcr", ".mos", ".mef", ".rwl", ".orf", ".rw2"),
)
"""Of raw photographs of cameras that are TIFF files inside."""
_RAW: Sequence[tuple[int, bytes, str]] = (
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\x00", "RW2"),
    (0, b"FOVb", "X3F"),
    (0, b"\x00MRM", "MRW"),
    (6, b"HEAPCCDR", "CRW"),
    (4, b"ftypcrx ", "CR3"),
    (8, b"CR\x02", "CR2"),
)
_TIFF = {b"II*\x00": "<", b"MM\x00*": ">"}
_SUBFILE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 262, 330, 50706
_OF_SENSORS = (32803, 34892)
"""Values of the TIFF tag for colours: of a colour filter array, and linear raw."""


def is_raw_photograph(head: bytes, suffix: str = "") -> str | None:
    """The name of its format if a file is a raw photograph of a camera; a TIFF reader would find its thumbnail."""
    for offset, signature, name in _RAW:
        if head.startswith(signature, offset):
            return name
    order = _TIFF.get(head[:4])
    if order is None:
        return None
    if suffix in RAW_SUFFIXES:
        return suffix[1:].upper()
    (start,) = struct.unpack_from(f"{order}I", head.ljust(8, b"\0"), 4)
    tags = dict(_tags(head, order, start))
    if _DNG_VERSION in tags:
        return "DNG"
    is_thumbnail = tags.get(_SUBFILE, 0) & 1 and _SUB_IFDS in tags
    return "TIFF/EP" if is_thumbnail or tags.get(_PHOTOMETRIC) in _OF_SENSORS else None


def _tags(head: bytes, order: str, start: int) -> Iterator[tuple[int, int]]:
    """The tags of a TIFF directory, as far as `head` has them, each with its first value or the place of its values."""
    if start + 2 > len(head):
        return
    (count,) = struct.unpack_from(f"{order}H", head, start)
    for place in range(start + 2, min(start + 2 + 12 * count, len(head) - 11), 12):
        tag, type, _ = struct.unpack_from(f"{order}HHI", head, place)
        yield tag, struct.unpack_from(f"{order}H" if type == 3 else f"{order}I", head, place + 8)[0]
