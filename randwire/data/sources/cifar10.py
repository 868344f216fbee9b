"""CIFAR-10: 50,000 and 10,000 photographs of 32x32 pixels, 10 classes."""

from randwire.data.sources._cifar import Cifar


class Cifar10(Cifar):
    """INPUT: cifar-10-python.tar.gz or cifar-10-binary.tar.gz, its folder, or one above it."""

    class_count = 10
    train_images = 50_000
    holdout = 5_000
    splits = {"train": [f"data_batch_{number}" for number in range(1, 6)], "val": ["test_batch"]}
    meta = "batches.meta", "batches.meta.txt"
    keys = b"labels", b"label_names"
    label_bytes = 1
    published = {"cifar-10-batches-bin": "cifar-10-binary", "cifar-10-batches-py": "cifar-10-python"}
    kin = "cifar100", frozenset({"train", "test"})
