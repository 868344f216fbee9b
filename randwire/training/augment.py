"""Random affine maps and colours of a batch, on its device, by torch's own functions.

FFCV has operations for colours too, but draws in them from a stream for each thread: images would depend on the number
of threads and ranks, and a resumed run would see others. Its formulas are used here. It has none for affine maps.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from randwire import streams
from randwire.config import DataConfig
from randwire.training.transfer import on_device

GRAY = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma, as PIL's and FFCV's colour operations take it."""
DRAWS_PER_IMAGE = 8


class Augment:
    """The augmentations of `data.rotate` to `data.saturation`; with none of them a batch stays as it is.

    Draws are a function of (seed, epoch, step, position of the image in the step over all ranks): the same with any
    number of ranks, and after a resume. Crop and flip are the loader's.
    """

    def __init__(self, config: DataConfig, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self._config, self._seed, self._rank, self._world_size = config, seed, rank, world_size
        self._affine = bool(config.rotate or config.translate or config.shear or config.scale != (1, 1))
        self._colour = bool(config.brightness or config.contrast or config.saturation)

    def __call__(self, images: Tensor, epoch: int, step: int) -> Tensor:
        """Images (B, 3, S, S) in 0..255, uint8, to float32 of the same shape and range, or as they are."""
        if not (self._affine or self._colour):
            return images
        draws, config = self._draw(len(images), epoch, step), self._config
        changes = torch.tensor([config.brightness, config.contrast, config.saturation])
        inverses, factors = inverse(self._matrices(draws)), 1 + changes * (2 * draws[:, 5:] - 1)
        numbers = on_device(torch.cat([inverses.flatten(), factors.flatten()]), images.device)  # in one copy
        pixels = images.to(torch.float32)
        if self._affine:
            pixels = affine(pixels, numbers[: inverses.numel()].view_as(inverses))
        return colour(pixels, numbers[inverses.numel() :].view_as(factors)) if self._colour else pixels

    def _draw(self, count: int, epoch: int, step: int) -> Tensor:
        """Uniform numbers (count, DRAWS_PER_IMAGE) of this rank's images, out of those of the step."""
        stream = torch.Generator().manual_seed(streams.augmentation_seed(self._seed, epoch, step))
        return torch.rand(count * self._world_size, DRAWS_PER_IMAGE, generator=stream)[self._rank * count :][:count]

    def _matrices(self, draws: Tensor) -> Tensor:
        """Affine maps (B, 2, 3) of coordinates in -1..1: shear, then scale and rotation, then translation."""
        config = self._config
        low, high = config.scale
        angle, shear = (
            math.radians(degrees) * (2 * draws[:, column] - 1)
            for column, degrees in ((0, config.rotate), (1, config.shear))
        )
        size = low + (high - low) * draws[:, 2]
        shift = 2 * config.translate * (2 * draws[:, 3:5] - 1)
        cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
        slope = torch.tan(shear)
        rows = torch.stack([cos, slope * cos - sin, shift[:, 0], sin, slope * sin + cos, shift[:, 1]], dim=1)
        return rows.view(-1, 2, 3)


def inverse(maps: Tensor) -> Tensor:
    """The inverse of affine maps (B, 2, 3). On a GPU it would wait, to see whether there is one: it is for the host."""
    linear = torch.linalg.inv(maps[:, :, :2])
    return torch.cat([linear, -linear @ maps[:, :, 2:]], dim=2)


def affine(images: Tensor, inverses: Tensor) -> Tensor:
    """Move the pixels of images (B, 3, S, S) about the centre: bilinear, black outside.

    A map takes a point (x, y), in -1..1 to the right and down, to where it is shown; `inverses` (B, 2, 3) takes it
    back.
    """
    grid = functional.affine_grid(inverses, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def colour(images: Tensor, factors: Tensor) -> Tensor:
    """Images (B, 3, H, W) in 0..255 with factors (B, 3) of brightness, contrast and saturation, in this order.

    Each blends, as FFCV's RandomBrightness, RandomContrast and RandomSaturation do: with black, with the mean gray of
    the image, with the gray of each pixel; the result is cut to 0..255.
    """
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    images = (images * brightness).clamp_(0, 255)
    images = torch.lerp(_gray(images).mean((2, 3), keepdim=True), images, contrast).clamp_(0, 255)
    return torch.lerp(_gray(images), images, saturation).clamp_(0, 255)


def _gray(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue)[:, None]
