"""The W&B report of a study: what a loopback stand-in of the server is sent, and what a failing server costs."""

import json
import os
import random
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
import wandb
from fake_wandb_server import FakeServer
from report_helpers import HOSTILE, Page, add_trial, write_design

from randwire.cli.study_command import study as study_command
from randwire.config import RunConfig
from randwire.records import NEWEST_CHECKPOINT, Record
from randwire.report import write_report
from randwire.report.facts.answer import answer
from randwire.report.facts.study import StudyFacts
from randwire.report.publishing.publisher import LINK, publish
from randwire.study.looks import looks_of
from randwire.tracking import WandbTracker, connection
from randwire.tracking.variables import Variables
from randwire.training import checkpoint

KEY = "5ec2e7" * 7  # long enough to pass for an API key
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, and nothing else of a W&B account."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / ".netrc"))
    monkeypatch.setenv("WANDB_API_KEY", KEY)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    wandb.teardown()  # its session keeps the address that an earlier test of this process has had
    with FakeServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "my-study"


def uploaded(server: FakeServer, *trials: RunConfig) -> None:
    """The server has the runs of these trials, complete."""
    for trial in trials:
        run = server.run(trial.digest)
        run.summary = {"epoch": 8, "val/top1": 0.0}


def report_command(folder: Path, *more: str) -> int:
    arguments = ["report", "--name", folder.name, "--runtime.output", str(folder.parent), *more]
    return study_command("generators", None, arguments)


def blocks(view: Json, kind: str) -> list[Json]:
    return [block for block in json.loads(view["spec"])["blocks"] if block["type"] == kind]


def text(block: Json) -> str:
    """All text of a block, with that of its children."""
    inner = "".join(text(child) for child in block.get("children", []))
    return str(block.get("content") or block.get("text") or "") + inner


def panels(grid: Json) -> list[Json]:
    panels: list[Json] = grid["metadata"]["panelBankSectionConfig"]["panels"]
    return panels


def ids(grid: Json) -> set[str]:
    """The runs that a grid is restricted to; fails if anything else decides."""
    (runs,) = grid["metadata"]["runSets"]
    assert (runs["project"]["entityName"], runs["project"]["name"]) == ("tester", "randwire")
    assert runs["selections"] == {"root": 1, "bounds": [], "tree": []}  # none is hidden
    (item,) = runs["filters"]["filters"]
    assert item["key"] == {"section": "run", "name": "name"}  # the id of a run, as the server calls it
    assert (item["op"], item["disabled"]) == ("IN", False)
    return set(item["value"])


def checks(view: Json) -> dict[str, bool]:
    (checklist,) = [block for block in blocks(view, "list") if "checked" in block["children"][0]]
    return {text(item): item["checked"] for item in checklist["children"]}


def ticked(view: Json, start: str) -> bool:
    (holds,) = [value for name, value in checks(view).items() if name.startswith(start)]
    return holds


def grid_study(folder: Path, seeds: int = 2) -> list[RunConfig]:
    """Two settings of a fixed grid with some finished trials each, whose data files are recorded."""
    trials = [
        add_trial(folder, generator, seed, top1)
        for generator, scores in (("ws:k=4,p=0.75", (90.0, 92.0)), ("er:p=0.2", (80.0, 81.0)))
        for seed, top1 in enumerate(scores[:seeds])
    ]
    for trial in trials:
        state = {**dict.fromkeys(checkpoint.KEYS), "data": {"sha256": {"train": "a" * 64, "val": "b" * 64}}}
        checkpoint.save(folder / trial.digest / "checkpoint", state)
    write_design(folder, "grid")
    return trials


