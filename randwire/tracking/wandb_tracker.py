"""W&B: one run for each trial."""

import hashlib
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from randwire import config as configuration
from randwire import drawing
from randwire.attempts import earlier
from randwire.config import RunConfig
from randwire.dag import DAG
from randwire.errors import TrackingError, brief
from randwire.metrics import BEST_TOP1, METRICS, TEST, TEST_IMAGES, VAL_TOP1
from randwire.records import Record
from randwire.tracking import runs
from randwire.tracking.connection import check_server, end_service, environment, sync_hint
from randwire.tracking.offline_parts import epochs_held
from randwire.tracking.runs import SETTING, run_id
from randwire.tracking.variables import Variables

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline"]

INIT_TIMEOUT_S = 20.0
FINISH_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 9.0
# wandb writes its log to disk every 15 s by default: a trial killed before the first write leaves an empty file.
FLUSH_INTERVAL_S = 1.0
MAX_TAG = 64
"""Characters of a tag that W&B takes."""
NO_VARIABLES = Variables()


@dataclass
class _OpenRun:
    """A run that is open, the epochs that were logged to it, and the top-1 by epoch."""

    run: "wandb.Run"
    mode: Mode
    logged: set[int]
    top1: dict[int, float] = field(default_factory=dict)


class WandbTracker:
    """One W&B run for each trial, all in this process and one wandb service.

    Its methods raise what wandb raises, and TrackingError; `SafeTracker` keeps that from a trial. A pickled tracker
    has no open runs; it never holds an API key.
    """

    def __init__(
        self,
        mode: Mode,
        project: str,
        study: str,
        folder: Path,
        variables: Variables = NO_VARIABLES,
        several: bool = False,
    ) -> None:
        """`folder` is the study's own for W&B; runs are in it, or where the variables say. See `open_tracker`."""
        self.mode: Mode = mode
        self.project = project
        self.study = study
        self.index = folder.absolute()
        self.folder = variables.folder or self.index
        self.variables = variables
        self.several = several
        self._open: dict[str, _OpenRun] = {}
        self._ending: dict[str, threading.Thread] = {}
        self._errors: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_ending": {}, "_errors": []}

    def start(self, record: Record, group: str, resumed_epochs: int | None = None) -> None:
        """Open the run of a record's trial, log its DAGs once, if it has some, and its measures.

        Raises ConfigError or RecordError if the record cannot be read, TrackingError if the folder cannot be written,
        and what wandb raises, within INIT_TIMEOUT_S. If the server has gone, this and all later runs are offline, and
        the TrackingError that says so comes after the run is open.
        """
        trial_id = record.folder.name
        if trial_id in self._open:
            self.finish(trial_id, "interrupted", {})
        if ending := self._ending.pop(trial_id, None):
            ending.join(FINISH_TIMEOUT_S)
        self._check_folder()
        config = configuration.load(str(record.folder / "config.yaml"))
        wired = config.network.reference is None
        kind, graph = (config.network.regime, f" g{config.graph.seed}") if wired else ("reference", "")
        attempt = f" attempt {number}" if (number := 1 + len(earlier(record))) > 1 else ""
        given, own_name = self.variables, f"{group}{graph} t{config.train.seed}{attempt}"
        tags = {*given.tags, self.study, config.family, kind, config.data.source}
        rows = record.metrics()
        if resumed_epochs is None:
            resumed_epochs = rows[-1]["epoch"] if rows else 0
        server_error: TrackingError | None = None
        with environment(self.folder):
            import wandb

            if self.mode == "online":
                # A run that fails to start cannot be started again under its id, so the server is checked before.
                try:
                    check_server()
                except TrackingError as error:
                    self.mode = "offline"
                    server_error = TrackingError(f"{error}; offline from here, {sync_hint(self.folder)}")
            held = epochs_held(self.index.parent, trial_id, run_id(record)) if self.mode == "offline" else None
            run = wandb.init(
                mode=self.mode,
                project=self.project,
                id=run_id(record),
                name=f"{given.name} {own_name}".strip() if self.several else given.name or own_name,
                group=given.group or group,
                job_type=given.job_type or "trial",
                tags=sorted({tag[:MAX_TAG] for tag in tags}),
                config={**_config(config), **({SETTING: group} if given.group else {})},
                # Without resume the second fragment of a trial overwrites the first when both are synced.
                resume="allow",
                reinit="create_new",
                settings=self._settings(),
            )
            earlier_rows = [row for row in rows if row["epoch"] <= resumed_epochs]
            top1 = {row["epoch"]: float(row[VAL_TOP1.key]) for row in earlier_rows if VAL_TOP1.key in row}
            logged = set(range(resumed_epochs + 1)) if held is None else held
            self._open[trial_id] = _OpenRun(run, self.mode, logged, top1)
            run.define_metric("epoch", hidden=True)
            for name in dict.fromkeys(_with_siblings(metric.wandb) for metric in METRICS if metric.wandb):
                run.define_metric(name, step_metric="epoch")
            run.summary.update(_scalars(record, config))
            self._note(trial_id, run)
            if wired and (resumed_epochs == 0 if held is None else 0 not in held):
                self._log_dags(run, record, config)
            for row in earlier_rows:
                self.log(trial_id, row)  # what the last second of a killed process has not left
        if server_error:
            raise server_error

    def log(self, trial_id: str, row: Mapping[str, Any]) -> None:
        """Take the row of one epoch. Never waits for the server. Raises TrackingError if the trial is not open.

        A row that an earlier run of the trial has logged is not logged again, but counts towards `val/top1_best`,
        which is left out as long as epochs before this one are unknown.
        """
        if trial_id not in self._open:
            raise TrackingError(f"trial {trial_id} is not open")
        state = self._open[trial_id]
        epoch = int(row["epoch"])
        if VAL_TOP1.key in row:
            state.top1.setdefault(epoch, float(row[VAL_TOP1.key]))
        if epoch in state.logged:
            return
        state.logged.add(epoch)
        values: dict[str, Any] = {each.wandb: row[each.key] for each in METRICS if each.wandb and each.key in row}
        if all(earlier in state.top1 for earlier in range(1, epoch + 1)):
            values[BEST_TOP1.wandb] = max(top1 for earlier, top1 in state.top1.items() if earlier <= epoch)
        state.run.log({"epoch": epoch, **values})

    def finish(self, trial_id: str, status: str, summary: Mapping[str, Any]) -> None:
        """End the run of a trial. Online, the upload goes on behind; `close` waits for it."""
        state = self._open.pop(trial_id, None)
        if state is None:
            return
        names = {TEST_IMAGES: "test/images", **{metric.key: metric.wandb for metric in TEST}}
        scalars = {
            names.get(key, f"trial/{key}"): value
            for key, value in summary.items()
            if isinstance(value, str | int | float)
        }
        state.run.summary.update({**scalars, "trial/status": status})
        thread = threading.Thread(target=self._end, args=(state.run, status), name=f"end {trial_id}", daemon=True)
        thread.start()
        if state.mode == "offline":
            thread.join(FINISH_TIMEOUT_S)
        else:
            self._ending[trial_id] = thread

    def close(self) -> None:
        """End what is open as interrupted, and wait for all uploads, together CLOSE_TIMEOUT_S at most.

        Raises TrackingError if a run could not be ended well; about 15 s after the call all has ended then, wandb's
        service too.
        """
        for trial_id in list(self._open):
            self.finish(trial_id, "interrupted", {})
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in self._ending.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        late = sum(thread.is_alive() for thread in self._ending.values())
        self._ending.clear()
        errors, self._errors = self._errors, []
        if late or errors:
            end_service()  # it would hold up the end of this process until the server answers
            cause = f": {errors[0]}" if errors else ""
            raise TrackingError(f"runs not ended well: {late + len(errors)}{cause}; {sync_hint(self.folder)}")

    def _note(self, trial_id: str, run: "wandb.Run") -> None:
        """Note where a run is: its URL, or its folder, from the study's on if it is there."""
        folder, study = Path(run.dir).parent, self.index.parent
        self.index.mkdir(parents=True, exist_ok=True)
        inside = folder.is_relative_to(study)
        location = run.url or str(folder.relative_to(study) if inside else folder)
        runs.add(self.index, trial_id, location, self.variables.group)

    def _end(self, run: "wandb.Run", status: str) -> None:
        try:
            run.finish(exit_code=0 if status in ("finished", "pruned") else 1)
        except Exception as error:
            self._errors.append(brief(error))  # raised by close(): nothing waits for this thread

    def _settings(self) -> "wandb.Settings":
        import wandb

        return wandb.Settings(
            root_dir=str(self.folder),
            use_dot_wandb=False,
            silent=True,
            console="off",
            symlink=False,  # a copy that follows links would hold the latest run twice
            disable_git=True,
            disable_code=True,
            save_code=False,
            init_timeout=INIT_TIMEOUT_S,
            finish_timeout=FINISH_TIMEOUT_S,
            finish_timeout_raises=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_transaction_log_flush_interval=FLUSH_INTERVAL_S,
        )

    def _check_folder(self) -> None:
        # wandb itself would go on in the system's temporary folder, where nobody finds the run.
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise TrackingError(f"{self.folder}: cannot be written ({error.strerror})") from None

    def _log_dags(self, run: "wandb.Run", record: Record, config: RunConfig) -> None:
        import wandb

        content = json.dumps(record.read_json("dag.json"), sort_keys=True).encode()
        dags = {stage: DAG.from_text(text) for stage, text in record.graphs().items()}
        metadata = {
            "generator": str(config.generator),
            "params": config.generator.params(),
            "seed": config.graph.seed,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            picture = Path(folder, "dag.png")
            picture.write_bytes(drawing.png(dags, config.title))
            run.log(
                {
                    "epoch": 0,
                    "dag/image": wandb.Image(str(picture)),
                    "dag/html": wandb.Html((record.folder / "dag.svg").read_text(encoding="utf-8"), inject=False),
                }
            )
            content_file = Path(folder, "dag.json")
            content_file.write_bytes(content)
            artifact = wandb.Artifact(f"dag-{record.folder.name}", type="dag", metadata=metadata)
            entry = artifact.add_file(str(content_file))
        if self.mode == "offline":
            # wandb notes where the file is staged; from the folder on, so that a copy of the folder can be uploaded.
            entry.local_path = os.path.relpath(str(entry.local_path), self.folder)
        run.log_artifact(artifact)


def _config(config: RunConfig) -> dict[str, Any]:
    """The configuration as a run has it: of a published network without what describes a randomly wired one."""
    if config.network.reference is None:
        return config.model_dump(mode="json", exclude={"runtime"})
    values = config.model_dump(mode="json", exclude={"runtime", "graph", "network"})
    return {**values, "network": {"reference": config.network.reference}}


def _with_siblings(name: str) -> str:
    """The pattern of all metrics in the group of one: `val/*` for `val/top1`; a metric without a group itself."""
    group, slash, _ = name.rpartition("/")
    return f"{group}/*" if slash else name


def _scalars(record: Record, config: RunConfig) -> dict[str, float]:
    """The numbers of a trial before its training: size of the network, parameters and measures of its graphs.

    `graph/NAME` is the mean over the stages, left out where a stage does not have it.
    """
    complexity = record.read_json("complexity.json")
    scalars: dict[str, float] = {name: complexity[name] for name in ("params", "mult_adds")}
    if config.graph.path is None and config.network.reference is None:
        scalars |= {f"generator/{name}": value for name, value in config.generator.params().items()}
    stages = record.read_json("dag.json")["stages"]
    for stage, about in stages.items():
        measures = {**about.get("measures", {}), "redraws": about.get("redraws", 0)}
        scalars |= {f"graph/{stage}/{name}": value for name, value in measures.items() if math.isfinite(value)}
    for name in {name for about in stages.values() for name in about.get("measures", {})}:
        of_stages = [scalars[key] for stage in stages if (key := f"graph/{stage}/{name}") in scalars]
        if len(of_stages) == len(stages):
            scalars[f"graph/{name}"] = math.fsum(of_stages) / len(of_stages)
    return scalars
