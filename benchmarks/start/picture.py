"""The picture of the course of the sweeps."""

from pathlib import Path

from benchmarks.start.marks import STAGES
from benchmarks.start.measure import FORMS, Measured

COLOURS = ("#4d4d4d", "#b35806", "#e08214", "#fdb863", "#d8daeb", "#8073ac", "#2d8a57")


def draw(measured: list[Measured], path: Path) -> None:
    """The course of the median sweep of each form: a row for each, a piece for each stage of a setting."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(9, 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    for row, form in enumerate(FORMS):
        sweeps = sorted((sweep for sweep in measured if sweep.form == form), key=lambda sweep: sweep.wall)
        sweep = sweeps[(len(sweeps) - 1) // 2]
        left = 0.0
        for span in sweep.spans:
            for stage, colour in zip(STAGES, COLOURS, strict=True):
                ax.barh(row, span[stage], left=left, height=0.6, color=colour)
                left += span[stage]
            ax.plot([left, left], [row - 0.36, row + 0.36], color="black", linewidth=0.8)
        text = f"{sweep.wall:.0f} s, {sweep.share:.0%} training"
        ax.text(left, row - 0.4, text, ha="right", va="bottom", fontsize=9)
    ax.set_yticks(range(len(FORMS)), FORMS)
    ax.set_ylim(len(FORMS) - 0.5, -0.75)
    ax.set_xlabel(f"seconds of a sweep of {len(measured[0].spans)} settings, which end at the black lines")
    ax.spines[["top", "right"]].set_visible(False)
    handles = [Patch(color=colour, label=name) for name, colour in zip(STAGES.values(), COLOURS, strict=True)]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
