"""Names of files and classes, which come from outside: one form to hold, one to compare and one to print.

A name is held as the UTF-8 of the bytes that the file system or the archive has, in every locale; bytes that are not
UTF-8 are held as surrogates (`surrogateescape`).
"""

import os
import unicodedata
from pathlib import Path, PurePath


def decoded(name: bytes) -> str:
    """The form that is held of the bytes of a name."""
    return name.decode("utf-8", "surrogateescape")


def encoded(name: str) -> bytes:
    """The bytes of a name that is held."""
    return name.encode("utf-8", "surrogateescape")


def below(folder: Path, name: str) -> Path:
    """The path of the file that has a name, which is held, below a folder."""
    return folder / os.fsdecode(encoded(name))


def is_utf8(name: str) -> bool:
    """Whether a name that is held is text."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def composed(name: str) -> str:
    """The form in which names are compared, Unicode's NFC: file systems and programs differ in it, readers do not."""
    return unicodedata.normalize("NFC", name)


def printable(name: str | PurePath) -> str:
    r"""A name, or a line that holds names, as it is printed: one line, in which all that cannot be seen is escaped.

    A byte that is not UTF-8 becomes `\xe9`; a control, a line break, an invisible letter or a space other than the
    usual one becomes `\n`, `\x1b` or `\u200b`. What is printable already stays as it is.
    """
    text = decoded(os.fsencode(name)) if isinstance(name, PurePath) else name
    return text if text.isprintable() else "".join(map(_printable_letter, text))


def quoted(name: str) -> str:
    """A name in quotes, with the numbers of the letters beyond ASCII: two that look the same can be told apart."""
    shown = printable(name)
    if shown.isascii():
        return f"'{shown}'"
    return f"'{shown}' ('{''.join(letter if letter.isascii() else _number(letter) for letter in shown)}')"


def _printable_letter(letter: str) -> str:
    if letter.isprintable():
        return letter
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    if letter < "\x80":
        return letter.encode("unicode_escape").decode("ascii")
    return _number(letter)


def _number(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if letter <= "\uffff" else f"\\U{ord(letter):08x}"
