"""The environment that processes of a study may be given."""

import fnmatch
from collections.abc import Mapping, Sequence

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "*_API_KEY",
    "*_TOKEN",
    "*_SECRET*",
    "*PASSWORD*",
)


def without_secrets(env: Mapping[str, str], needed: Sequence[str] = ()) -> dict[str, str]:
    """The environment without API keys, tokens and passwords: what a worker may be given.

    Variables whose name fits one of the patterns `needed` stay.
    """

    def fits(name: str, patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(name.upper(), pattern) for pattern in patterns)

    return {name: value for name, value in env.items() if not fits(name, SECRETS) or fits(name, needed)}
