"""What makes a step fast or small changes no number."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import commands
import psutil
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch._inductor import config as inductor
from torch.nn import functional

from benchmarks.step.methods import slow_gradient
from randwire import graphs, registry, run
from randwire.config import NetworkConfig, load
from randwire.errors import NonFiniteLossError
from randwire.model import aggregation
from randwire.model.folding import folded
from randwire.model.network import RandWire
from randwire.model.ops._depthwise import Depthwise
from randwire.model.regimes import random_stages
from randwire.model.stage import Stage
from randwire.training.loop import Training
from randwire.training.worker import ProcessWorker

CLASSES = 5
FORMATS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


ONE_KERNEL = "ba:m=3"
"""Graphs whose aggregations all have as many inputs: to compile for each number of them would take half a minute."""


def _network(
    options: Mapping[str, object] | None = None,
    recompute: bool = False,
    compiled: bool = False,
    spec: str = "ws:k=4,p=0.75",
) -> RandWire:
    """The same weights for the same options; statistics and aggregation away from their initial values."""
    config = NetworkConfig.model_validate({"regime": "tiny", "channels": 8, "head": 16, **(options or {})})
    generator = graphs.parse(spec)
    dags = {name: generator.sample(n, random.Random(name)).dag for name, n in random_stages("tiny", 10).items()}
    torch.manual_seed(1)
    network = RandWire(config, dags, CLASSES, recompute, compiled)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean") or name.endswith("aggregation"):
            nn.init.normal_(value)
        elif name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 2)
    return network


def _images(size: int = 16) -> Tensor:
    return torch.randn(6, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


# The data gradient of strided depthwise convolutions.


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("channels", [1, 7, 32])
@pytest.mark.parametrize("size", [7, 8])
def test_the_strided_gradient_in_bf16_is_that_of_pytorch_bit_for_bit(size: int, channels: int, layout: str) -> None:
    torch.manual_seed(size * channels)
    layer = Depthwise(channels, 2).bfloat16()
    x = torch.randn(3, channels, size, size).bfloat16().to(memory_format=FORMATS[layout]).requires_grad_()
    found, expected = layer(x), nn.Conv2d.forward(layer, x)
    assert torch.equal(found, expected)
    direction = torch.randn_like(found)
    inputs = x, layer.weight
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, direction), torch.autograd.grad(expected, inputs, direction), strict=True
    ):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def test_the_strided_gradient_is_used_under_autocast_and_keeps_the_type_of_the_weights() -> None:
    layer, x = Depthwise(8, 2), torch.randn(2, 8, 8, 8, requires_grad=True)
    grads = []
    for forward in (layer, lambda given: nn.Conv2d.forward(layer, given)):
        with torch.autocast("cpu", torch.bfloat16):
            out = forward(x.bfloat16())
        grads.append(torch.autograd.grad(out.float().square().sum(), (x, layer.weight)))
        assert out.dtype == torch.bfloat16
    for ours, theirs in zip(*grads, strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)


def test_without_gradient_of_the_images_that_of_the_weights_stays() -> None:
    layer, x = Depthwise(4, 2).bfloat16(), torch.randn(2, 4, 6, 6).bfloat16()
    (ours,) = torch.autograd.grad(layer(x).sum(), layer.weight)
    (theirs,) = torch.autograd.grad(nn.Conv2d.forward(layer, x).sum(), layer.weight)
    assert torch.equal(ours, theirs)


def test_a_training_step_in_bf16_has_the_gradients_of_pytorch_bit_for_bit() -> None:
    network, images = _network().to(memory_format=torch.channels_last), _images(32).float()  # type: ignore[call-overload]
    grads = []
    for slow in (False, True):
        with torch.autocast("cpu", torch.bfloat16), slow_gradient() if slow else torch.enable_grad():
            loss = functional.cross_entropy(network(images).float(), torch.arange(6) % CLASSES)
        grads.append(torch.autograd.grad(loss, list(network.parameters())))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*grads, strict=True))


# Computing again.


def _trained(network: RandWire, images: Tensor, precision: torch.dtype | None = None) -> dict[str, Tensor]:
    """Loss, gradients and buffers after two steps, in which dropout and drop edge draw."""
    network.train()
    network.drop_edge.seed(0, 1, 0)
    torch.manual_seed(3)
    update = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is not None):
            loss = functional.cross_entropy(network(images), torch.arange(6) % CLASSES)
        update.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        update.step()
    grads = {f"gradient of {name}": value.grad for name, value in network.named_parameters()}
    return {"loss": loss.detach(), **{name: grad for name, grad in grads.items() if grad is not None}} | dict(
        network.named_buffers()
    )


@pytest.mark.parametrize("op", registry.names("randwire.model.ops"))
def test_recomputing_changes_no_number(op: str) -> None:
    options = {"op": op, "dropout": 0.3, "drop_edge": 0.7}
    expected = _trained(_network(options).double(), _images())
    found = _trained(_network(options, recompute=True).double(), _images())
    assert found.keys() == expected.keys()
    for name, value in expected.items():  # exactly: BN statistics and counts of batches among them
        assert torch.equal(found[name], value), name
    assert any(name.endswith("num_batches_tracked") and int(value) == 2 for name, value in found.items())


def test_recomputing_changes_no_number_in_bf16() -> None:
    expected = _trained(_network(), _images().float(), torch.bfloat16)
    found = _trained(_network(recompute=True), _images().float(), torch.bfloat16)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_recomputing_holds_the_outputs_of_nodes_alone() -> None:
    held = {}
    for recompute in (False, True):
        network, sizes = _network(recompute=recompute), 0

        def pack(value: Tensor) -> Tensor:
            nonlocal sizes
            sizes += value.numel() if value.ndim == 4 else 0
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            network(_images().float())
        held[recompute] = sizes
    assert held[True] < 0.5 * held[False]


def test_a_run_recomputes_as_its_configuration_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[bool]] = []

    def stop(training: Training, *rest: object) -> None:
        seen.append({stage.recompute for stage in training.network.modules() if isinstance(stage, Stage)})
        raise NonFiniteLossError("enough")

    monkeypatch.setattr(run, "train_epoch", stop)
    digests = set()
    for recompute in (False, True):
        config = load("digits", {"runtime.recompute": recompute, "runtime.output": str(tmp_path / str(recompute))})
        digests.add(config.digest)
        run.run(config, ProcessWorker(torch.device("cpu")))
    assert seen == [{False}, {True}]
    assert len(digests) == 1


# Compiling.


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for what is compiled."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
        yield folder


def _graphs() -> int:
    """How many graphs this process has compiled, or loaded."""
    return int(counters["stats"]["unique_graphs"])


def _libraries(cache: Path) -> set[str]:
    """What was ever compiled into that place."""
    return {path.name for path in (cache / "inductor").rglob("*.so")}


@pytest.mark.parametrize("count", [2, 4])
def test_a_compiled_aggregation_is_the_sum_for_all_shapes_with_one_kernel(cache: Path, count: int) -> None:
    threads, processes = inductor.compile_threads, psutil.Process().children()
    aggregation.prepare([count], torch.device("cpu"), torch.float64)
    assert inductor.compile_threads == threads  # what others compile in this process is their affair
    assert psutil.Process().children() == processes
    before = _graphs()
    stream = torch.Generator().manual_seed(count)
    for shape in ((6, 8, 16, 16), (2, 16, 32, 8), (3, 7, 15, 16)):
        for layout in FORMATS.values():
            weights = torch.rand(count, generator=stream, dtype=torch.float64).requires_grad_()
            inputs = [
                torch.randn(shape, generator=stream, dtype=torch.float64)
                .to(memory_format=layout)
                .requires_grad_(index != 1)
                for index in range(count)
            ]
            wanted = [weights, *(value for value in inputs if value.requires_grad)]
            direction = torch.randn(shape, generator=stream, dtype=torch.float64)
            found, expected = (aggregation.aggregate(weights, inputs, compiled) for compiled in (True, False))
            assert found.stride() == expected.stride()
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
            for ours, theirs in zip(
                torch.autograd.grad(found, wanted, direction),
                torch.autograd.grad(expected, wanted, direction),
                strict=True,
            ):
                torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    assert _graphs() == before


def test_many_inputs_are_not_compiled_nor_is_what_needs_no_gradient(cache: Path) -> None:
    inputs = [torch.randn(2, 3, 4, 4, requires_grad=True) for _ in range(aggregation.MAX_INPUTS + 1)]
    weights = torch.rand(len(inputs), requires_grad=True)
    before = _graphs()
    expected = functional.relu(sum(weight * value for weight, value in zip(weights, inputs, strict=True)))
    torch.testing.assert_close(aggregation.aggregate(weights, inputs, compiled=True), expected)
    with torch.no_grad():
        aggregation.aggregate(weights[:2], inputs[:2], compiled=True)
    assert _graphs() == before


@pytest.mark.parametrize("recompute", [False, True])
def test_a_compiled_network_trains_as_the_network(cache: Path, recompute: bool) -> None:
    options = {"dropout": 0.3, "drop_edge": 0.7}
    expected = _trained(_network(options, spec=ONE_KERNEL).double(), _images())
    before = _graphs()
    found = _trained(_network(options, recompute, compiled=True, spec=ONE_KERNEL).double(), _images())
    assert recompute or _graphs() > before
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-9, msg=name)


def test_a_compiled_network_trains_in_bf16(cache: Path) -> None:
    """Sums are rounded once instead of after each input, so that some of the ReLUs decide otherwise."""
    losses = []
    for compiled in (False, True):
        network, images = _network({"drop_edge": 0.5}, compiled=compiled, spec=ONE_KERNEL), _images().float()
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = _trained(network, images, torch.bfloat16)
        assert all(value.isfinite().all() for value in found.values())
        losses.append(float(found["loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_trainings_share_what_is_compiled(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training needs no more than what another process has compiled for its numbers of inputs, whatever its sizes.

    And the digest is that without compilation.
    """
    before = _libraries(cache)
    aggregation.prepare([2], torch.device("cpu"), torch.float32)
    compiled = _libraries(cache)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    values = {"graph.seed": 1, "graph.nodes": 6, "graph.generator": "ba:m=2", "network.channels": 6,
              "train.epochs": 1, "train.batch_size": 64, "data.resolution": 16, "runtime.wandb": "disabled",
              "runtime.output": str(tmp_path / "runs")}  # fmt: skip
    words = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    done = commands.run("train.py", "digits", *words, "--runtime.compile", "true",
                        environment={"RANDWIRE_CACHE": str(cache)})  # fmt: skip
    assert (done.returncode, "runtime.compile: ready in" in done.stderr) == (0, True)
    assert (tmp_path / "runs" / "local" / load("digits", values).digest / "summary.json").is_file()
    assert before < compiled == _libraries(cache)


def test_that_nothing_can_be_compiled_is_told_in_one_line(tmp_path: Path) -> None:
    done = commands.run(
        *("train.py", "digits", "--runtime.compile", "true", "--runtime.output", str(tmp_path / "runs")),
        environment={"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "CXX": str(tmp_path / "absent")},
    )
    assert done.returncode == 2
    assert "runtime.compile: nothing can be compiled here" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


# Evaluation.


@pytest.mark.parametrize("op", registry.names("randwire.model.ops"))
def test_a_folded_network_is_the_network_in_evaluation(op: str) -> None:
    network = _network({"op": op, "dropout": 0.5}).double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    copy = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(copy(_images()), network.eval()(_images()), rtol=1e-11, atol=1e-11)
