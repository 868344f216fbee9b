"""Timing a step, and what the machine does at most."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from benchmarks.step.methods import Step


def timer(device: torch.device) -> Callable[[Step], float]:
    """Seconds of a step: of this process on a CPU, of the wall until the work has ended on a GPU."""

    def measure(step: Step) -> float:
        if device.type == "cpu":
            start = time.process_time()
            step()
            return time.process_time() - start
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        step()
        torch.cuda.synchronize(device)
        return time.perf_counter() - start

    return measure


class Limits:
    """What the machine does at most: multiply-adds in products of matrices, and bytes in copies of the memory.

    Products are taken as such and as a 1x1 convolution: libraries differ, and the better one is the limit.
    """

    def __init__(self, device: torch.device) -> None:
        side, batch = (2048, 16) if device.type == "cpu" else (8192, 256)
        self.products: dict[str, list[tuple[float, Step]]] = {}
        for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            factor = torch.randn(side, side, device=device).to(kind)
            images = torch.randn(batch, 512, 28, 28, device=device).to(kind, memory_format=torch.channels_last)
            kernel = torch.randn(512, 512, 1, 1, device=device).to(kind)
            self.products[name] = [
                (2 * side**3, partial(torch.mm, factor, factor)),
                (2 * images.numel() * 512, partial(functional.conv2d, images, kernel)),
            ]
        self.source = torch.zeros((256 if device.type == "cpu" else 2048) * 2**20, dtype=torch.uint8, device=device)
        self.target = torch.zeros_like(self.source)

    def measure(self, measure: Callable[[Step], float]) -> dict[str, float]:
        """GFLOP/s by precision, and GB/s read and written."""
        rates = {
            name: max(flops / 1e9 / measure(product) for flops, product in products)
            for name, products in self.products.items()
        }
        rates["copy"] = 2 * len(self.source) / 1e9 / measure(lambda: self.target.copy_(self.source))
        return rates
