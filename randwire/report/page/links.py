"""The links of a page to records and runs, from wherever it is written."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from randwire.report.facts.study import StudyFacts

_RELATIVE = re.compile(r'href="(\.\.?/[^"#]*)"')


def relinked(parts: Sequence[str], facts: StudyFacts, folder: Path) -> list[str]:
    """Pieces of HTML whose relative links, which begin at the folder of the study, begin at another folder.

    Each record is linked to where it is, also one of another study. Text of records holds no such link: it is escaped.
    """
    study = facts.folder.absolute()
    records = {trial.folder: trial.record.folder.absolute() for trial in facts.trials if trial.record is not None}
    if folder == study and not facts.others:
        return list(parts)

    def moved(match: "re.Match[str]") -> str:
        path = unquote(match[1])
        name = path.removeprefix("./").rstrip("/")
        target = records.get(name, study / path)
        end = "/" * path.endswith("/")
        return f'href="{quote(os.path.relpath(target, folder))}{end}"'

    return [_RELATIVE.sub(moved, part) for part in parts]
