"""Zips of which some bytes are wrong: one line that names the archive, whatever their readers raise."""

import io
import random
import zipfile
from pathlib import Path

import pytest

from randwire.data.sources._unpack import unpacked
from randwire.errors import DataError

FILES = {"train/cat/1.jpg": bytes(300), "é/" + "long" * 40 + "/2.jpg": bytes(30), "val/dog/3": b"3" * 200}


def _zip(compression: int) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return memory.getvalue()


COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def _damaged(content: bytes, stream: random.Random) -> bytes:
    """With bytes changed, removed or added at up to three places."""
    changed = bytearray(content)
    for _ in range(stream.randint(1, 3)):
        place = stream.randrange(len(changed))
        new = stream.randbytes(stream.randint(0, 2))
        changed[place : place + stream.choice((0, 1, 1, 1, 500))] = new
        changed += b"\0" * (not changed)
    return bytes(changed)


@pytest.mark.image_data("H", "a zip of any compression with wrong bytes anywhere", "one line that names it")
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_wrong_bytes_in_a_zip_are_one_line(tmp_path: Path, compression: int) -> None:
    stream, path, told = random.Random(compression), tmp_path / "packed", []
    whole = _zip(compression)
    for number in range(150):
        path.write_bytes(_damaged(whole, stream))
        scratch = tmp_path / f"{number}"
        scratch.mkdir()
        try:
            unpacked(path, scratch)
        except DataError as error:
            told.append(str(error))
    assert len(told) > 30
    assert all(line.startswith(f"{path}: ") and "unpacked to" not in line and line.isprintable() for line in told)
