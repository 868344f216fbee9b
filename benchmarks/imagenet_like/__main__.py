"""Make a set of images that looks like ImageNet's files: the same names, archives, sizes and odd files.

python -m benchmarks.imagenet_like OUTPUT --train 6000 --val 1000             the archives, as they are downloaded
python -m benchmarks.imagenet_like OUTPUT --train 6000 --val 1000 --folders   train/<wnid>/*.JPEG and val/<wnid>/*.JPEG

The pixels are crops of the photographs in the wheels of scikit-image and scikit-learn. Class and number of an image
stand in a strip of black and white blocks at its top, which `read_stamp` reads from the pixels.
"""

import argparse
from pathlib import Path

from benchmarks.imagenet_like.files import make


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder, made if needed")
    parser.add_argument("--train", type=int, default=6000, help="images to train on [%(default)s]")
    parser.add_argument("--val", type=int, default=1000, help="images to validate on [%(default)s]")
    parser.add_argument("--classes", type=int, default=1000, help="synsets [%(default)s]")
    parser.add_argument("--side", type=int, default=500, help="pixels on the longer side of most images [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="decides every byte, with the numbers above [%(default)s]")
    parser.add_argument("--corrupt", type=int, default=0, help="files of train that are cut off [%(default)s]")
    parser.add_argument("--folders", action="store_true", help="write a folder for each class instead of archives")
    arguments = parser.parse_args()
    try:
        means = make(**vars(arguments))
    except ValueError as error:
        parser.error(str(error))
    sizes = ", ".join(f"{split} {mean / 1000:.1f} KB an image" for split, mean in means.items())
    print(f"{arguments.output}: {sizes}")


if __name__ == "__main__":
    main()
