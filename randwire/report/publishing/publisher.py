"""Make or update the W&B report of a study.

Here, above the tracker, because the story is the study's: trials, budgets and exclusions are read from the records as
for report.html. The server is met only through `randwire.tracking`. The story and its panels are imported inside
functions: they import wandb, which must find the tracker's environment.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from randwire.errors import RecordError, TrackingError, brief
from randwire.records import Record, Row
from randwire.report.facts.looks import look
from randwire.report.facts.study import StudyFacts
from randwire.tracking import connection, runs

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr

LINK = "wandb-report.json"
"""The file in the study's folder that names the published report, so that it is updated and not doubled."""


def publish(folder: Path | str) -> str:
    """Publish the report of the study in `folder` to W&B, or update the one published before; returns its link.

    Raises RecordError if the folder holds no readable record, and TrackingError, in one line and within about half a
    minute, without a key, a server that takes it, or a single run of the study on that server.
    """
    folder = Path(folder)
    facts = StudyFacts.load(folder)
    if not facts.trials:
        raise RecordError(f"{folder}: holds no readable record of a trial to report on")
    with connection.connected(folder / "wandb"):
        import randwire.report.publishing.story  # noqa: F401 (its import takes seconds that are not the server's)

        link = connection.with_timeout(lambda: _publish(facts))
    look(facts)
    Record(folder).write_json(LINK, link)
    return str(link["url"])


def _publish(facts: StudyFacts) -> Row:
    """Send the report; returns where it is, as LINK keeps it."""
    from randwire.report.publishing.story import report

    server, entity = connection.account()
    made = report(facts, entity, _uploaded(facts, entity))
    address = {"server": server, "entity": entity, "project": made.project}
    made.id = _published(facts.folder, address)
    _save(made, facts.folder / LINK)
    return {**address, "id": made.id, "url": made.url}


def _uploaded(facts: StudyFacts, entity: str) -> dict[str, Row]:
    """The summaries of the study's runs on the server, by id. Raises TrackingError if it has none of them."""
    from randwire.report.publishing.panels import ids_by_project

    summaries: dict[str, Row] = {}
    projects = ids_by_project(facts.trials)
    for project, ids in projects.items():
        summaries |= connection.run_summaries(entity, project, ids)
    if not summaries:
        hint = connection.sync_hint(runs.offline_folder(facts.folder))
        raise TrackingError(f"{entity}/{', '.join(projects)} has no run of this study; {hint}")
    return summaries


def _published(folder: Path, address: Row) -> str:
    """The id of the report that was published at this address before, or an empty text."""
    link = Record(folder).read_json(LINK)
    if not isinstance(link, dict) or address != {key: link.get(key) for key in address}:
        return ""
    return str(link.get("id", ""))


def _save(made: "wr.Report", link: Path) -> None:
    try:
        made.save()
    except Exception as error:  # of wandb, pydantic or wandb_workspaces
        hint = f" (if the report is gone, delete {link} to make a new one)" if made.id else ""
        raise TrackingError(f"{brief(error)}{hint}") from None
