"""Published networks: their sizes, the images and classes they take, and their evaluation."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from randwire import config as configuration
from randwire.errors import ConfigError
from randwire.model import published, references
from randwire.model.folding import folded
from randwire.wiring import check_reference, count, match_mult_adds, sample_graphs

# Parameters and multiply-adds in millions.
COUNTS = {
    ("resnet50b", 224): ("25.56", "4089"),
    ("resnet101b", 224): ("44.55", "7801"),
    ("resnext50_32x4d", 224): ("25.03", "4230"),
    ("resnext101_32x4d", 224): ("44.18", "7970"),
    ("mobilenet_w1", 224): ("4.23", "568.7"),
    ("nasnet_4a1056", 224): ("5.29", "568.2"),
    ("darts", 224): ("4.72", "529.9"),
    ("shufflenetv2_w2", 224): ("7.60", "588.4"),
    ("nasnet_6a4032", 331): ("88.75", "23810"),
    ("pnasnet5large", 331): ("86.06", "24980"),
    ("resnet20_cifar10", 32): ("0.27", "40.8"),
}
SMALL = ("mobilenet_w1", "mobilenetv2_w1", "nasnet_4a1056", "darts", "shufflenetv2_w2", "resnet20_cifar10")


def _config(name: str, resolution: int, **keys: object) -> configuration.RunConfig:
    preset = "cifar10" if "cifar" in name else "small"
    values = {"network.reference": f"pytorchcv:{name}", "data.resolution": resolution}
    return configuration.load(preset, {**values, **{key.replace("__", "."): value for key, value in keys.items()}})


@pytest.mark.parametrize(("name", "resolution"), COUNTS)
def test_counts_are_those_of_the_network(name: str, resolution: int) -> None:
    counted = published.size(f"pytorchcv:{name}", 10 if "cifar" in name else 1000, resolution)
    for number, text in zip(counted, COUNTS[name, resolution], strict=True):
        assert f"{number / 1e6:.{len(text.partition('.')[2])}f}" == text
    assert "torchvision" not in sys.modules


def test_parts_add_up_to_the_network() -> None:
    config = _config("resnet20_cifar10", 32)
    assert sample_graphs(config) == {}
    counted = count(config, {})
    assert (counted.params, counted.mult_adds) == published.size("pytorchcv:resnet20_cifar10", 10, 32)
    assert [stage.name for stage in counted.stages] == [
        *("init_block", "stage1", "stage2", "stage3"),
        *("final_pool", "output"),
    ]
    network = references.build("pytorchcv:resnet20_cifar10", 10, 32)
    assert counted.params == sum(parameter.numel() for parameter in network.parameters())
    assert counted.stages[2].output == (32, 16, 16)
    # By hand: a convolution saves its input, BN its own, ReLU its output, which is the next one's input.
    assert counted.stages[0].activations == 3 * 32**2 + 2 * 16 * 32**2


def test_naming_a_network_imports_neither_torch_nor_the_package() -> None:
    code = (
        "import sys; from randwire.model import references; references.check('pytorchcv:resnet50b'); "
        "print([name for name in ('torch', 'pytorchcv', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# What is refused.


def _line(action: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "resolution", "line"),
    [
        ("resnt50b", 224, r"network.reference: pytorchcv has no network 'resnt50b'; close: resnet50b, "),
        ("vgg11", 160, r"data.resolution: pytorchcv:vgg11 does not work on images of 160 pixels (a and b must"),
        ("segnet_cityscapes", 64, "pytorchcv:segnet_cityscapes gives no logits of 1000 classes for an image of 64"),
        ("superpointnet", 64, "pytorchcv:superpointnet: is no classifier of images"),
        ("xdensenet121_2", 64, "does not run on the meta device, where networks are counted"),
        ("octresnet10_ad2", 64, "has multiply-adds outside of Conv2d and Linear layers"),
    ],
)
def test_a_network_that_cannot_be_is_a_line(name: str, resolution: int, line: str) -> None:
    config = _config(name, resolution)
    assert line in _line(lambda: (sample_graphs(config), count(config, {})))


def test_a_network_of_other_classes_is_a_line() -> None:
    config = _config("resnet20_cifar10", 32, data__source="imagenet")
    assert _line(lambda: check_reference(config)) == (
        "network.reference: pytorchcv:resnet20_cifar10: cannot be built for 1000 classes"
    )


def test_every_resolution_of_a_run_is_looked_at() -> None:
    """Also those of progressive resolution and of the evaluation."""
    check_reference(_config("mobilenet_w1", 224, data__eval_resolution=320, data__start_resolution=160))
    assert "images of 256 pixels" in _line(lambda: check_reference(_config("vgg11", 224, data__eval_resolution=256)))
    progressive = _config("vgg11", 224, data__start_resolution=160)
    assert "images of 160 pixels" in _line(lambda: check_reference(progressive))


def test_its_size_cannot_be_chosen() -> None:
    assert "pytorchcv:darts has none" in _line(lambda: match_mult_adds(_config("darts", 224), 5e8))


# How it computes.


def test_it_is_the_network_of_the_package_at_its_own_size() -> None:
    from pytorchcv.models.resnet_cifar import resnet20_cifar10

    torch.manual_seed(5)
    theirs = resnet20_cifar10(num_classes=10).eval()
    torch.manual_seed(5)
    ours = references.build("pytorchcv:resnet20_cifar10", 10, 32).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_pooling_over_the_whole_image_is_so_at_every_resolution() -> None:
    """A window of 8 pixels on a map of 11 would see a part of it."""
    network = references.build("pytorchcv:resnet20_cifar10", 10, 32).eval()
    seen: list[torch.Tensor] = []
    features = network.get_submodule("features")
    network.get_submodule("features.final_pool").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        pooled = features(torch.randn(2, 3, 44, 44))
    assert seen[0].shape == (2, 64, 11, 11)
    torch.testing.assert_close(pooled, seen[0].mean((2, 3), keepdim=True))


@pytest.mark.parametrize("name", SMALL)
def test_it_is_evaluated_as_it_is(name: str) -> None:
    """Folding BN into the convolution registered before it is wrong for networks that compute in another order.

    And every parameter takes part in training, as distributed training demands.
    """
    torch.manual_seed(0)
    network = references.build(f"pytorchcv:{name}", 10, 64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        copy = folded(network)
        expected = network.eval()(images)
        assert torch.equal(copy(images), expected)
    assert copy is not network
    assert not copy.training
    network.train()(images).sum().backward()
    assert not [path for path, parameter in network.named_parameters() if parameter.grad is None]
