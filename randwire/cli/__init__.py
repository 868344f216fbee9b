"""The command lines of `train.py` and of `studies/*.py`.

stdout carries results, stderr carries progress; exit 0 done, 1 a trial failed, 2 wrong usage, 130 interrupted.
"""

from randwire.cli.damage_command import damage
from randwire.cli.sizes_command import sizes
from randwire.cli.study_command import study
from randwire.cli.train_command import train

__all__ = ["damage", "sizes", "study", "train"]
