"""The command lines of `train.py` and of `studies/*.py`.

stdout carries results, stderr carries progress; exit 0 done, 1 a trial failed, 2 wrong usage, 130 interrupted.
"""

from randwire.cli._damage import damage
from randwire.cli._sizes import sizes
from randwire.cli._study import study
from randwire.cli._train import train

__all__ = ["damage", "sizes", "study", "train"]
