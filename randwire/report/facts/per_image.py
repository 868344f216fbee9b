"""What the images say: how far the validation images, beside the graphs, leave a mean uncertain."""

from __future__ import annotations
