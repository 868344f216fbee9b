"""SVG pictures: self-contained text whose classes are scoped, so that many of them can share one page.

Hovering over a node highlights its edges and neighbours with CSS alone: an invisible target for the pointer comes
before the edges and nodes of its panel, so the rules reach them as later siblings.
"""

import hashlib
from collections.abc import Mapping
from html import escape

from randwire.dag import DAG
from randwire.drawing.layout import Layout, Strand, lay_out
from randwire.drawing.scene import (
    ACCENT,
    FOOT_PX,
    GAP_PX,
    INK,
    MAX_EDGES,
    MAX_LINE_EDGES,
    MUTED,
    NODE,
    PAPER,
    SHADES,
    SPANS,
    Panel,
    scene,
    shade,
    thickness,
)

IN, OUT = "#0b8a6f", "#d1371f"
MAX_DECIMAL_STRANDS = 400
"""Up to this many strands, coordinates have a decimal; with more, whole pixels keep the text short."""


def svg(dags: Mapping[str, DAG], title: str = "") -> str:
    """The random stages as one SVG: stage name -> DAG, equal DAGs drawn once. The same text for the same arguments."""
    picture = scene(dags, title)
    identity = repr((title, [(name, dag.nodes, dag.edges) for name, dag in dags.items()]))
    scope = "rw" + hashlib.sha256(identity.encode()).hexdigest()[:8]
    width, height = _number(picture.width), _number(picture.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{scope}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title or ", ".join(dags))}">',
        f"<style>{_style(scope, max((dag.nodes for dag in dags.values()), default=0) + 2)}</style>",
        f'<rect width="{width}" height="{height}" rx="6" fill="{PAPER}"/>',
    ]
    if title:
        parts.append(f'<text x="{_number(picture.width / 2)}" y="28" class="t">{escape(title)}</text>')
    for panel in picture.panels:
        middle = _number(panel.left + panel.width / 2)
        parts += [
            f'<text x="{middle}" y="{_number(picture.top - 26)}" class="l">{escape(panel.label)}</text>',
            f'<text x="{middle}" y="{_number(picture.top - 9)}" class="c">{escape(panel.caption)}</text>',
        ]
        if panel.layout:
            parts.append(f'<g stroke-width="1.2" transform="translate({_number(panel.shift)} {_number(picture.top)})">')
            parts += _panel(panel, panel.layout)
            parts.append("</g>")
    parts += _legend(picture.width, picture.height)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def thumbnail_svg(dag: DAG) -> str:
    """One stage as a small SVG without text or style rules, for galleries and tables."""
    if len(dag.edges) > MAX_EDGES:
        return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" role="img" aria-label="too large to draw"/>'
    layout = lay_out(dag)
    paths: dict[int, list[str]] = {}
    for strand in layout.strands:
        paths.setdefault(shade(strand, layout), []).append(_path(strand, digits=0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(layout.width)} {_number(layout.height)}" '
        f'role="img" aria-label="DAG of {dag.nodes} nodes, {len(dag.edges)} edges, depth {dag.depth}">'
    ]
    parts += [
        f'<path d="{"".join(path)}" fill="none" stroke="{SHADES[k]}" stroke-width="1.4"/>' for k, path in paths.items()
    ]
    for vertex, ((x, y), radius) in enumerate(zip(layout.centres, layout.radii, strict=True)):
        fill = ACCENT if vertex >= dag.nodes else NODE
        parts.append(f'<circle cx="{_number(x, 0)}" cy="{_number(y, 0)}" r="{_number(radius)}" fill="{fill}"/>')
    return "".join([*parts, "</svg>"])


def _style(scope: str, vertices: int) -> str:
    rules = [
        f".{scope}{{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;max-width:100%;"
        "height:auto}",
        f".{scope} text{{font-size:11px;fill:{MUTED};text-anchor:middle}}",
        f".{scope} .t{{font-size:16px;font-weight:600;fill:{INK}}}",
        f".{scope} .l{{font-size:13px;font-weight:600;fill:{INK}}}",
        f".{scope} .k{{text-anchor:start}}",
        f".{scope} path{{fill:none;pointer-events:none}}",
        *(
            f".{scope} .w{count}{{stroke-width:{_number(thickness(count), 2)}}}"
            for count in range(2, MAX_LINE_EDGES + 1)
        ),
        *(f".{scope} .s{k}{{stroke:{colour}}}" for k, colour in enumerate(SHADES)),
        f".{scope} .v{{fill:{NODE};stroke:{PAPER};stroke-width:1.2;pointer-events:none}}",
        f".{scope} .v.x{{fill:{ACCENT}}}",
        f".{scope} .h{{fill:{PAPER};fill-opacity:0;pointer-events:all;cursor:pointer}}",
        f".{scope} .h:hover~path{{opacity:.13}}",
    ]
    for vertex in range(vertices):
        hover = f".{scope} .h{vertex}:hover~"
        rules += [
            f"{hover}.o{vertex}{{stroke:{OUT};stroke-width:2;opacity:1}}",
            f"{hover}.i{vertex}{{stroke:{IN};stroke-width:2;opacity:1}}",
            f"{hover}.v{vertex}{{stroke:{INK};stroke-width:2}}",
        ]
    return "".join(rules)


