"""A page of a report: one HTML file that needs nothing but itself."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from randwire.pages.style import Figure
from randwire.records import atomic

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(target: Path, title: str, body: Sequence[str], figures: Mapping[str, Figure]) -> Path:
    """Write a page of HTML parts, with the figures of the elements whose ids they are named by; returns its path."""
    from plotly.offline import get_plotlyjs

    parts = {
        "title": escape(title),
        "plotly": get_plotlyjs(),
        "body": "\n".join(body),
        "figures": json.dumps(figures, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    # One pass: nothing that a record says is taken for a placeholder of the template.
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], TEMPLATE.read_text(encoding="utf-8"))
    with atomic(target) as file:
        file.write(text.encode())
    return target
