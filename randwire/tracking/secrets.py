"""The environment that processes of a study may be given."""

import fnmatch
from collections.abc import Mapping

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "*_API_KEY",
    "*_TOKEN",
    "*_SECRET*",
    "*PASSWORD*",
)


def without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without API keys, tokens and passwords: what a worker may be given."""
    return {
        name: value
        for name, value in env.items()
        if not any(fnmatch.fnmatchcase(name.upper(), secret) for secret in SECRETS)
    }
