"""A network as a backbone: the maps of its stages, below a small feature pyramid network."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import randwire
from randwire import config as configuration
from randwire.errors import ConfigError
from randwire.model.features import Features, backbone
from randwire.model.network import RandWire
from randwire.wiring import dags_of, initial_network, sample_graphs

STRIDES = {"tiny": [1, 2, 4, 8], "small": [4, 8, 16, 32], "regular": [4, 8, 16, 32]}
CHANNELS = {"tiny": [8, 8, 16, 32], "small": [8, 8, 16, 32], "regular": [8, 16, 32, 64]}


class FPN(nn.Module):
    """Feature pyramid network (Lin et al. 2017): lateral 1x1, nearest upsampling of what is above, 3x3."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        above: Tensor | None = None
        pyramid: list[Tensor] = []
        for x, lateral, smooth in zip(reversed(maps), reversed(self.lateral), reversed(self.smooth), strict=True):
            x = lateral(x)
            if above is not None:
                x = x + functional.interpolate(above, size=x.shape[-2:])
            above = x
            pyramid.insert(0, smooth(x))
        return pyramid


def _network(regime: str, **keys: object) -> tuple[RandWire, configuration.NetworkConfig]:
    values = {"graph.nodes": 10, "network.regime": regime, "network.channels": 8, "network.head": 16, **keys}
    config = configuration.build({}, values)
    torch.manual_seed(0)
    return RandWire(config.network, dags_of(sample_graphs(config)), 5).eval(), config.network


def _backbone(regime: str, **keys: object) -> tuple[RandWire, Features]:
    network, config = _network(regime, **keys)
    return network, Features(network, config)


