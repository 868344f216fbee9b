"""Uncertainty by graphs and by images, disagreement of networks, and what the networks of a setting do together."""

from __future__ import annotations

from randwire.report.facts.study import Section


def per_image(section: Section) -> str:
    """The panel of a section; empty where too few records say which images were right."""
    return ""
