"""All errors of the package, and what they say in one line."""

from randwire.names import printable


class UserError(ValueError):
    """A mistake of the user. Its one line says what, where, and how to fix it; commands print it and exit with 2."""


class ConfigError(UserError):
    """A wrong configuration or command line: the key, the rule, the value and the fix."""


class DataError(UserError):
    """Data that cannot be used."""


class RecordError(UserError):
    """A record that cannot be used."""


class RecordLockedError(RecordError):
    """A record that another process has locked."""


class StorageError(UserError):
    """A folder or file that cannot be read."""


class UnreachableError(StorageError, OSError):
    """Storage that is not there now, and may be again: who waits for it takes it as the OSError that it is."""


class TrackingError(UserError):
    """Tracking that is not possible as asked for."""


class CheckpointError(UserError):
    """A checkpoint that cannot be used."""


class ExportError(UserError):
    """An export that is not possible."""


class DeviceMemoryError(UserError):
    """A device that has not enough memory for what it should do."""


class ProcessKilledError(Exception):
    """A process that does a part of the work has ended that should not have."""


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or NaN."""


def one_line(error: object) -> str:
    """The message of an error, or a text, in one line that can be printed; spaces within a line stay, as in names."""
    lines = (line.strip() for line in str(error).splitlines())
    return printable(" ".join(line for line in lines if line))


def brief(error: BaseException) -> str:
    """The message of an error in one line of at most 300 characters, or its type if it has none."""
    return one_line(error)[:300] or type(error).__name__


def system_text(error: OSError) -> str:
    """What the system says of an error, in one line, or the type of the error if it says nothing."""
    return one_line(error.strerror) if error.strerror else brief(error)
