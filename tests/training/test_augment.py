"""Affine maps and colours against PIL and scipy, and the independence of their draws."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage
from torch import Tensor

from randwire.config import DataConfig
from randwire.training.augment import Augment, affine, colour, inverse

OFF: dict[str, Any] = {"source": "digits"}
ALL: dict[str, Any] = {"rotate": 30, "translate": 0.1, "scale": (0.8, 1.2), "shear": 10, "brightness": 0.4,
                       "contrast": 0.3, "saturation": 0.5}  # fmt: skip


def _images(count: int = 6, side: int = 17, seed: int = 0) -> Tensor:
    """Smooth random images: differences of interpolation do not hide those of position."""
    noise = np.random.default_rng(seed).normal(size=(count, 3, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1.5, 1.5))
    scaled = (smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255
    return torch.from_numpy(scaled.astype(np.uint8))


def _augment(images: Tensor, epoch: int = 1, step: int = 0, seed: int = 0, **options: Any) -> Tensor:
    return Augment(DataConfig.model_validate({**OFF, **options}), seed)(images, epoch, step)


def test_without_options_the_batch_itself_passes() -> None:
    images = _images()
    assert _augment(images) is images


@pytest.mark.parametrize("option", ALL)
def test_every_option_changes_the_images_and_keeps_their_range(option: str) -> None:
    images = _images()
    augmented = _augment(images, **{option: ALL[option]})
    assert augmented.shape == images.shape
    assert augmented.dtype == torch.float32
    assert not torch.equal(augmented, images.float())
    assert 0 <= float(augmented.min()) <= float(augmented.max()) <= 255
    assert len({float((one - other).abs().mean()) for one, other in zip(augmented, images, strict=True)}) == len(images)


# Affine maps.

TURN = math.radians(25)
MAPS = {
    "identity": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    "right": [[1.0, 0.0, 0.25], [0.0, 1.0, 0.0]],
    "down": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.25]],
    "larger": [[1.5, 0.0, 0.0], [0.0, 1.5, 0.0]],
    "turned": [[math.cos(TURN), -math.sin(TURN), 0.0], [math.sin(TURN), math.cos(TURN), 0.0]],
    "sheared": [[1.0, 0.4, 0.0], [0.0, 1.0, 0.0]],
    "all": [[0.9, -0.3, 0.1], [0.4, 1.1, -0.2]],
}


@pytest.mark.parametrize("name", MAPS)
def test_an_affine_map_is_that_of_scipy(name: str) -> None:
    """scipy samples the input at matrix @ position + offset, in pixels (y, x): the inverse of our map of (x, y)."""
    images, side = _images(2).float(), 17
    forward = np.array(MAPS[name])
    matrix = np.linalg.inv(forward[::-1, [1, 0]])
    shift = forward[::-1, 2] * side / 2
    center = np.full(2, (side - 1) / 2)
    offset = center - matrix @ (center + shift)
    expected = np.stack([
        [ndimage.affine_transform(channel, matrix, offset, order=1, mode="grid-constant") for channel in image]
        for image in images.numpy()
    ])  # fmt: skip
    augmented = affine(images, inverse(torch.tensor([MAPS[name]] * 2)))
    torch.testing.assert_close(augmented, torch.from_numpy(expected), rtol=0, atol=0.01)


def test_a_map_says_where_a_point_is_shown() -> None:
    images = torch.zeros(1, 3, 5, 5)
    images[0, :, 2, 2] = 100
    moved = affine(images, inverse(torch.tensor([[[1.0, 0, 0.4], [0, 1.0, -0.8]]])))  # a pixel is 0.4 wide
    assert torch.nonzero(moved[0, 0] > 50).tolist() == [[0, 3]]  # a pixel to the right, two up


def _marker(option: dict[str, Any], below: bool = False, count: int = 400) -> Tensor:
    """Where a spot right of (or below) the centre is shown: (x, y) from the centre in units of its distance."""
    side, reach = 101, 20
    images = torch.zeros(count, 3, side, side)
    images[:, :, 48:53, 50 + reach - 2 : 50 + reach + 3] = 255
    if below:
        images = images.transpose(2, 3)
    augmented = _augment(images.to(torch.uint8), **option)[:, 0]
    weights = augmented / augmented.sum((1, 2), keepdim=True)
    axis = torch.arange(side, dtype=torch.float32) - 50
    return torch.stack([(weights.sum(1) * axis).sum(1), (weights.sum(2) * axis).sum(1)], 1) / reach


def test_rotations_are_uniform_between_their_bounds() -> None:
    x, y = _marker({"rotate": 30}).T
    angles = torch.rad2deg(torch.atan2(y, x))
    assert 28 < float(angles.max()) < 30.2
    assert -30.2 < float(angles.min()) < -28
    assert abs(float(angles.std()) - 60 / math.sqrt(12)) < 1
    torch.testing.assert_close(x**2 + y**2, torch.ones(400), rtol=0, atol=0.03)


def test_scales_translations_and_shears_have_their_bounds() -> None:
    x, y = _marker({"scale": (0.5, 1.5)}).T
    assert 0.5 <= float(x.min()) < 0.52
    assert 1.48 < float(x.max()) <= 1.5
    assert float(y.abs().max()) < 0.01
    x, y = _marker({"translate": 0.2}).T
    for axis in (x - 1, y):  # a share of 0.2 of 101 pixels, in units of 20 pixels
        assert 0.95 < float(axis.max()) < 1.02
        assert -1.02 < float(axis.min()) < -0.95
    x, y = _marker({"shear": 20}).T  # along x, by the height: the marker is at none
    torch.testing.assert_close(torch.stack([x - 1, y]), torch.zeros(2, 400), rtol=0, atol=0.01)
    x, y = _marker({"shear": 20}, below=True).T
    angles = torch.rad2deg(torch.atan2(x, y))
    torch.testing.assert_close(y, torch.ones(400), rtol=0, atol=0.01)
    assert 18 < float(angles.max()) < 20.2
    assert -20.2 < float(angles.min()) < -18


# Colours.


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
@pytest.mark.parametrize(
    ("column", "reference"), list(enumerate([ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]))
)
def test_a_colour_is_that_of_pil(column: int, reference: Any, factor: float) -> None:
    images = _images()
    factors = torch.ones(len(images), 3)
    factors[:, column] = factor
    augmented = colour(images.float(), factors)
    for image, own in zip(images, augmented, strict=True):
        expected = reference(Image.fromarray(image.permute(1, 2, 0).numpy())).enhance(factor)
        # PIL rounds its gray and its result
        torch.testing.assert_close(own, torch.from_numpy(np.asarray(expected).copy()).permute(2, 0, 1).float(), rtol=0,
                                   atol=2)  # fmt: skip


def test_each_image_has_factors_of_its_own() -> None:
    images = torch.full((200, 3, 4, 4), 100, dtype=torch.uint8)
    means = _augment(images, brightness=0.5).mean((1, 2, 3)) / 100
    assert 0.5 <= float(means.min()) < 0.52
    assert 1.48 < float(means.max()) <= 1.5
    assert len(set(means.tolist())) == 200


# Draws.


def test_draws_depend_on_seed_epoch_and_step_alone() -> None:
    images = _images()
    first = _augment(images, epoch=2, step=3, **ALL)
    torch.manual_seed(99)
    assert torch.equal(_augment(images, epoch=2, step=3, **ALL), first)
    for other in ({"seed": 1}, {"epoch": 3}, {"step": 4}):
        assert not torch.equal(_augment(images, **{"epoch": 2, "step": 3, **other}, **ALL), first)


@pytest.mark.parametrize("ranks", [2, 3])
def test_any_number_of_ranks_gives_the_same_images(ranks: int) -> None:
    images, config = _images(), DataConfig.model_validate({**OFF, **ALL})
    parts = [Augment(config, 5, rank, ranks)(part, 1, 0) for rank, part in enumerate(images.chunk(ranks))]
    torch.testing.assert_close(torch.cat(parts), Augment(config, 5)(images, 1, 0))


def test_the_stream_of_torch_is_left_alone() -> None:
    before = torch.get_rng_state()
    _augment(_images(), **ALL)
    assert torch.equal(torch.get_rng_state(), before)
