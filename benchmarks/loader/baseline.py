"""Training images by a DataLoader with PIL or OpenCV."""

import math
import random
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from randwire import machine

SIDE = 224
BATCH = 64
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
CPUS = machine.cpus()
Crop = tuple[int, int, int, int]


def draw_crop(width: int, height: int) -> Crop:
    """Left, top, right, bottom as torchvision's RandomResizedCrop draws them."""
    for _ in range(10):
        target = width * height * random.uniform(*AREA)
        aspect = math.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    w, h = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def with_pil(file: IO[bytes]) -> Tensor:
    """One training image, uint8 (3, 224, 224)."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    part = image.crop(draw_crop(*image.size)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(part)).permute(2, 0, 1).contiguous()


def with_opencv(file: IO[bytes]) -> Tensor:
    """The same with OpenCV, whose resize by area is the one that FFCV uses."""
    import cv2

    image = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("not an image that OpenCV reads")
    left, top, right, bottom = draw_crop(image.shape[1], image.shape[0])
    part = cv2.resize(image[top:bottom, left:right], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if random.random() < 0.5:
        part = cv2.flip(part, 1)
    return torch.from_numpy(part).permute(2, 0, 1).contiguous()


class Images(TorchDataset[tuple[Tensor, int]]):
    """Images of a DataLoader: opened by number, then made into a tensor."""

    def __init__(self, labels: Sequence[int], read: Callable[[int], IO[bytes]], make: Callable[[IO[bytes]], Tensor]):
        self.labels, self.read, self.make = labels, read, make

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with self.read(index) as file:
            return self.make(file), self.labels[index]

    def epoch(self, number: int) -> int:
        """All batches by a DataLoader, whose processes have ended when this returns."""
        torch.manual_seed(number)
        loader = DataLoader(
            self,
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=CPUS,
            multiprocessing_context="fork",
            worker_init_fn=_one_thread,
        )
        return sum(len(images) for images, _ in loader)


def _one_thread(process: int) -> None:
    import cv2

    cv2.setNumThreads(0)
