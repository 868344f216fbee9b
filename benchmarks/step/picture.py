"""The picture of the time by kind of kernel."""

from pathlib import Path

from benchmarks.step.kernels import KINDS
from benchmarks.step.methods import INFERENCE, PLAIN, TRAINING
from benchmarks.step.report import Report

COLOURS = dict(zip(KINDS, ("#30638e", "#5fa8d3", "#003d5b", "#edae49", "#d1495b", "#b5b5b5"), strict=True))


def draw(report: Report, path: Path) -> None:
    """The time of an image by kind of kernel: the baseline and ours, training above inference."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patches, pyplot

    phases = (TRAINING, INFERENCE)
    figure, axes = pyplot.subplots(2, 1, figsize=(9, 4.6), layout="constrained")
    for ax, phase in zip(axes, phases, strict=True):
        rows = [profile for profile in report.kernels if profile.phase == phase]
        base = report.time_of(rows[0])
        for row, profile in enumerate(rows):
            total, left = report.time_of(profile), 0.0
            for kind, share in profile.shares.items():
                width = share * total
                ax.barh(row, width, left=left, height=0.7, color=COLOURS[kind], edgecolor="white", linewidth=0.5)
                if width > 0.045 * base:
                    text = f"{width:.0f}" if width >= 10 else f"{width:.1f}"
                    colour = "black" if kind in ("batch norm", "rest", "depthwise") else "white"
                    ax.text(left + width / 2, row, text, ha="center", va="center", fontsize=8, color=colour)
                left += width
            speed = (
                f"{total:.0f} ms"
                if profile.name == PLAIN
                else f"{total:.0f} ms, {report.ratio(report.find(phase, profile.name)):.1f}x"
            )
            ax.text(left + 0.01 * base, row, speed, va="center", fontsize=9, fontweight="bold")
        ax.set_yticks(range(len(rows)), [profile.name for profile in rows])
        ax.invert_yaxis()
        ax.set_xlim(0, 1.13 * base)
        ax.set_title(f"{phase.capitalize()}: ms for one image", loc="left", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    handles = [patches.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    names = {"pointwise": "1x1 convolution", "depthwise": "3x3 depthwise", "dense": "3x3 (stem)"}
    labels = [names.get(kind, kind) for kind in COLOURS]
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
