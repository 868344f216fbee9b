"""Checkpoints survive kills and damage, and run no code of others."""

import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from torch import nn

from randwire.errors import CheckpointError
from randwire.records import NEWEST_CHECKPOINT
from randwire.training.checkpoint import KEYS, PREVIOUS, newest, read, save


def _state(epoch: int) -> dict[str, Any]:
    torch.manual_seed(epoch)
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.randn(2, 2, 4, 4)).sum().backward()
    optimizer.step()
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
        "config": f"train: {{epochs: {epoch}}}\n",
        "graphs": {"conv3": "0 1\n0 0\n"},
        "data": {"classes": ["cat", "dog"], "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]},
    }


def _epoch(folder: Path) -> int:
    state = newest(folder)
    assert state is not None
    assert set(state) == KEYS
    expected = _state(state["epoch"])
    assert all(torch.equal(expected["network"][key], state["network"][key]) for key in expected["network"])
    return int(state["epoch"])


def _refusal(action: Callable[[], object]) -> str:
    with pytest.raises(CheckpointError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip(tmp_path: Path) -> None:
    state = _state(3)
    save(tmp_path / "checkpoint", state)
    loaded = newest(tmp_path / "checkpoint")
    assert loaded is not None
    plain = ("epoch", "config", "graphs", "data")
    assert {key: loaded[key] for key in plain} == {key: state[key] for key in plain}
    assert loaded["network"].keys() == state["network"].keys()
    assert all(torch.equal(loaded["network"][key], value) for key, value in state["network"].items())
    assert loaded["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    for index, values in state["optimizer"]["state"].items():
        assert torch.equal(loaded["optimizer"]["state"][index]["momentum_buffer"], values["momentum_buffer"])


def test_an_empty_or_absent_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_the_one_before_is_kept_and_no_more(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        save(tmp_path, _state(epoch))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([NEWEST_CHECKPOINT, PREVIOUS])
    assert read(tmp_path / NEWEST_CHECKPOINT)["epoch"] == 3
    assert read(tmp_path / PREVIOUS)["epoch"] == 2


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(5_000))


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = [_truncate, _empty, _garbage, _zeros]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    save(tmp_path, _state(1))
    save(tmp_path, _state(2))
    damage(tmp_path / NEWEST_CHECKPOINT)
    assert _epoch(tmp_path) == 1


def test_a_missing_newest_falls_back_to_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, _state(1))
    save(tmp_path, _state(2))
    (tmp_path / NEWEST_CHECKPOINT).unlink()
    assert _epoch(tmp_path) == 1


@pytest.mark.parametrize("damage", DAMAGE)
def test_both_damaged_is_an_error_not_a_new_start(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    save(tmp_path, _state(1))
    save(tmp_path, _state(2))
    damage(tmp_path / NEWEST_CHECKPOINT)
    damage(tmp_path / PREVIOUS)
    assert NEWEST_CHECKPOINT in _refusal(lambda: newest(tmp_path))


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    save(tmp_path, _state(1))
    whole = (tmp_path / NEWEST_CHECKPOINT).read_bytes()
    stream = random.Random(1)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(stream.choice((1, 20, 400))):
            data[stream.randrange(len(data))] = stream.randrange(256)
        (tmp_path / "damaged.pt").write_bytes(data[: stream.choice((len(data), stream.randrange(len(data))))])
        try:
            read(tmp_path / "damaged.pt")
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused > 75


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def _with_torch(value: object, path: Path) -> None:
    torch.save(value, path)


def _with_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("write", [_with_torch, _with_pickle])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, write: Callable[[object, Path], None]) -> None:
    trap = tmp_path / "sprung"
    write({**_state(1), "config": _Trap(trap)}, tmp_path / NEWEST_CHECKPOINT)
    _refusal(lambda: read(tmp_path / NEWEST_CHECKPOINT))
    _refusal(lambda: newest(tmp_path))
    assert not trap.exists()
    with (tmp_path / "control").open("wb") as file:
        pickle.dump(_Trap(trap), file)
    with (tmp_path / "control").open("rb") as file:
        pickle.load(file)
    assert trap.exists()  # the trap does work


@pytest.mark.parametrize(
    "value",
    [{"model": {}, "step": 1}, {}, [1, 2], torch.zeros(3), {**_state(1), "more": 1}, dict.fromkeys(KEYS - {"graphs"})],
    ids=["other keys", "empty", "list", "tensor", "one more", "one less"],
)
def test_a_foreign_file_is_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "other.pt")
    message = _refusal(lambda: read(tmp_path / "other.pt"))
    assert "other.pt" in message
    assert "not a checkpoint of randwire" in message


def test_an_absent_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "none.pt" in _refusal(lambda: read(tmp_path / "none.pt"))
    assert str(tmp_path) in _refusal(lambda: read(tmp_path))


class _KilledError(BaseException):
    """Stands for the end of the process: nothing in the program may catch it and go on."""


def _dying_save(value: object, file: IO[bytes]) -> None:
    file.write(b"PK\x03\x04 half of a checkpoint")
    raise _KilledError


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_kill_while_writing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    for epoch in range(1, epochs + 1):
        save(tmp_path, _state(epoch))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(torch, "save", _dying_save)
    with pytest.raises(_KilledError):
        save(tmp_path, _state(9))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    assert newest(tmp_path) is None if not epochs else _epoch(tmp_path) == epochs


def _die_at_rename(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The process ends once `number` files have been renamed."""
    done = 0

    def dying(original: Callable[..., None]) -> Callable[..., None]:
        def rename(*arguments: Any) -> None:
            nonlocal done
            done += 1
            if done > number:
                raise _KilledError
            original(*arguments)

        return rename

    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_between_renames_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    save(tmp_path, _state(1))
    save(tmp_path, _state(2))
    with monkeypatch.context() as patch:
        _die_at_rename(patch, renames)
        with pytest.raises(_KilledError):
            save(tmp_path, _state(3))
    assert _epoch(tmp_path) in (2, 3)
    save(tmp_path, _state(4))
    assert _epoch(tmp_path) == 4


def test_what_a_killed_process_left_lying_does_no_harm(tmp_path: Path) -> None:
    save(tmp_path, _state(1))
    (tmp_path / ".next").write_bytes(b"half")
    (tmp_path / "..next.0123.partial").write_bytes(b"half")
    assert _epoch(tmp_path) == 1
    save(tmp_path, _state(2))
    assert _epoch(tmp_path) == 2


def test_a_state_with_other_keys_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        save(tmp_path, {"epoch": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_kill_after_a_damaged_checkpoint_leaves_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The damaged newest becomes the previous one: until the last rename only the next one is whole."""
    state: dict[str, Any] = {key: {} for key in KEYS}
    for epoch in (1, 2):
        save(tmp_path, {**state, "epoch": epoch})
    (tmp_path / "newest.pt").write_bytes(b"torn")
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target.name == "newest.pt":
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, {**state, "epoch": 3})
    loaded = newest(tmp_path)
    assert loaded is not None
    assert loaded["epoch"] == 3
