"""The images that damaged networks see: which they are, and where they are kept from one damage to the next."""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from randwire import data, streams
from randwire.training.transfer import Batches, sent

SHARE = 0.5
"""Of a GPU's free memory, for images that are kept there; the rest is for the network and what it computes."""


def fits(image_bytes: int, device: torch.device) -> bool:
    """Whether so many bytes of images are kept on a GPU; if not, the host keeps them, and sends them each time.

    What PyTorch holds of its memory without using it, as after the images of another network, is free too.
    """
    if device.type != "cuda":
        return False
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return image_bytes <= SHARE * (torch.cuda.mem_get_info(device)[0] + unused)


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
    sizes = [min(batch_size, count - start) for start in range(0, count, batch_size)]
    rooms: deque[tuple[Tensor, Tensor]] | None = None
    filled = 0
    for mask, (pixels, labels) in zip(torch.split(chosen, batch_size), loader.epoch(0), strict=True):
        if rooms is None:  # all at once: made between the batches of the loader, they would leave holes
            rooms = deque(_empty_like(pixels, labels, size) for size in sizes)
        for image in mask.nonzero().flatten():
            rooms[0][0][filled], rooms[0][1][filled] = pixels[image], labels[image]
            filled += 1
            if filled == len(rooms[0][1]):
                yield rooms.popleft()
                filled = 0


def _empty_like(pixels: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Memory for a batch of so many images."""
    shape = (count, *pixels.shape[1:])
    return torch.empty(shape, dtype=pixels.dtype, memory_format=torch.channels_last), labels.new_empty(count)
