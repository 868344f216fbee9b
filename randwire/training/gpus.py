"""The GPUs of this machine: what PyTorch can use of them."""

import warnings

import torch


def usable() -> bool:
    """Whether PyTorch can use a GPU. It warns of a driver in lines of its own, which are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()
