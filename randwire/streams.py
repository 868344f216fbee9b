"""Every formula that makes a random stream out of seeds, side by side: how chance is divided in a study.

No two streams are the same by intention: each is named by what it decides. To change a formula changes results, and
records of the same digest would no longer be comparable. Weights are initialised by `train.seed` itself; resampling in
statistics starts from a constant.
"""

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def graph(seed: int, key: str | int) -> random.Random:
    """Of the graph of a random stage; `key` is its name, or the number of its nodes where stages share graphs."""
    return random.Random(f"{seed}/{key}")


def stored_as_jpeg(split: str, index: int) -> random.Random:
    """Whether an image of a converted data set is stored as JPEG, where a share of them is."""
    return random.Random(f"{split}/{index}")


def images(seed: int, epoch: int) -> "tuple[np.random.Generator, np.uint64]":
    """The order of an epoch's images, and the key of their crops and flips, equal on all ranks.

    The crop of an image depends on that key and its index alone (see data/decoder.py).
    """
    import numpy as np

    order, crops = np.random.SeedSequence([seed, epoch]).spawn(2)
    return np.random.default_rng(order), crops.generate_state(1, np.uint64)[0]


def held_out_images(seed: int, images: int) -> "NDArray[np.uint64]":
    """A number (images,) for each training image: in each class, those of the smallest are held out of training.

    Raw numbers of a bit generator, which no version of NumPy may change: records of years must hold out the same.
    """
    import numpy as np

    return np.random.PCG64(np.random.SeedSequence(seed)).random_raw(images)


def augmentation_seed(seed: int, epoch: int, step: int) -> int:
    """Of the affine maps and colours of a step's images, of all ranks together."""
    return ((seed * 1_000_003 + epoch) * 1_000_003 + step) % 2**63


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Of PyTorch's global generators in an epoch of a rank: dropout."""
    return (seed * 1_000_003 + epoch) * 1_009 + rank


def resumed_epoch_seed(seed: int, epoch: int, step: int, rank: int) -> int:
    """The same of what is left of an epoch after `step` steps, if it goes on on another number of ranks."""
    return random.Random(f"resumed/{seed}/{epoch}/{step}/{rank}").getrandbits(63)


def drop_edge(seed: int, epoch: int, rank: int | None, step: int = 0) -> random.Random:
    """The edges that the steps of an epoch do without; `rank` is None where all ranks drop the same ones.

    `step`: the steps done where an epoch goes on on another number of ranks.
    """
    of_rank = "" if rank is None else f"/{rank}"
    return random.Random(f"drop edge/{seed}/{epoch}{of_rank}" + (f"/after {step}" if step else ""))


def sampler_seed(seed: int, number: int, attempt: int) -> int:
    """Of the sampler of a study that makes an attempt at its suggestion of that number."""
    return random.Random(f"{seed}/{number}/{attempt}").getrandbits(32)


def untried_settings(seed: int, number: int) -> random.Random:
    """The order in which a study tries what is left of its space when its sampler repeats itself."""
    return random.Random(f"{seed}/{number}")


def damages(seed: int, network: str, kind: str) -> random.Random:
    """The nodes or edges of a network that are removed in turn."""
    return random.Random(f"damage/{seed}/{network}/{kind}")


def judging_images(seed: int) -> random.Random:
    """The validation images that damaged networks are judged by."""
    return random.Random(f"damage/{seed}/images")
