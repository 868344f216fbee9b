"""CIFAR-100: 50,000 and 10,000 photographs of 32x32 pixels, 100 classes (the fine labels)."""

from randwire.data.sources._cifar import Cifar


class Cifar100(Cifar):
    """INPUT: cifar-100-python.tar.gz or cifar-100-binary.tar.gz, its folder, or one above it."""

    class_count = 100
    train_images = 50_000
    holdout = 5_000
    splits = {"train": ["train"], "val": ["test"]}
    meta = "meta", "fine_label_names.txt"
    keys = b"fine_labels", b"fine_label_names"
    label_bytes = 2
    published = {"cifar-100-binary": "cifar-100-binary", "cifar-100-python": "cifar-100-python"}
    kin = "cifar10", frozenset({"data_batch_1", "test_batch"})
