"""Randomly wired neural networks (Xie, Kirillov, Girshick, He 2019) as a distributed study."""

__version__ = "0.1.0"
