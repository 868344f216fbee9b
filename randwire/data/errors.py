"""The one error of the data layer."""


class DataError(ValueError):
    """Data that cannot be used, told in one line: what, where, and how to fix it."""
