"""Studies of graph damage: what is measured, how they go on, their results, reports and commands."""

import contextlib
import io
import json
import math
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import commands
import pytest
import torch
from plotly.offline import get_plotlyjs

import randwire
from randwire import damage as graph_damage
from randwire import data
from randwire.cli import damage as command
from randwire.damage import measure as study
from randwire.damage.figure import draw
from randwire.damage.judging import judging_batches
from randwire.damage.measure import Options
from randwire.damage.page import write_report
from randwire.damage.removal import Damage, damaged, recalibrated, stage_dags
from randwire.damage.results import FILE, KINDS, Protocol, Result, drops_of, read, to_lines
from randwire.errors import RecordError
from randwire.inference import evaluation_config, evaluation_data, open_trained
from randwire.metrics import VAL_LOSS, VAL_TOP1
from randwire.records import Record
from randwire.training import evaluate as scoring

SIGMAS = 5.5
"""Two-sided tail of a normal variable: 3.8e-8."""

KEYS: dict[str, object] = {"graph.generator": "er:p=0.5", "graph.nodes": 5, "network.channels": 4, "network.head": 16,
                           "train.epochs": 1, "train.batch_size": 16, "runtime.wandb": "disabled"}  # fmt: skip
QUICK = Options(images=40, recalibrate=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return randwire.train("digits", {**KEYS, "runtime.output": str(tmp_path_factory.mktemp("damage"))})


@pytest.fixture(scope="module")
def done(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    study.run([str(trained), str(trained)], QUICK, folder)
    return folder


def test_every_damage_is_measured_once_with_and_without_recalibration(trained: Path, done: Path) -> None:
    results = read(done)
    dags = stage_dags(randwire.load(trained))
    expected: list[Damage | None] = [None]
    expected += [Damage(stage, (node,)) for stage, dag in dags.items() for node in range(dag.nodes)]
    expected += [Damage(stage, edge) for stage, dag in dags.items() for edge in dag.edges]
    measured = [(result.damage, result.recalibrate) for result in results]
    assert measured == [(damage, batches) for damage in expected for batches in (0, 2)]
    for result in results:
        subject = result.subject
        assert (subject.generator, subject.setting, subject.record) == ("er", "ER(0.5), graph seed 0", str(trained))
        assert (subject.protocol.images, subject.protocol.val_images, subject.protocol.image_seed) == (40, 360, 0)
        assert result.degree == (result.damage and result.damage.degree(dags[result.damage.stage]))


def test_the_whole_network_has_the_score_of_its_training(trained: Path, tmp_path: Path) -> None:
    study.run([str(trained)], Options(nodes=0, edges=0, recalibrate=0), tmp_path)
    (result,) = read(tmp_path)
    last = Record(trained).metrics()[-1]
    assert result.top1 == last[VAL_TOP1.key]
    assert result.loss == pytest.approx(last[VAL_LOSS.key], rel=1e-6)
    assert (result.subject.protocol.images, result.subject.protocol.image_seed) == (360, None)


def test_the_network_is_the_same_after_the_study(trained: Path) -> None:
    opened, options = open_trained(trained), replace(QUICK, nodes=3, edges=3)
    before = {name: value.clone() for name, value in opened.network.state_dict().items()}
    name = study.fingerprint(opened.network)
    tasks = study.pending_tasks(opened.network, name, options, [])
    config = evaluation_config(opened, {})
    results = list(study.measure(opened, config, study.describe(opened, config, options), options, tasks))
    assert len(results) == len(tasks) == 2 * (1 + 3 + 3)
    assert len({result.loss for result in results}) > 7
    after = opened.network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert study.fingerprint(opened.network) == name
    assert not any(
        module.training or module._forward_hooks or module._forward_pre_hooks for module in opened.network.modules()
    )
    after["stages.classifier.bn.running_mean"][0] += 1e-6
    assert study.fingerprint(opened.network) != name


def test_recalibration_sees_the_first_batches_of_the_training(trained: Path, done: Path) -> None:
    opened = open_trained(trained)
    config = evaluation_config(opened, {})
    dataset = evaluation_data(opened, config, 1)
    train = data.Loader(dataset, "train", config.data, data.Batching(batch_size=16))
    val = data.Loader(dataset, "val", config.data.evaluation, data.Batching(batch_size=16))
    batches = [opened.normalise(images) for images, _ in train.epoch(0)][:2]
    val_batches = [*judging_batches(val, 360, 16, 40, seed=0)]
    train.close()
    val.close()
    for result in [result for result in read(done) if result.damage and result.recalibrate][0:7:3]:
        assert result.damage
        with damaged(opened.network, result.damage), recalibrated(opened.network, batches):
            scores = scoring.evaluate(opened.network, val_batches, opened.normalise).to_row()
        assert result.top1 == scores[VAL_TOP1.key]
        assert result.loss == pytest.approx(scores[VAL_LOSS.key], rel=1e-5)


def test_the_memory_for_images_counts_those_that_judge_and_recalibrate(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, counted = open_trained(trained), []
    monkeypatch.setattr(study, "fits", lambda count, device: counted.append(count))
    config = evaluation_config(opened, {"data.resolution": 16, "data.eval_resolution": 8}, trains=True)
    subject = study.describe(opened, config, QUICK)
    for tasks in ([(None, 0)], [(None, 0), (None, 2)]):
        assert len([*study.measure(opened, config, subject, QUICK, tasks)]) == len(tasks)
    assert counted == [3 * 40 * 8 * 8, 3 * 40 * 8 * 8 + 3 * 2 * 16 * 16 * 16]


def _stopping(monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """Make the evaluation raise KeyboardInterrupt once it has been called so often; returns the count of its calls."""
    calls = [0]
    real = scoring.evaluate

    def evaluate(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] > after:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(study, "evaluate", evaluate)
    return calls


def test_an_interrupted_study_goes_on_where_it_was(
    trained: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(QUICK, nodes=2, edges=2)
    with monkeypatch.context() as patch:
        _stopping(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            study.run([str(trained)], options, tmp_path)
    assert len(read(tmp_path)) == 5
    with open(tmp_path / FILE, "a") as file:
        file.write('{"network": "cut o')  # a kill while the line was written
    calls = _stopping(monkeypatch, 10_000)
    study.run([str(trained)], options, tmp_path)
    assert calls[0] == 2 * (1 + 2 + 2) - 5
    study.run([str(trained)], options, tmp_path)
    assert calls[0] == 2 * (1 + 2 + 2) - 5, "nothing was left"
    lines = (tmp_path / FILE).read_text().splitlines()
    assert lines == [line for line in (done / FILE).read_text().splitlines() if line in lines], "as in one go"
    assert len(set(lines)) == 10


def test_a_sampled_study_can_be_extended(trained: Path, done: Path, tmp_path: Path) -> None:
    for nodes, edges, lines in ((2, 1, 8), (3, 1, 10)):
        study.run([str(trained)], replace(QUICK, nodes=nodes, edges=edges), tmp_path)
        assert len(read(tmp_path)) == lines
    results = read(tmp_path)
    network = open_trained(trained).network
    left = study.pending_tasks(network, results[0].subject.network, QUICK, results)
    expected = {(result.damage, result.recalibrate) for result in set(read(done)) - set(results)}
    assert len(left) == len(expected) == len(read(done)) - 10
    assert set(left) == expected, "all that is not in the sample"


def test_judged_images_are_a_sample_of_the_validation_split(trained: Path) -> None:
    opened = open_trained(trained)
    config = evaluation_config(opened, {})
    dataset = evaluation_data(opened, config, 1)
    loader = data.Loader(dataset, "val", config.data.evaluation, data.Batching(batch_size=16))
    whole = torch.cat([images for images, _ in loader.epoch(0)])
    labels = torch.cat([labels for _, labels in loader.epoch(0)])
    indices = {image.numpy().tobytes(): index for index, image in enumerate(whole.contiguous())}
    hits: Counter[int] = Counter()
    for seed in range(60):
        batches = [*judging_batches(loader, 360, 16, 40, seed)]
        assert [len(images) for images, _ in batches] == [16, 16, 8]
        assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in batches)
        drawn = [indices[image.numpy().tobytes()] for images, _ in batches for image in images.contiguous()]
        assert len(set(drawn)) == 40
        assert torch.equal(torch.cat([label for _, label in batches]), labels[drawn])
        hits.update(index // 36 for index in drawn)
    expected, deviation = 240, math.sqrt(2400 * 0.1 * 0.9)
    assert all(abs(hits[part] - expected) < SIGMAS * deviation for part in range(10))
    assert sum(len(images) for images, _ in judging_batches(loader, 360, 16, None, 0)) == 360
    loader.close()


def test_the_figure_and_tables_show_every_drop(done: Path) -> None:
    results = read(done)
    drops = drops_of(results)
    assert len(drops) == len(results) - 2
    whole = {result.recalibrate: result.top1 for result in results if not result.damage}
    assert all(drop.points == whole[drop.result.recalibrate] - drop.result.top1 for drop in drops)
    drawn = draw(drops)
    boxes = [trace for trace in drawn["data"] if trace["type"] == "box"]
    assert len(boxes) == 4
    for trace, (kind, batches) in zip(boxes, [(kind, batches) for kind in KINDS for batches in (0, 2)], strict=True):
        mine = [drop for drop in drops if (drop.damage.kind, drop.result.recalibrate) == (kind, batches)]
        assert trace["y"] == [drop.points for drop in mine]
        assert [round(x) for x in trace["x"]] == [drop.degree for drop in mine]
    page = write_report(done).read_text()
    assert "http:" not in page.replace(get_plotlyjs(), "").replace("https:", "http:"), "the page needs something else"
    for kind in KINDS:
        n = sum(drop.damage.kind == kind for drop in drops) // 2
        assert f"n = {n} of 1 network" in page
        points = [drop.points for drop in drops if drop.damage.kind == kind and not drop.recalibrated]
        assert f"{sum(points) / n:.2f} ± " in page


def test_the_figure_is_one_of_plotly_too(done: Path, tmp_path: Path) -> None:
    drawn = draw(drops_of(read(done)))
    figure = graph_damage.drops(str(done))
    assert [list(trace.y) for trace in figure.data] == [trace["y"] for trace in drawn["data"]]
    assert figure.layout.yaxis.title.text == "drop in top-1 (points)"
    for folder, section in ((done, 2), (done, 0), (tmp_path, 1)):
        with pytest.raises(RecordError, match=f"not a section {section}"):
            graph_damage.drops(folder, section)


def test_networks_that_are_not_alike_get_sections_of_their_own(done: Path, tmp_path: Path) -> None:
    results = read(done)
    protocol = replace(results[0].subject.protocol, source="another <source>")
    other = [_of(result, network="0" * 12, protocol=protocol) for result in results]
    (tmp_path / FILE).write_text(to_lines([*results, *other]))
    page = write_report(tmp_path).read_text()
    assert page.count("<section>") == 2
    assert "of another &lt;source&gt; at" in page
    assert "<source>" not in page
    (tmp_path / FILE).write_text(to_lines([result for result in results if not result.damage]))
    with pytest.raises(RecordError, match="no results of damaged networks"):
        write_report(tmp_path)


def _of(result: Result, **values: object) -> Result:
    return replace(result, subject=replace(result.subject, **values))  # type: ignore[arg-type]


OLD = "tiny regime, C = 4, 5 nodes a stage, sepconv, after epoch 1; {} validation images of digits at 32 pixels, fp32"
"""What version 0.1 wrote instead of a protocol."""


def _as_old(folder: Path, target: Path, images: str) -> None:
    """The results of a folder as version 0.1 wrote them."""
    rows = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    old = [
        {
            **{key: value for key, value in row.items() if key != "protocol"},
            "about": OLD.format(images),
            "images": int(images.split()[0]),
        }
        for row in rows
    ]
    (target / FILE).write_text("".join(f"{json.dumps(row)}\n" for row in old))


def test_results_of_before_go_on_and_are_compared(
    trained: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_old(done, tmp_path, "40 (seed 0) of 360")
    assert read(tmp_path) == read(done)
    lines = (tmp_path / FILE).read_text().splitlines(keepends=True)
    (tmp_path / FILE).write_text("".join(lines[:-2]))
    calls = _stopping(monkeypatch, 10_000)
    study.run([str(trained)], QUICK, tmp_path)
    assert calls[0] == 2
    assert read(tmp_path) == read(done)
    assert write_report(tmp_path).read_text() == write_report(done).read_text()
    _as_old(done, tmp_path, "360")
    status, text = _call(["run", str(trained), "--images", "40", "--recalibrate", "2", "--output", str(tmp_path)])
    assert status == 2
    assert f"has results of {trained} with images 360, not 40, image seed None, not 0; choose another --output" in text


@pytest.mark.parametrize("nodes", [(32,), (16, 32)])
@pytest.mark.parametrize(("images", "seed"), [(50_000, None), (8, 3)])
def test_a_protocol_is_its_fields_and_its_text_is_that_of_before(
    nodes: tuple[int, ...], images: int, seed: int | None
) -> None:
    protocol = Protocol("regular-wide", 109, nodes, "sepconv", 100, "data/my, set", 224, "bf16", images, 50_000, seed)
    row = json.loads(json.dumps({"protocol": asdict(protocol)}))
    assert Protocol.from_row(row) == Protocol.from_row({"about": str(protocol)}) == protocol
    text = {None: "50000", 3: "8 (seed 3) of 50000"}[seed]
    assert str(protocol) == (
        f"regular-wide regime, C = 109, {'/'.join(map(str, nodes))} nodes a stage, sepconv, after epoch 100; "
        f"{text} validation images of data/my, set at 224 pixels, bf16"
    )
    with pytest.raises(ValueError, match="unknown protocol"):
        Protocol.from_row({"about": "another sentence"})


def test_the_wording_of_a_protocol_is_no_part_of_it(
    trained: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_bytes((done / FILE).read_bytes())
    monkeypatch.setattr(Protocol, "__str__", lambda protocol: "in other words")
    study.run([str(trained)], QUICK, tmp_path)
    assert (tmp_path / FILE).read_bytes() == (done / FILE).read_bytes()
    assert "in other words." in write_report(tmp_path).read_text()


# The command.

SMALL = ("--images", "20", "--recalibrate", "1", "--nodes", "1", "--edges", "2")


def test_without_records_three_networks_are_trained_on_the_digits(tmp_path: Path) -> None:
    output = ("--output", str(tmp_path / "damage"))
    keys = KEYS | {"graph.nodes": 6, "train.batch_size": 128}  # BA(5) needs six nodes
    small = [word for key, value in keys.items() if key != "graph.generator" for word in (f"--{key}", str(value))]
    assert "python studies/damage.py run" in (commands.ROOT / "README.md").read_text().splitlines()
    done = commands.call("studies/damage.py", "run", *SMALL, *output, *small)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "damage" / "report.html")]
    results = read(tmp_path / "damage")
    assert Counter(result.subject.setting for result in results) == {
        f"{name}, graph seed 0": 8 for name in ("ER(0.2)", "BA(5)", "WS(4,0.75)")
    }
    assert _call(["run", *SMALL, *output, *small]) == (0, "")  # neither trained nor measured again
    assert read(tmp_path / "damage") == results
    page = tmp_path / "damage" / "report.html"
    page.unlink()
    assert _call(["report", *output]) == (0, "")
    assert page.is_file()


def test_mistakes_are_a_line(trained: Path, done: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / FILE).write_text('{"network": "a"}\n{"network": "b"}\n')
    record, new = str(trained), ["--output", str(tmp_path / "new")]
    cases: list[tuple[list[str], str]] = [
        ([], "required"),
        (["run", "nowhere", *new], "nowhere: no such record"),
        (["run", str(tmp_path / "empty"), *new], "holds no checkpoint"),
        (["run", record, "--nodes", "some", *new], "invalid whole number or all value: 'some'"),
        (["run", record, "--edges", "-1", *new], "invalid whole number or all value: '-1'"),
        (["run", record, "--images", "0", *new], "invalid whole number above 0 value: '0'"),
        (["run", record, "--recalibrate", "1000", *new], "--recalibrate: 1000 batches"),
        (["run", record, "--network.op", "conv", *new], "network.op: is what"),
        (["run", record, "--data.nothing", "1", *new], "data.nothing: unknown key"),
        (["run", "--graph.generator", "ws", *new], "graph.generator: without a RECORD"),
        (["run", record, "--output", str(tmp_path / "file")], "cannot be written"),
        (["run", record, "--output", str(tmp_path / "broken")], "line 1 is no result"),
        (["run", record, "--images", "30", "--output", str(done)], "choose another --output"),
        (["run", record, "--images", "40", "--recalibrate", "3", "--output", str(done)], "recalibrate 2, not 3;"),
        (["run", record, "--images", "40", "--seed", "1", "--output", str(done)], "image seed 0, not 1; choose"),
        (["report", "--output", str(tmp_path / "new")], "holds no results"),
        (["report", "--data.resolution", "8", "--output", str(done)], "is not for report"),
    ]  # fmt: skip
    before = (done / FILE).read_bytes()
    for arguments, message in cases:
        status, text = _call(arguments)
        assert status == 2, arguments
        assert message in text, arguments
        assert len(text.strip().splitlines()) == 1, text
    with Record(done).lock():
        assert "another process is working on this study" in _call(["run", record, "--output", str(done)])[1]
    assert not (tmp_path / "new").exists(), "something was left"
    assert (done / FILE).read_bytes() == before


def _call(arguments: list[str]) -> tuple[int, str]:
    """The exit status of the command, and what it writes to stderr."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
        try:
            return command(None, arguments), stderr.getvalue()
        except SystemExit as ended:
            return int(ended.code or 0), stderr.getvalue()
