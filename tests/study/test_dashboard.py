"""optuna-dashboard opens what `report --optuna` writes."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report_helpers import add_trial, write_design
from study_helpers import command

from randwire.study.folder import StudyFolder
from randwire.study.setting import Setting

PATIENCE = 60.0
"""Seconds for which a server may take to answer, on a busy machine."""


@contextmanager
def dashboard(journal: Path) -> Iterator[str]:
    """The address of optuna-dashboard's JSON on the loopback, while it serves a file."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    script = Path(sys.executable).with_name("optuna-dashboard")
    process = subprocess.Popen([script, "--quiet", "--server", "wsgiref", "--port", str(port), journal])
    try:
        address = f"http://127.0.0.1:{port}/api"
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                get(address + "/studies")
                break
            except urllib.error.URLError:
                assert process.poll() is None, "it has ended"
                assert time.monotonic() < deadline, "it does not answer"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE)


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=PATIENCE) as response:
        return json.load(response)


def test_the_dashboard_lists_the_study_with_all_its_trials(tmp_path: Path) -> None:
    folder = tmp_path / "my-study"
    write_design(folder, "random", seeds=[0])
    specs = [f"ws:k={k},p={p}" for k in (2, 4) for p in ("0.25", "0.5", "0.75")] + ["ba:m=2", "ba:m=5", "ba:m=7"]
    for count, spec in enumerate(specs):
        StudyFolder(folder).add_suggestion(Setting(spec))
        add_trial(folder, spec, 0, 80.0 + count)
    StudyFolder(folder).add_suggestion(Setting("er:p=0.2"), {Setting("ba:m=1"): ["depth<=4"]})
    journal = tmp_path / "study.log"
    assert command("report", "--name", "my-study", "--runtime.output", str(tmp_path), "--optuna", str(journal)) == 0
    with dashboard(journal) as address:
        (study,) = get(f"{address}/studies")["study_summaries"]
        assert (study["study_name"], study["directions"]) == ("my-study", ["maximize"])
        shown = get(f"{address}/studies/{study['study_id']}")
        trials = shown["trials"]
        assert [trial["state"] for trial in trials] == ["Complete"] * 9 + ["Pruned", "Waiting"]
        assert [trial["values"] for trial in trials[:9]] == [[80.0 + count] for count in range(9)]
        attributes = [{one["key"]: one["value"] for one in trial["user_attrs"]} for trial in trials]
        assert [own["setting"] for own in attributes[-4:]] == ["BA(5)", "BA(7)", "BA(1)", "ER(0.2)"]
        assert shown["objective_names"] == ["top1"]
        assert {one["name"] for one in shown["union_search_space"]} == {"generator", "ws.k", "ws.p", "ba.m", "er.p"}
        (best,) = shown["best_trials"]
        assert {one["name"]: one["param_external_value"] for one in best["params"]} == {"generator": "ba", "ba.m": "7"}
        (importances,) = get(f"{address}/studies/{study['study_id']}/param_importances")["param_importances"]
        assert {one["name"] for one in importances} >= {"generator", "ws.k", "ws.p", "ba.m"}