def test_the_panels_show_what_the_tracker_sends(folder: Path, server: FakeServer) -> None:
    """Runs of the real tracker, and every key of every panel among what they hold."""
    trials = grid_study(folder, seeds=1)
    tracker = WandbTracker("online", "randwire", "my-study", folder / "wandb")
    for trial in trials:
        record = Record(folder / trial.digest)
        record.write_text("dag.svg", "<svg/>")
        tracker.start(record, trial.label, resumed_epochs=0)
        for row in record.metrics():
            tracker.log(trial.digest, row)
        tracker.finish(trial.digest, "finished", record.summary() or {})
    tracker.close()
    url = publish(folder)

    (view,) = server.views
    assert url == f"{server.url}/tester/randwire/reports/Fixed-grid-my-study--VmlldzoxMjM1"
    assert (view["entityName"], view["projectName"], view["type"]) == ("tester", "randwire", "runs")
    grids = blocks(view, "panel-grid")
    assert all(ids(grid) == {trial.digest for trial in trials} == set(server.runs) for grid in grids)

    drawn = [(panel["viewType"], panel["config"]) for grid in grids for panel in panels(grid)]
    kinds = [kind for kind, _ in drawn]
    assert kinds == [
        "Bar Chart", "Run History Line Plot", "Parallel Coordinates Plot", *["Scatter Plot"] * 4,
        "Run History Line Plot", "Run History Line Plot", "Media Browser", "Run Comparer",
    ]  # fmt: skip
    spread = {"groupBy": "group", "groupAgg": "mean", "groupArea": "stddev", "aggregate": True}
    bars = drawn[0][1]
    assert bars.items() >= {"metrics": ["val/top1"], "limit": 2, "barLimit": 2, **spread}.items()
    curves = [config for kind, config in drawn if kind == "Run History Line Plot"]
    assert [config["metrics"] for config in curves] == [["val/top1"], ["lr"], ["val/top1"]]
    assert [config.get("groupBy") for config in curves] == ["group", None, None]
    assert curves[0].items() >= spread.items()
    assert {config["xAxis"] for config in curves} == {"epoch"}
    assert all(config["limit"] == 2 for config in curves)
    assert drawn[-2][1].items() >= {"mediaKeys": ["dag/image"], "gallerySettings": {"axis": "run"}}.items()
    assert drawn[-1][1]["diffOnly"] == "split"

    accessors = [column["accessor"] for column in drawn[2][1]["columns"]]
    assert accessors == [
        "config:graph.value.generator", "summary:graph/depth", "summary:graph/clustering", "summary:graph/path_length",
        "summary:graph/edges", "summary:params", "summary:mult_adds", "summary:val/top1",
    ]  # fmt: skip
    scatters = [config for kind, config in drawn if kind == "Scatter Plot"]
    assert [config["xAxis"] for config in scatters] == accessors[1:5]
    assert {config["yAxis"] for config in scatters} == {"summary:val/top1"}
    for trial in trials:
        run = server.run(trial.digest)
        assert run.sent("groupName") == trial.label
        assert run.config["graph"]["generator"] == trial.graph.generator
        assert {name.removeprefix("summary:") for name in accessors[1:]} <= run.summary.keys()
        assert any("dag/image" in row for row in run.history)
        assert sum({"epoch", "lr", "val/top1"} <= row.keys() for row in run.history) == 8

    assert all(value for name, value in list(checks(view).items())[:-3]), checks(view)
    assert not any(list(checks(view).values())[-3:])  # what only a person can tell
    assert "train aaaaaaaaaaaa, val bbbbbbbbbbbb" in str(checks(view))
    assert KEY in server.keys
    assert not any(KEY.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_settings_stay_what_panels_show_where_runs_have_a_group_of_the_users(
    folder: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_GROUP", "night")
    trial = grid_study(folder, seeds=1)[0]
    uploaded(server, trial)
    tracker = WandbTracker("offline", "randwire", "my-study", folder / "wandb", Variables.read())
    tracker.start(Record(folder / trial.digest), trial.label)
    tracker.close()
    publish(folder)
    shown = [panel["config"] for grid in blocks(server.views[0], "panel-grid") for panel in panels(grid)]
    grouped = [config["groupBy"] for config in shown if config.get("groupBy")]
    assert grouped == ["setting.value"] * 2


def test_words_and_tables_are_those_of_the_records(folder: Path, server: FakeServer) -> None:
    trials = [add_trial(folder, "ws:k=4,p=0.75", seed, top1) for seed, top1 in enumerate((90.0, 91.0, 95.0))]
    trials += [add_trial(folder, "ba:m=5", seed, top1) for seed, top1 in enumerate((88.25, 89.25))]
    excluded = [
        add_trial(folder, "er:p=0.6", 0, 12.0, status="pruned", epochs=3, cause="stopped early after epoch 3"),
        add_trial(folder, "er:p=0.6", 1, 13.0, status="failed", epochs=2, cause=HOSTILE),
    ]
    Record(folder / "damaged").write_text("config.yaml", "graph: [")
    write_design(folder, "tpe")
    uploaded(server, *trials)
    publish(folder)

    (view,) = server.views
    assert view["displayName"] == "Search my-study"
    assert view["description"].startswith("Read it as a search, not as a comparison. Design: adaptive search (TPE)")
    assert (
        "Budget: 8 epochs on digits. Trials: n = 5 of 8 (5 finished, 1 pruned, 1 failed, 1 unreadable"
        in (view["description"])
    )
    warnings = [text(block) for block in blocks(view, "callout-block")]
    assert any("biased by adaptivity" in line for line in warnings)
    assert any(line.startswith("3 trials excluded") for line in warnings)
    page = Page(write_report(folder))
    assert len(warnings) == sum(attributes.get("class") == "warning" for _, attributes in page.tags)
    assert all(line in page.text for line in warnings), "both say the same"
    tables = next(text(block) for block in blocks(view, "markdown-block") if "| setting |" in text(block))
    assert "| WS(4,0.75) | 3 | 92.00 | 2.65 | 90.00 to 95.00 | 0.616 ± 0.000 |" in tables
    assert "| BA(5) | 2 | 88.75 | 0.71 | 88.25 to 89.25 | 0.616 ± 0.000 |" in tables
    leaders = [line.split(" | ")[:4] for line in tables.splitlines() if "| 1 setting |" in line]
    assert leaders == [["| WS", "WS(4,0.75)", "1 setting", "3"], ["| BA", "BA(5)", "1 setting", "2"]]
    assert "No setting of ER has finished." in tables
    assert "| ER" not in tables
    last = next(text(block) for block in blocks(view, "markdown-block") if " pruned: " in text(block))
    assert f"`{excluded[0].digest}` ER(0.6) g0 t0 pruned: `stopped early after epoch 3`" in last
    assert "</script>" in last  # as code, in a line of its own
    assert len(last.splitlines()) == 3
    results, *others = blocks(view, "panel-grid")
    assert ids(results) == {trial.digest for trial in trials}
    assert all(ids(grid) == {trial.digest for trial in trials + excluded} for grid in others)
    assert [name.split(":")[0] for name, value in checks(view).items() if value] == [
        "All trials have one budget",
        "The logged learning rate is the schedule's closed form",
        "All trials ran at one commit, without other changes",
    ]
    assert "n is equal in all cells: n = 2, 3" in checks(view)
    assert "All trials that count read the same data files: unknown for lack of a checkpoint" in checks(view)
    assert "W&B has the last epoch of every trial: of 0 of 8" in checks(view)


def test_a_command_of_several_lines_is_told_in_one(folder: Path, server: FakeServer) -> None:
    trials = grid_study(folder, seeds=1)
    for trial in trials:
        record = Record(folder / trial.digest)
        record.write_json("environment.json", {**record.read_json("environment.json"), "command": "train 'a\n<b>'"})
    uploaded(server, *trials)
    publish(folder)
    (view,) = server.views
    answered, origin, *_ = (text(block) for block in blocks(view, "markdown-block"))
    assert answered == " ".join(answer(StudyFacts.load(folder)))
    opening = origin.splitlines()
    assert "- **command**: train 'a <b>'" in opening
    assert all(line.startswith("- **") for line in opening)


def test_variants_are_told_in_the_sentences_of_the_report(folder: Path, server: FakeServer) -> None:
    trials = [
        add_trial(folder, "ws:k=4,p=0.75", seed, 80.0 + 5 * seed + points, network__op=op)
        for op, scores in (("conv", (0.1, 0.0, -0.1)), ("avgpool", (-2.0, -2.0, -2.0)))
        for seed, points in enumerate(scores)
    ]
    write_design(folder, "grid", variants={op: {"network.op": op} for op in ("conv", "avgpool")})
    uploaded(server, *trials)
    publish(folder)
    (view,) = server.views
    tables = next(text(block) for block in blocks(view, "markdown-block") if "| setting |" in text(block))
    assert tables.startswith(
        "- avgpool is 2.00 points below conv on the same graphs (n = 3 graphs, 95% interval 1.75 to"
    )


def test_budgets_are_never_in_one_panel(folder: Path, server: FakeServer) -> None:
    short = [add_trial(folder, "ws:k=4,p=0.75", seed, 80.0) for seed in range(2)]
    long = [add_trial(folder, "ws:k=6,p=0.5", 0, 95.0, train__epochs=16)]
    uploaded(server, *short, *long)
    write_design(folder, "grid")
    publish(folder)
    (view,) = server.views
    first, second, *_ = blocks(view, "panel-grid")
    assert [ids(first), ids(second)] == [{trial.digest for trial in short}, {trial.digest for trial in long}]
    assert not ticked(view, "All trials have one budget")
    columns = panels(first)[2]["config"]["columns"]  # of one generator, so its parameters are axes
    assert [column["accessor"] for column in columns[1:3]] == ["summary:generator/k", "summary:generator/p"]


def test_a_wrong_learning_rate_or_commit_or_data_file_is_found(folder: Path, server: FakeServer) -> None:
    trials = grid_study(folder)
    uploaded(server, *trials)
    first, second, third, _ = (Record(folder / trial.digest) for trial in trials)
    first.write_text("metrics.jsonl", "".join(json.dumps({**row, "lr": 0.05}) + "\n" for row in first.metrics()))
    second.write_json("environment.json", {**second.read_json("environment.json"), "dirty": True})
    (third.checkpoint / NEWEST_CHECKPOINT).unlink()
    publish(folder)
    (view,) = server.views
    starts = ("The logged learning rate", "All trials ran at one commit", "All trials that count read")
    assert not any(ticked(view, start) for start in starts)
    assert ticked(view, "n is equal in all cells")


def test_publishing_again_updates_the_report(
    folder: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uploaded(server, *grid_study(folder))
    assert report_command(folder, "--publish") == 0
    page, first = capsys.readouterr().out.splitlines()
    assert (page, Path(page).is_file()) == (str(folder / "report.html"), True)
    assert json.loads((folder / LINK).read_text()) == {
        "server": server.url, "entity": "tester", "project": "randwire", "id": "VmlldzoxMjM1", "url": first,
    }  # fmt: skip
    assert report_command(folder, "--publish") == 0
    assert capsys.readouterr().out.splitlines()[1] == first
    assert [view["id"] for view in server.views] == [None, "VmlldzoxMjM1"]

    server.refuse = {"upsertView": 404}
    assert report_command(folder, "--publish") == 2
    assert f"if the report is gone, delete {folder / LINK}" in capsys.readouterr().err
    server.refuse = {}
    monkeypatch.setenv("WANDB_ENTITY", "team")  # another account has a report of its own
    assert report_command(folder, "--publish") == 0
    assert "/team/randwire/reports/" in capsys.readouterr().out
    assert (server.views[-1]["id"], server.views[-1]["entityName"]) == (None, "team")


def test_a_published_report_is_a_look_at_its_tests(folder: Path, server: FakeServer) -> None:
    for seeds in (3, 5):
        settings = ("ws:k=4,p=0.75", "er:p=0.2")
        trials = [add_trial(folder, spec, seed, 90.0 + 0.3 * seed) for spec in settings for seed in range(seeds)]
        write_design(folder, "grid")
        uploaded(server, *trials)
        publish(folder)
    assert [dict(look.n) for look in looks_of(folder)] == [{"ER(0.2)": n, "WS(4,0.75)": n} for n in (3, 5)]
    told = [json.dumps(view) for view in server.views]
    assert "looked at" not in told[0]
    assert told[1].count("looked at 2 times, at n = 3 and 5 (") == 1, "in the answer, once"


def test_runs_that_are_not_uploaded_are_told(
    folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    grid_study(folder)
    assert report_command(folder, "--publish") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: tester/randwire has no run of this study; to upload later: (cd ")
    server.projects.clear()
    assert report_command(folder, "--publish") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "randwire" in line
    assert not server.views
    assert not (folder / LINK).exists()


@pytest.mark.parametrize(
    "refusal", ["Viewer 401", "Viewer 403", "Viewer 500", "Runs 401", "upsertView 403", "upsertView 500"]
)
def test_a_server_that_refuses_costs_one_line(
    folder: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusal: str
) -> None:
    uploaded(server, *grid_study(folder))
    operation, status = refusal.split()
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT_S", 4.0)
    monkeypatch.setattr(connection, "PREFLIGHT_TIMEOUT_S", 2)
    server.refuse[operation] = int(status)
    started = time.monotonic()
    assert report_command(folder, "--publish") == 2
    assert time.monotonic() - started < 30
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1  # the page is there all the same
    assert re.fullmatch(r"error: [^\n]+\n", err)
    assert KEY not in out + err
    assert not (folder / LINK).exists()
    assert not any(KEY.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_without_a_server_one_line_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.setattr(connection, "PREFLIGHT_TIMEOUT_S", 2)
    grid_study(folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", url)
        if kind == "closed":
            listener.close()
        started = time.monotonic()
        assert report_command(folder, "--publish") == 2
        assert time.monotonic() - started < 30
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert url in line
    assert KEY not in line


def test_without_a_key_one_line_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid_study(folder)
    monkeypatch.delenv("WANDB_API_KEY")
    options = ("--name", folder.name, "--runtime.output", str(folder.parent))
    done = commands.call("studies/generators.py", "report", *options, "--publish")
    assert done.returncode == 2
    assert done.stderr == "error: no API key is found (set WANDB_API_KEY or run `wandb login`)\n"
    assert done.stdout == f"{folder / 'report.html'}\n"
    assert not (folder / LINK).exists()


def test_a_report_that_is_not_published_asks_no_server(
    folder: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    grid_study(folder)
    assert report_command(folder) == 0
    assert not server.operations
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"


def test_the_report_ends_with_what_to_run_next_and_tells_the_tests(folder: Path, server: FakeServer) -> None:
    noise = random.Random(0)
    trials = [
        add_trial(folder, spec, seed, 73 + noise.gauss(0, 0.3))
        for spec in ("ws:k=4,p=0.75", "ba:m=5", "er:p=0.2")
        for seed in range(4)
    ]
    write_design(folder, "list", only=["ws:k=4,p=0.75", "ba:m=5", "er:p=0.2"])
    uploaded(server, *trials)
    publish(folder)
    (view,) = server.views
    texts = [text(block) for block in blocks(view, "markdown-block")]
    assert texts[0] == " ".join(answer(StudyFacts.load(folder)))
    (questions,) = [one for one in texts if one.startswith("**Do the best settings of the generators differ?**")]
    assert questions.count("separated at n=4") == 3
    assert "**Settings that may be the best**: " in questions
    page = Page(write_report(folder))
    command, said = texts[-1].split("\n\n")
    assert f"--confirm {folder.name}" in command
    assert command.strip("`") in page.text
    assert said in page.text