@pytest.mark.parametrize("regime", STRIDES)
@pytest.mark.parametrize("size", [(64, 64), (75, 101), (33, 40)], ids=str)
def test_maps_have_the_channels_and_strides_that_they_say(regime: str, size: tuple[int, int]) -> None:
    _, backbone = _backbone(regime)
    info = backbone.feature_info
    assert (info.channels(), info.reduction()) == (CHANNELS[regime], STRIDES[regime])
    assert info.module_name() == ["stages.conv2", "stages.conv3", "stages.conv4", "stages.conv5"]
    maps = backbone(torch.randn(2, 3, *size))
    expected = [(2, c, *(-(-side // stride) for side in size)) for c, stride in zip(*_shapes(info), strict=True)]
    assert [tuple(x.shape) for x in maps] == expected
    pyramid = FPN(info.channels(), 12)(maps)
    assert [x.shape[1:] for x in pyramid] == [(12, *shape[2:]) for shape in expected]


def _shapes(info: object) -> tuple[list[int], list[int]]:
    """As code written for timm reads them: through the entries."""
    entries = list(info)  # type: ignore[call-overload]
    return [entry["num_chs"] for entry in entries], [entry["reduction"] for entry in entries]


@pytest.mark.parametrize("op", ["sepconv", "conv", "maxpool", "avgpool"])
def test_the_maps_are_the_outputs_of_the_stages(op: str) -> None:
    network, backbone = _backbone("small", **{"network.op": op})
    seen: list[Tensor] = []
    names = backbone.feature_info.module_name()
    # Copies, taken as a stage ends: what a later stage did in place to a map would show.
    handles = [
        network.get_submodule(name).register_forward_hook(lambda module, given, out: seen.append(out.clone()))
        for name in names
    ]
    images = torch.randn(2, 3, 65, 70)
    with torch.no_grad():
        logits = network(images)
        from_network, seen[:] = list(seen), []
        maps = backbone(images)
        for handle in handles:
            handle.remove()
        assert all(torch.equal(x, y) for x, y in zip(maps, from_network, strict=True))
        assert all(torch.equal(x, y) for x, y in zip(maps, seen, strict=True))
        assert torch.equal(network.stages["classifier"](maps[-1]), logits)
    assert all((x < 0).any() for x in maps), "no ReLU has been applied"


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_reach_every_parameter_of_the_stages_and_no_other(recompute: bool) -> None:
    network, backbone = _backbone("regular", **{"network.drop_edge": 1.0})
    backbone.set_grad_checkpointing(recompute)
    assert [stage.recompute for stage in network.stages.values() if hasattr(stage, "recompute")] == [recompute] * 4
    maps = backbone.train()(torch.randn(2, 3, 64, 64))
    pyramid = FPN(backbone.feature_info.channels(), 8)(maps)
    torch.stack([x.square().mean() for x in pyramid]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(value.grad is not None for value in backbone.parameters())
    own = {name for name, _ in backbone.named_parameters()}
    assert own == {name for name, _ in network.named_parameters() if not name.startswith("stages.classifier.")}
    assert own == {name for name, value in network.named_parameters() if value.grad is not None}


def test_weights_have_the_names_of_the_network_and_can_be_frozen() -> None:
    network, backbone = _backbone("tiny")
    other = _network("tiny")[0]
    nn.init.ones_(other.stages["conv1"].get_parameter("0.weight"))
    missing = other.load_state_dict(backbone.state_dict(), strict=False)
    assert {name.rpartition(".")[0] for name in missing.missing_keys} == {
        f"stages.classifier.{layer}" for layer in ("conv", "bn", "fc")
    }
    assert missing.unexpected_keys == []
    images = torch.randn(1, 3, 24, 24)
    assert torch.equal(network.stages["conv1"](images), other.stages["conv1"](images))
    backbone.train().stages["conv1"].requires_grad_(False).eval()
    backbone(images.expand(2, -1, -1, -1))[-1].mean().backward()
    assert backbone.stages["conv1"].get_parameter("0.weight").grad is None
    assert int(backbone.stages["conv1"].get_buffer("1.num_batches_tracked")) == 0
    assert int(backbone.stages["conv2"].get_buffer("2.num_batches_tracked")) == 1


def test_drop_edge_is_that_of_the_network() -> None:
    images = torch.randn(2, 3, 32, 32)
    outputs = []
    for features in (False, True):
        network, backbone = _backbone("small", **{"network.drop_edge": 1.0, "network.drop_edge_scope": "network"})
        network.train().drop_edge.seed(1, 2, 0)
        with torch.no_grad():
            run = [network.stages["classifier"](backbone(images)[-1]) if features else network(images)
                   for _ in range(4)]  # fmt: skip
        outputs.append(run)
        backbone.eval()
        assert torch.equal(backbone(images)[-1], backbone(images)[-1])
    assert all(torch.equal(one, other) for one, other in zip(*outputs, strict=True))
    assert not torch.equal(outputs[0][0], outputs[0][1]), "another step drops another edge"


def test_a_part_of_the_maps_takes_a_part_of_the_stages() -> None:
    network, config = _network("small")
    images = torch.randn(1, 3, 64, 64)
    every = Features(network, config)(images)
    for out_indices, expected in ((2, [2, 3]), ((0, 2), [0, 2]), ((-1,), [3]), ([1, 0], [0, 1])):
        backbone = Features(network, config, out_indices)
        maps = backbone(images)
        assert all(torch.equal(x, every[i]) for x, i in zip(maps, expected, strict=True))
        info = backbone.feature_info
        assert info.channels() == [x.shape[1] for x in maps]
        assert [len(info), info.channels(3), info.reduction([0, 3])] == [4, 32, [4, 32]]
        assert info.get_dicts(["index"]) == [{"index": index} for index in expected]
        assert list(backbone.stages) == [f"conv{i}" for i in range(1, expected[-1] + 3)]
    for wrong in ((4,), (0, 0), (0, -4), (), 0, 5):
        with pytest.raises(ValueError, match="must choose of the 4 maps"):
            Features(network, config, wrong)


def test_a_record_is_a_backbone_that_learns_a_dense_task(trained: Path) -> None:
    """Which half of the image a pixel is in, in the coordinates of the finest map."""
    backbone = randwire.load(trained, features=True)
    assert not backbone.training
    assert backbone.feature_info.reduction() == STRIDES["tiny"]
    network = randwire.load(trained)
    assert isinstance(network, RandWire)
    images = torch.randn(8, 3, 30, 30)
    with torch.no_grad():
        assert torch.equal(network.stages["classifier"](backbone(images)[-1]), network(images))
    torch.manual_seed(0)
    model = nn.ModuleList([backbone, FPN(backbone.feature_info.channels(), 8), nn.Conv2d(8, 1, 1)]).train()
    images[:, :, :, 15:] += 1.0
    target = torch.zeros(8, 1, 30, 30)
    target[:, :, :, 15:] = 1.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = {name: value.clone() for name, value in backbone.named_parameters()}
    losses = []
    for _ in range(8):
        out = model[2](model[1](model[0](images))[0])
        loss = functional.binary_cross_entropy_with_logits(out, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert not any(torch.equal(before[name], value) for name, value in backbone.named_parameters())


def test_what_cannot_be_a_backbone_is_a_line(trained: Path) -> None:
    with pytest.raises(ConfigError, match=r"out_indices: \(7,\) must choose of the 4 maps"):
        randwire.load(trained, features=True, out_indices=(7,))
    with pytest.raises(ConfigError, match="out_indices: is for features=True"):
        randwire.load(trained, False, (1,))
    config = configuration.load("digits", {"network.reference": "pytorchcv:resnet20_cifar10"})
    with pytest.raises(ConfigError, match="resnet20_cifar10 is a published network, without the stages of") as caught:
        backbone(initial_network(config), config.network)
    assert "\n" not in str(caught.value)
