"""All errors of the package, and how they are told in one line."""


class UserError(ValueError):
    """A mistake of the user, told in one line: what, where, and how to fix it. Commands print it and exit with 2."""


class ConfigError(UserError):
    """A mistake of the user, told in one line: the key, the rule, the value and the fix."""


class DataError(UserError):
    """Data that cannot be used, told in one line: what, where, and how to fix it."""


class RecordError(UserError):
    """A record that cannot be used, told in one line."""


class HeldError(RecordError):
    """A record that another process holds."""


class StorageError(UserError):
    """A folder or file that cannot be read, told in one line."""


class TrackingError(UserError):
    """Tracking that cannot be had as asked for, told in one line."""


class CheckpointError(UserError):
    """A checkpoint that cannot be used, told in one line."""


class ExportError(UserError):
    """An export that is not possible, told in one line."""


class ProcessKilledError(Exception):
    """A process that does a part of the work has ended that should not have."""


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or NaN."""


def one_line(error: object) -> str:
    """What an error, or a text, says, in one line."""
    return " ".join(str(error).split())


def brief(error: BaseException) -> str:
    """What an error says, or its type if that is nothing, in a line that is not too long."""
    return one_line(error)[:300] or type(error).__name__
