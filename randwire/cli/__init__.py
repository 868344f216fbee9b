"""The command lines of `train.py` and of `studies/*.py`.

stdout carries results, stderr carries progress; exit 0 done, 1 a trial failed, 2 wrong usage, 130 interrupted.
"""

from randwire.cli.study import study
from randwire.cli.train import train

__all__ = ["study", "train"]
