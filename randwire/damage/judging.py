"""The images that damaged networks see: which they are, and where they are kept from one damage to the next."""

from collections.abc import Iterator

import torch
from torch import Tensor

from randwire import data, streams
from randwire.training.transfer import Batches, sent

SHARE = 0.5
"""Of a GPU's free memory, for images that are kept there; the rest is for the network and what it computes."""


def fits(image_bytes: int, device: torch.device) -> bool:
    """Whether so many bytes of images are kept on a GPU; if not, the host keeps them, and sends them each time."""
    return device.type == "cuda" and image_bytes <= SHARE * torch.cuda.mem_get_info(device)[0]


def kept(batches: Batches, device: torch.device, there: bool) -> list[tuple[Tensor, Tensor]]:
    """All batches, on the device if they are kept `there`, and as they are if not."""
    return [*(sent(batches, device) if there else batches)]


def judging_batches(
    loader: data.Loader, total: int, batch_size: int, images: int | None, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The images that networks are judged by, of `total`: `images` drawn by the seed, without replacement, or all."""
    count = min(images or total, total)
    if count == total:
        yield from loader.epoch(0)
        return
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[streams.judging_images(seed).sample(range(total), count)] = True
    held: list[tuple[Tensor, Tensor]] = []
    for mask, (pixels, labels) in zip(torch.split(chosen, batch_size), loader.epoch(0), strict=True):
        held.append((pixels[mask], labels[mask]))
        if sum(len(labels) for _, labels in held) >= batch_size:
            pixels, labels = (torch.cat(tensors) for tensors in zip(*held, strict=True))
            yield _of_its_own(pixels[:batch_size]), labels[:batch_size]
            held = [(pixels[batch_size:], labels[batch_size:])]
    pixels, labels = (torch.cat(tensors) for tensors in zip(*held, strict=True))
    if len(labels):
        yield _of_its_own(pixels), labels


def _of_its_own(images: Tensor) -> Tensor:
    """Images in memory that holds nothing else."""
    return images.clone(memory_format=torch.channels_last)
