"""What every mistake that a user can mend has in common."""


class UserError(ValueError):
    """A mistake of the user, told in one line: what, where, and how to fix it. Commands print it and exit with 2."""


def one_line(error: object) -> str:
    """What an error, or a text, says, in one line."""
    return " ".join(str(error).split())


def brief(error: BaseException) -> str:
    """What an error says, or its type if that is nothing, in a line that is not too long."""
    return one_line(error)[:300] or type(error).__name__
