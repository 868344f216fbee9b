"""A training that ends in the middle of an epoch goes on there, with the numbers of one that was never disturbed."""

import errno
import random
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from killed_ranks import Strike, Tried, attempt, numbers, settings
from torch import Tensor, distributed, nn

from randwire import data, run
from randwire.config import RunConfig
from randwire.ending import Ending, summarise
from randwire.errors import CheckpointError
from randwire.model.building import build
from randwire.parts import parts_of
from randwire.records import MID_EPOCH_CHECKPOINT, NEWEST_CHECKPOINT, Record
from randwire.training import checkpoint
from randwire.training.augment import Augment
from randwire.training.checkpoint import MID_EPOCH_KEYS, read, to_go_on_from
from randwire.training.evaluate import Normalise
from randwire.training.mid_epoch import check_same_place
from randwire.training.optim import learning_rate, make_optimizer
from randwire.training.step import train_step
from randwire.training.worker import ProcessWorker
from randwire.wiring import dags_of, sample_graphs

STEPS = 11
"""Of each of two epochs."""
INTERVAL = 2
"""Steps between checkpoints in the middle of an epoch, by the clock of these trainings."""
KILLS = 10
KEYS: Mapping[int, Mapping[str, object]] = {
    1: {
        "network.dropout": 0.3,
        "network.drop_edge": 0.5,
        "data.order": "quasi-random",
        "data.start_resolution": 12,
        "data.ramp": [0.5, 1.0],
        "data.rotate": 5,
    },
    2: {
        "network.dropout": 0.3,
        "network.drop_edge": 0.5,
        "network.drop_edge_ranks": "independent",
        "train.optimizer": "adamw",
        "train.lr": 0.01,
        "train.precision": "bf16",
    },
}
"""By the number of ranks."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Record]:
    """The records of trainings of one and of two ranks that nothing has happened to."""
    records = []
    for ranks, keys in KEYS.items():
        folder = tmp_path_factory.mktemp(f"undisturbed-{ranks}")
        config = settings(folder, {**keys, "runtime.checkpoint_minutes": 0})
        assert attempt(config, ranks, folder / "try").codes == [0] * ranks
        records.append(run.record_of(config))
    return records


def count(place: tuple[int, int]) -> int:
    """Steps from the beginning of the training to the end of a step."""
    epoch, step = place
    return (epoch - 1) * STEPS + step


def place(steps: int) -> tuple[int, int]:
    return (steps - 1) // STEPS + 1, (steps - 1) % STEPS + 1


def assert_same(record: Record, undisturbed: Record) -> None:
    assert numbers(record) == numbers(undisturbed)
    state, expected = (read(each.checkpoint / NEWEST_CHECKPOINT)["network"] for each in (record, undisturbed))
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert not (record.checkpoint / MID_EPOCH_CHECKPOINT).exists()
    assert not list(record.folder.rglob("*.partial"))


@pytest.mark.parametrize("ranks", KEYS)
def test_kills_at_random_steps_lose_no_more_than_the_minutes_allow(
    ranks: int, tmp_path: Path, undisturbed: Sequence[Record]
) -> None:
    stream = random.Random(ranks)
    config = settings(tmp_path / "runs", KEYS[ranks])
    reached = 0
    for number, struck in enumerate(sorted(stream.sample(range(1, 2 * STEPS + 1), KILLS))):
        strike = Strike(signal.SIGKILL, *place(struck), rank=stream.randrange(ranks))
        tried = attempt(config, ranks, tmp_path / f"try{number}", strike)
        assert tried.codes[strike.rank] == -signal.SIGKILL
        trained = [count(step) for step in tried.steps]
        if strike.rank and struck == reached + 1 and not trained:
            continue  # the first rank did not come to the end of the step in which the other one was struck
        # Two ranks ask each other as often as they save.
        assert 0 <= reached + 1 - trained[0] <= INTERVAL * ranks
        assert trained == list(range(trained[0], trained[-1] + 1))
        assert struck - 1 <= trained[-1] <= struck
        reached = trained[-1]
    tried = attempt(config, ranks, tmp_path / "last")
    assert tried.codes == [0] * ranks
    assert 0 <= reached + 1 - count(tried.steps[0]) <= INTERVAL * ranks
    assert_same(run.record_of(config), undisturbed[ranks - 1])


@pytest.mark.parametrize(
    ("ranks", "number", "of_all"),
    [(1, signal.SIGTERM, True), (1, signal.SIGINT, True), (2, signal.SIGTERM, True), (2, signal.SIGTERM, False)],
    ids=["SIGTERM", "SIGINT", "of two ranks", "of the second rank alone"],
)
def test_a_signal_costs_no_step(
    ranks: int, number: signal.Signals, of_all: bool, tmp_path: Path, undisturbed: Sequence[Record]
) -> None:
    config = settings(tmp_path / "runs", {**KEYS[ranks], "runtime.checkpoint_minutes": 10})
    trained: list[tuple[int, int]] = []
    begun = []
    for part, steps in enumerate((3, STEPS, STEPS + 6)):
        strike = Strike(number, *place(steps), rank=ranks - 1, all_ranks=of_all)
        tried = attempt(config, ranks, tmp_path / f"try{part}", strike)
        assert tried.codes == [130] * ranks
        begun.append(tried.steps[0])
        trained += tried.steps
        assert count(trained[-1]) - steps <= 5 * (ranks - 1), "the steps until the ranks ask each other"
    last = attempt(config, ranks, tmp_path / "last").steps
    trained, begun = [*trained, *last], [*begun, last[0]]
    assert [count(step) for step in trained] == list(range(1, 2 * STEPS + 1))
    record = run.record_of(config)
    assert_same(record, undisturbed[ranks - 1])
    starts = [(part["first_epoch"], part["first_step"]) for part in parts_of(record)]
    assert [count(start) for start in starts] == [count(start) for start in begun]


def killed_at(step: int, ranks: int, folder: Path, keys: Mapping[str, object]) -> tuple[RunConfig, Record, Tried]:
    config = settings(folder / "runs", keys)
    tried = attempt(config, ranks, folder / "killed", Strike(signal.SIGKILL, 2, step))
    return config, run.record_of(config), tried


def test_a_damaged_file_costs_the_epoch_and_is_told(tmp_path: Path, undisturbed: Sequence[Record]) -> None:
    config, record, _ = killed_at(7, 1, tmp_path, KEYS[1])
    path = record.checkpoint / MID_EPOCH_CHECKPOINT
    path.write_bytes(path.read_bytes()[:-1000])
    tried = attempt(config, 1, tmp_path / "again")
    assert tried.steps[0] == (2, 1)
    (line,) = (tmp_path / "again" / "rank0.txt").read_text().splitlines()
    assert line.startswith(f"{path}: not a readable checkpoint: ")
    assert line.endswith("; epoch 2 begins anew")
    assert_same(record, undisturbed[0])


def test_a_file_of_another_epoch_is_left_over(tmp_path: Path) -> None:
    _, record, _ = killed_at(7, 1, tmp_path, {})
    state, told = checkpoint.to_go_on_from(record.checkpoint)
    assert state is not None
    assert (set(state), state["epoch"], told) == (MID_EPOCH_KEYS, 2, f"epoch 2: goes on after step 6 of {STEPS}")
    (record.checkpoint / NEWEST_CHECKPOINT).unlink()
    assert checkpoint.to_go_on_from(record.checkpoint) == (None, "")
    (record.checkpoint / NEWEST_CHECKPOINT).write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=NEWEST_CHECKPOINT):
        checkpoint.to_go_on_from(record.checkpoint)


def test_zero_minutes_save_at_the_end_of_epochs_alone(tmp_path: Path) -> None:
    config, record, _ = killed_at(7, 1, tmp_path, {"runtime.checkpoint_minutes": 0})
    assert not (record.checkpoint / MID_EPOCH_CHECKPOINT).exists()
    tried = attempt(config, 1, tmp_path / "stopped", Strike(signal.SIGTERM, 2, 3))
    assert (tried.codes, tried.steps) == ([130], [(2, 1), (2, 2), (2, 3)])
    assert not (record.checkpoint / MID_EPOCH_CHECKPOINT).exists()


def test_a_training_that_fails_leaves_no_state_of_an_epoch(tmp_path: Path) -> None:
    config = settings(tmp_path / "runs", {"train.lr": 1e30})
    attempt(config, 1, tmp_path / "killed", Strike(signal.SIGKILL, 1, 7))
    record = run.record_of(config)
    assert (record.checkpoint / MID_EPOCH_CHECKPOINT).exists()
    attempt(config, 1, tmp_path / "again")
    summary = record.summary()
    assert summary is not None
    assert summary["status"] == "failed"
    assert not (record.checkpoint / MID_EPOCH_CHECKPOINT).exists()


# On another number of ranks


@cache
def halves(ranks: int) -> Sequence[slice]:
    return [slice(rank * 120 // ranks, (rank + 1) * 120 // ranks) for rank in range(ranks)]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_on_another_number_of_ranks_it_is_the_training_that_changes_them_there(
    before: int, after: int, tmp_path: Path
) -> None:
    """Trained here once more: one copy of the network a rank, with the mean of their gradients."""
    config, record, _ = killed_at(7, before, tmp_path, {"data.rotate": 5})
    state = read(record.checkpoint / MID_EPOCH_CHECKPOINT, MID_EPOCH_KEYS)
    done = int(state["part"]["steps_done"])
    assert 4 <= done <= 6
    tried = attempt(config, after, tmp_path / "again")
    assert tried.codes == [0] * after
    assert tried.steps == [(2, step) for step in range(done + 1, STEPS + 1)]

    network, losses = _go_on(config, state, after)
    (_, row) = record.metrics()
    assert row["train_loss"] == pytest.approx(losses / STEPS, rel=1e-5)
    trained = read(record.checkpoint / NEWEST_CHECKPOINT)["network"]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-3, atol=1e-5)


def _go_on(config: RunConfig, state: Mapping[str, object], ranks: int) -> tuple[nn.Module, float]:
    """The network, and the sum of its mean losses, after the rest of epoch 2."""
    part: dict[str, object] = dict(state["part"])  # type: ignore[call-overload]
    saved: list[dict[str, list[Tensor]]] = part["ranks"]  # type: ignore[assignment]
    first = int(part["steps_done"])  # type: ignore[call-overload]
    dataset = data.prepare(config.data)
    network = build(config.network, dags_of(sample_graphs(config)), 10, config.data.resolution, False, False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.load_state_dict(state["network"])  # type: ignore[arg-type]
    buffers = [value for name, value in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    for number, buffer in enumerate(buffers):
        buffer.copy_(torch.stack([rank["buffers"][number] for rank in saved]).mean(0))
    losses = float(torch.stack([torch.as_tensor(rank["losses"]) for rank in saved]).mean())
    optimizer = make_optimizer(network, config.train)
    optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
    copies = [deepcopy(network).train() for _ in range(ranks)]
    gradients = torch.optim.SGD(network.parameters(), lr=0.0)
    normalise, augment = Normalise(dataset.mean, dataset.std), Augment(config.data, config.train.seed)
    with closing(data.Loader(dataset, "train", config.data, data.Batching(120))) as loader:
        for step, (images, labels) in enumerate(loader.epoch(1, config.data.resolution, first), first):
            pixels = normalise(augment(images, 2, step))
            for copy, of_rank in zip(copies, halves(ranks), strict=True):
                copy.load_state_dict({**copy.state_dict(), **dict(network.named_parameters())})
                still = torch.optim.SGD(copy.parameters(), lr=0.0)
                losses += float(train_step(copy, still, pixels[of_rank], labels[of_rank], config.train)) / ranks
            gradients.zero_grad()
            for parameter, *of_copies in zip(
                network.parameters(), *(copy.parameters() for copy in copies), strict=True
            ):
                parameter.grad = torch.stack([each.grad for each in of_copies]).mean(0)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(STEPS + step, STEPS, config.train)
            optimizer.step()
    names = [name for name, buffer in network.named_buffers()]
    of_copies = [dict(copy.named_buffers()) for copy in copies]
    for name in names:
        stacked = torch.stack([buffers[name].double() for buffers in of_copies])
        network.get_buffer(name).copy_(stacked.mean(0))
    return network, losses


def test_ranks_that_have_read_different_checkpoints_do_not_train(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int]] = []

    def gather(places: list[object], own: tuple[str, int, int]) -> None:
        places[:] = [own, *seen]

    monkeypatch.setattr(distributed, "all_gather_object", gather)
    two = ProcessWorker(torch.device("cpu"), 0, 2)
    seen = [("trial", 1, 5)]
    check_same_place(("trial", 1, 5), two)
    for other in (("trial", 1, 0), ("trial", 0, 5), ("other", 1, 5)):
        seen = [other]
        with pytest.raises(RuntimeError, match="different places"):
            check_same_place(("trial", 1, 5), two)
    check_same_place(("trial", 1, 5), ProcessWorker(torch.device("cpu")))


def test_the_seconds_of_a_summary_are_not_those_of_the_last_process_alone(tmp_path: Path) -> None:
    record = Record(tmp_path)
    for epoch in (1, 2):
        record.append_metrics({"epoch": epoch, "val_top1": 50.0, "seconds_loader": 1.0, "seconds_step": 9.0})
    assert summarise(record, Ending("finished"), 1.5)["seconds"] == 20
    assert summarise(record, Ending("finished"), 31.5)["seconds"] == 31.5


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_storage_that_does_not_answer_is_no_damage(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> object:
        raise OSError(number, "away")

    (tmp_path / MID_EPOCH_CHECKPOINT).write_bytes(b"")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(OSError, match="away"):
        to_go_on_from(tmp_path)
