"""A study as a file for Optuna's own tools, such as optuna-dashboard."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from randwire.errors import RecordError
from randwire.records import atomic
from randwire.study.groups import groups, method_of
from randwire.study.objectives import objectives_of
from randwire.study.optuna_trials import optuna_trials
from randwire.study.results import design_of, load
from randwire.study.tried import suggested, tried


def export(folder: Path | str, path: Path) -> int:
    """Write the study in `folder` to a new file, a journal of Optuna's (`JournalStorage`, `JournalFileBackend`).

    The study has the name of its folder and a trial for each setting of the budget with most trials, in the order in
    which they were suggested (see `optuna_trials`). Returns how many records of readable trials have no part in it:
    those of other budgets. Raises RecordError if there is no record, or the file exists or cannot be written.
    """
    folder = Path(folder)
    if path.exists():
        raise RecordError(f"{path}: exists already; name a new file, or remove it")
    trials, _ = load(folder)
    study = design_of(folder)
    budget = groups(trials, study)[0]
    objectives = objectives_of(study)
    found = tried(budget, study, suggested(folder))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with TemporaryDirectory() as temporary:
        journal = Path(temporary) / "journal"
        storage = JournalStorage(JournalFileBackend(str(journal)))
        made = optuna.create_study(
            storage=storage,
            study_name=folder.resolve().name,
            directions=[objective.direction for objective in objectives],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made.set_metric_names([objective.name for objective in objectives])
        made.set_user_attr("search", method_of(study or {}) or "unknown")
        number = storage.get_study_id_from_name(made.study_name)
        for trial in optuna_trials(found, objectives, study):
            storage.create_new_trial(number, template_trial=trial)  # `add_trial` refuses what has no times
        try:
            with atomic(path) as file:
                file.write(journal.read_bytes())
        except OSError as error:
            raise RecordError(f"{path}: cannot be written ({error.strerror})") from None
    return len(trials) - sum(len(one.trials) for one in found)
