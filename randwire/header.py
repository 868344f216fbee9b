"""The header of a safetensors file: names, shapes and places of its tensors, and text that the writer chooses.

Eight bytes with its length, little-endian; JSON; the bytes of the tensors.
"""

import json
from pathlib import Path
from typing import Any

SUFFIX = ".safetensors"
METADATA = "__metadata__"
"""The entry of the header that holds text by name."""
LENGTH_BYTES = 8
"""Of the header's length; the header is filled up with spaces to a multiple of this."""


def split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header of a file and the bytes of the tensors. Raises ValueError if there is no header."""
    start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    header = json.loads(content[LENGTH_BYTES:start])
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    return header, memoryview(content)[start:]


def join(header: dict[str, Any], data: memoryview) -> tuple[bytes, bytes, memoryview]:
    """The parts of a file, in order."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little"), text, data


def metadata(path: Path) -> dict[str, str]:
    """The text in the header of a file, whose tensors are not read. Raises ValueError if there is none, and OSError."""
    with open(path, "rb") as file:
        length = file.read(LENGTH_BYTES)
        header, _ = split(length + file.read(min(int.from_bytes(length, "little"), path.stat().st_size)))
    values = header.get(METADATA)
    if not isinstance(values, dict):
        raise ValueError("the header has no text")
    return values
