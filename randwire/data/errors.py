"""The one error of the data layer."""

from randwire.errors import UserError


class DataError(UserError):
    """Data that cannot be used, told in one line: what, where, and how to fix it."""
