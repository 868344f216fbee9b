"""A set of images that looks like ImageNet's files."""

from benchmarks.imagenet_like.files import make
from benchmarks.imagenet_like.stamp import read_stamp

__all__ = ["make", "read_stamp"]
