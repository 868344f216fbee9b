"""Channels stored as a multiple of a number change no number of a training."""

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import new_files
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from randwire import graphs, registry, run
from randwire.config import NetworkConfig, check_given, load
from randwire.errors import ConfigError, NonFiniteLossError
from randwire.model import aggregation, ops
from randwire.model.network import RandWire
from randwire.model.padding import PaddedNodes
from randwire.model.regimes import random_stages
from randwire.model.stage import Stage
from randwire.training.loop import Training
from randwire.training.worker import ProcessWorker

CLASSES = 5


def _network(options: dict[str, object], spec: str = "ws:k=4,p=0.75", **execution: Any) -> RandWire:
    """The same weights for the same options; statistics and aggregation away from their initial values."""
    config = NetworkConfig.model_validate({"regime": "tiny", "channels": 6, "head": 16, **options})
    generator = graphs.parse(spec)
    dags = {n: generator.sample(k, random.Random(n)).dag for n, k in random_stages(config.regime, 8).items()}
    torch.manual_seed(1)
    network = RandWire(config, dags, CLASSES, **execution).double()
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "aggregation", "bn.bias")):
            nn.init.normal_(value)
        elif name.endswith(("running_var", "bn.weight")):
            nn.init.uniform_(value, 0.5, 2)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _trained(network: RandWire, call: Callable[[Tensor], Tensor] | None = None, size: int = 16) -> dict[str, Tensor]:
    """Losses, gradients, parameters and buffers after three steps, in which dropout and drop edge draw."""
    stream = torch.Generator().manual_seed(2)
    images = torch.randn(4, 3, size, size, generator=stream, dtype=torch.float64).to(memory_format=torch.channels_last)
    network.train()
    network.drop_edge.seed(0, 1, 0)
    torch.manual_seed(3)
    update = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    losses = []
    for _ in range(3):
        loss = functional.cross_entropy((call or network)(images), torch.arange(4))
        update.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        update.step()
        losses.append(loss.detach())
    grads = {f"gradient of {name}": value.grad for name, value in network.named_parameters()}
    assert all(grad is not None and grad.stride() == network.get_parameter(name[12:]).stride()
               for name, grad in grads.items())  # fmt: skip
    state = {name: value.detach() for name, value in (*network.named_parameters(), *network.named_buffers())}
    return {"losses": torch.stack(losses), **{name: grad for name, grad in grads.items() if grad is not None}, **state}


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-11, msg=name)


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The channels of what nodes give in training."""
    seen: set[int] = set()
    inner: Any = PaddedNodes.__call__

    def noted(*given: Any) -> Tensor:
        out: Tensor = inner(*given)
        seen.add(out.shape[1])
        return out

    monkeypatch.setattr(PaddedNodes, "__call__", noted)
    return seen


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("op", registry.names(ops.__name__))
def test_padded_channels_change_no_number(op: str, recompute: bool, widths: set[int]) -> None:
    options: dict[str, object] = {"op": op, "dropout": 0.3, "drop_edge": 0.7}
    plain, padded = (_network(options, recompute=recompute, channel_multiple=multiple) for multiple in (1, 8))
    assert plain.state_dict().keys() == padded.state_dict().keys()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in padded.state_dict().items())
    _assert_equal(_trained(padded), _trained(plain))
    assert widths == {8, 16, 24}


@pytest.mark.parametrize(("regime", "spec"), [("small", "er:p=0.3"), ("regular", "ba:m=2"), ("tiny", "ws:k=2,p=0.0")])
def test_padded_channels_change_no_number_in_any_regime(regime: str, spec: str, widths: set[int]) -> None:
    options: dict[str, object] = {"regime": regime, "channels": 7, "drop_edge": 0.5, "drop_edge_scope": "stage"}
    plain, padded = (_network(options, spec, channel_multiple=multiple) for multiple in (1, 4))
    _assert_equal(_trained(padded, size=64), _trained(plain, size=64))
    assert widths
    assert all(width % 4 == 0 for width in widths)


def test_padded_channels_go_with_the_compiled_aggregation(monkeypatch: pytest.MonkeyPatch, widths: set[int]) -> None:
    """What would be compiled is computed as it is written: only what it is given matters here."""
    monkeypatch.setattr(aggregation, "_kernel", lambda function, count: function)
    plain, padded = (_network({"drop_edge": 0.7}, compiled=True, channel_multiple=multiple) for multiple in (1, 8))
    _assert_equal(_trained(padded), _trained(plain))
    assert widths


@pytest.fixture
def _group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", f"file://{tmp_path}/ranks", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_group")
@pytest.mark.filterwarnings("error:Grad strides")
def test_padded_channels_go_with_distributed_training(widths: set[int]) -> None:
    plain, padded = (_network({"drop_edge": 0.7}, channel_multiple=multiple) for multiple in (1, 8))
    _assert_equal(_trained(padded, DistributedDataParallel(padded)), _trained(plain))
    assert widths


def test_padded_channels_go_with_bf16(widths: set[int]) -> None:
    networks = [_network({}, channel_multiple=multiple).float() for multiple in (1, 8)]
    losses = []
    for network in networks:
        images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(network.train()(images).float(), torch.arange(4))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert all(value.grad is not None and value.grad.isfinite().all() for value in networks[1].parameters())
    assert widths


def test_evaluation_and_copies_do_without_them(widths: set[int]) -> None:
    plain, padded = (_network({}, channel_multiple=multiple) for multiple in (1, 8))
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(padded.eval()(images), plain.eval()(images))
        assert torch.equal(padded.train()(images), plain.train()(images))  # as when statistics are estimated again
    assert not widths
    _assert_equal(_trained(copy.deepcopy(padded)), _trained(plain))
    assert widths


def test_channels_that_are_multiples_are_left_alone() -> None:
    network = _network({"channels": 8}, channel_multiple=8)
    assert {module.padded for module in network.modules() if isinstance(module, Stage)} == {None}


def test_an_operation_that_does_not_state_it_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mean = """
from torch import Tensor, nn
from randwire.model.ops import NodeOp
class Mean(NodeOp):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x - x.mean(1, keepdim=True))
"""
    new_files.add(monkeypatch, tmp_path, ops.__name__, {"mean": mean})
    assert _network({"op": "mean"})
    with pytest.raises(ConfigError) as caught:
        _network({"op": "mean"}, channel_multiple=8)
    assert str(caught.value) == (
        "runtime.channel_multiple: 8: adds channels of zeros, which network.op mean does not state to keep apart "
        "(paddable, in its class); leave it out, or choose another operation"
    )


def test_a_run_pads_as_its_configuration_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[bool]] = []

    def stop(training: Training, *rest: object) -> None:
        seen.append({stage.padded is None for stage in training.network.modules() if isinstance(stage, Stage)})
        raise NonFiniteLossError("enough")

    monkeypatch.setattr(run, "train_epoch", stop)
    digests = set()
    for multiple in (1, 5):
        values = {"runtime.channel_multiple": multiple, "runtime.output": str(tmp_path / str(multiple))}
        config = load("digits", values)
        digests.add(config.digest)
        run.run(config, ProcessWorker(torch.device("cpu")))
    assert seen == [{True}, {False}]
    assert len(digests) == 1


def test_beside_a_published_network_it_is_refused() -> None:
    config = load("digits", {"network.reference": "pytorchcv:resnet20_cifar10", "runtime.channel_multiple": 8})
    with pytest.raises(ConfigError) as caught:
        check_given(config, ["runtime.channel_multiple"])
    assert str(caught.value) == (
        "runtime.channel_multiple: is for randomly wired networks, and network.reference is a published one; leave it "
        "out"
    )