def _panel(panel: Panel, layout: Layout) -> list[str]:
    parts = []
    for vertex, (x, y) in enumerate(layout.centres):
        parts.append(
            f'<circle class="h h{vertex}" cx="{_number(x)}" cy="{_number(y)}" r="9">'
            f"<title>{escape(_describe(vertex, panel, layout))}</title></circle>"
        )
    digits = 0 if len(layout.strands) > MAX_DECIMAL_STRANDS else 1
    for strand in layout.strands:
        ends = "".join(f" i{target}" for target in strand.targets)
        width = f" w{min(len(strand.targets), MAX_LINE_EDGES)}" if len(strand.targets) > 1 else ""
        parts.append(
            f'<path class="s{shade(strand, layout)} o{strand.source}{ends}{width}" d="{_path(strand, digits)}"/>'
        )
    for vertex, ((x, y), radius) in enumerate(zip(layout.centres, layout.radii, strict=True)):
        accent = " x" if vertex >= layout.nodes else ""
        parts.append(f'<circle class="v v{vertex}{accent}" cx="{_number(x)}" cy="{_number(y)}" r="{_number(radius)}"/>')
    return parts


def _describe(vertex: int, panel: Panel, layout: Layout) -> str:
    """The tooltip of a node: its index, and those of its inputs and outputs."""

    def names(vertices: list[int]) -> str:
        return ", ".join(name(other) for other in sorted(vertices)) or "none"

    def name(other: int) -> str:
        return {layout.nodes: "input", layout.nodes + 1: "output"}.get(other, str(other))

    inputs = [i for i, j in layout.edges if j == vertex]
    outputs = [j for i, j in layout.edges if i == vertex]
    kind = "node " if vertex < layout.nodes else "unique "
    end = "" if vertex < layout.nodes else " node"
    lines = [f"{panel.label}: {kind}{name(vertex)}{end}"]
    if vertex != layout.nodes:
        lines.append(f"in ({len(inputs)}): {names(inputs)}")
    if vertex != layout.nodes + 1:
        lines.append(f"out ({len(outputs)}): {names(outputs)}")
    return "\n".join(lines)


def _legend(width: float, height: float) -> list[str]:
    y = height - FOOT_PX / 2
    x = max(GAP_PX, (width - 272) / 2)
    parts = [f'<text class="k" x="{_number(x)}" y="{_number(y + 4)}">levels down an edge</text>']
    x += 122
    for _, label, colour in SPANS:
        line = f'<path d="M{_number(x)} {_number(y)}h14" stroke="{colour}" stroke-width="2.4"/>'
        parts.append(f'{line}<text class="k" x="{_number(x + 18)}" y="{_number(y + 4)}">{label}</text>')
        x += 40
    return parts


def _path(strand: Strand, digits: int = 1) -> str:
    """The path of a strand in relative coordinates; straight pieces in a row become one vertical line."""
    x, y = (round(value, digits) for value in strand.start)
    text, straight = f"M{_number(x, digits)} {_number(y, digits)}", 0.0
    for piece in strand.pieces:
        points = [(round(a, digits), round(b, digits)) for a, b in piece]
        if all(a == x for a, _ in points):
            straight += points[-1][1] - y
        else:
            text += f"v{_number(straight, digits)}" * bool(straight) + "c"
            text += _join([_number(value, digits) for a, b in points for value in (a - x, b - y)])
            straight = 0.0
        x, y = points[-1]
    return text + f"v{_number(straight, digits)}" * bool(straight)


def _join(numbers: list[str]) -> str:
    """Numbers of a path; a minus sign separates as well as a space does."""
    return "".join(number if number.startswith("-") or not k else " " + number for k, number in enumerate(numbers))


def _number(value: float, digits: int = 1) -> str:
    """A number as short as it can be: 1.5, .5, -3."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else "0" if text == "-0" else text
