"""Parameters and multiply-adds of our networks beside those that the paper prints: no training, no data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from randwire import config as configuration
from randwire.config import RunConfig
from randwire.graphs import parse
from randwire.model import published
from randwire.records import Row
from randwire.statistics.describe import describe
from randwire.study import space
from randwire.wiring import count, sample_graphs

PRINTED_NETWORKS = 5
"""Of how many networks the paper gives mean and standard deviation."""
MAX_STANDARD_ERRORS = 3.0
"""Standard errors by which a mean may be off."""


@dataclass(frozen=True)
class Printed:
    """Mean and standard deviation of a table of the paper (certainty A), in millions."""

    table: str
    preset: str
    quantity: str
    mean: float
    std: float


PAPER_CLASSES = 1000
"""Of ImageNet."""
PRINTED = (
    Printed("Table 2", "small", "parameters", 5.6, 0.1),
    Printed("Table 2", "small", "multiply-adds", 583, 6.2),
    Printed("Table 3", "regular-109", "parameters", 31.9, 0.66),
    Printed("Table 3", "regular-109", "multiply-adds", 4_000, 90),
    Printed("Table 3", "regular-154", "parameters", 61.5, 1.32),
    Printed("Table 3", "regular-154", "multiply-adds", 7_900, 180),
    Printed("Table 4", "large", "parameters", 61.5, 1.32),
    Printed("Table 4", "large", "multiply-adds", 16_000, 360),
)


@dataclass(frozen=True)
class PrintedReference:
    """What a table of the paper prints for a network that others designed (certainty A), in millions.

    `reference` is the published network that is meant; None where no package has it.
    """

    table: str
    network: str
    reference: str | None
    params: float
    mult_adds: float
    resolution: int = 224


PRINTED_REFERENCES = (
    PrintedReference("Table 2", "MobileNet", "pytorchcv:mobilenet_w1", 4.2, 569),
    PrintedReference("Table 2", "MobileNet v2 (1.4)", None, 6.9, 585),
    PrintedReference("Table 2", "ShuffleNet (2x)", None, 5.4, 524),
    PrintedReference("Table 2", "ShuffleNet v2 (2x)", "pytorchcv:shufflenetv2_w2", 7.4, 591),
    PrintedReference("Table 2", "NASNet-A", "pytorchcv:nasnet_4a1056", 5.3, 564),
    PrintedReference("Table 2", "DARTS", "pytorchcv:darts", 4.9, 595),
    PrintedReference("Table 3", "ResNet-50", "pytorchcv:resnet50b", 25.6, 4_100),
    PrintedReference("Table 3", "ResNeXt-50", "pytorchcv:resnext50_32x4d", 25.0, 4_200),
    PrintedReference("Table 3", "ResNet-101", "pytorchcv:resnet101b", 44.6, 7_800),
    PrintedReference("Table 3", "ResNeXt-101", "pytorchcv:resnext101_32x4d", 44.2, 8_000),
    PrintedReference("Table 4", "NASNet-A", "pytorchcv:nasnet_6a4032", 88.9, 23_800, 331),
    PrintedReference("Table 4", "PNASNet-5", "pytorchcv:pnasnet5large", 86.1, 25_000, 331),
)


@dataclass(frozen=True)
class Compared:
    """A printed value beside ours over many graph seeds, in millions."""

    printed: Printed
    n: int
    mean: float
    std: float

    @property
    def off(self) -> float:
        """How far our mean is from the printed one, in standard errors of the printed one."""
        return (self.mean - self.printed.mean) / (self.printed.std / math.sqrt(PRINTED_NETWORKS))

    @property
    def fits(self) -> bool:
        return abs(self.off) <= MAX_STANDARD_ERRORS


def compare(seeds: int, start: int = 0) -> Iterator[Compared]:
    """Every printed value beside that of our presets, over the graph seeds `start`, `start + 1`, ..."""
    for preset in dict.fromkeys(printed.preset for printed in PRINTED):
        base = configuration.load(preset)
        counted = [count(config, sample_graphs(config)) for config in _seeded(base, seeds, start)]
        values = {
            "parameters": [counts.params / 1e6 for counts in counted],
            "multiply-adds": [counts.mult_adds / 1e6 for counts in counted],
        }
        for printed in PRINTED:
            if printed.preset == preset:
                counts = describe(values[printed.quantity])
                yield Compared(printed, counts.n, counts.mean, counts.std or 0.0)


def settings(seeds: int, start: int = 0) -> Iterator[Row]:
    """Graph measures and sizes of the settings of Figure 4, in the small regime: lists over the seeds, by name."""
    base = configuration.load("small-100")
    for spec in space.paper([name for name in space.names() if space.kind(name).paper]):
        row: Row = {"setting": parse(spec).label, "redraws": 0}
        for config in _seeded(base.override({"graph.generator": spec}), seeds, start):
            samples = sample_graphs(config)
            sample, counted = samples["conv3"], count(config, samples)
            row["redraws"] += sample.redraws
            values = sample.dag.measures().to_dict() | {
                "params": counted.params / 1e6,
                "mult_adds": counted.mult_adds / 1e6,
            }
            for name, value in values.items():
                row.setdefault(name, []).append(value)
        yield row


def references_table() -> str:
    """The published networks of the paper's tables as a table in Markdown, with our counts."""
    lines = [
        "| paper | network | `network.reference` | pixels | parameters | here | multiply-adds | here |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in PRINTED_REFERENCES:
        spec, counts = "not in pytorchcv", ("-", "-")
        if row.reference is not None:
            params, mult_adds = published.size(row.reference, PAPER_CLASSES, row.resolution)
            spec, counts = f"`{row.reference}`", (f"{params / 1e6:.2f} M", _products(mult_adds / 1e6, 1, 3))
        lines.append(
            f"| {row.table} | {row.network} | {spec} | {row.resolution} | {row.params} M | {counts[0]} "
            f"| {_products(row.mult_adds, 0, 1)} | {counts[1]} |"
        )
    return "\n".join(lines) + "\n"


def _products(millions: float, digits: int, digits_of_billions: int) -> str:
    return f"{millions:.{digits}f} M" if millions < 1_000 else f"{millions / 1e3:.{digits_of_billions}f} B"


def markdown(compared: Sequence[Compared], figure_4: Sequence[Row]) -> str:
    """Both as the tables of a Markdown page."""
    n = compared[0].n
    lines = [
        "# Sizes",
        "",
        f"Written by `python studies/sizes.py --seeds {n}`: mean ± standard deviation over n = {n} graph seeds of",
        "WS(4,0.75), beside the values that the paper prints for five networks. The last column is the difference of",
        f"the means in standard errors of the printed one (its standard deviation / √{PRINTED_NETWORKS}); up to "
        f"{MAX_STANDARD_ERRORS:g} is",
        "what chance gives.",
        "",
        "| paper | preset | quantity | printed | here | off by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in compared:
        printed = row.printed
        digits, unit, scale = (2, "M", 1.0) if printed.mean < 1_000 else (3, "B", 1e-3)
        shown = f"{printed.mean * scale:{'g' if scale == 1 else '.1f'}} ± {printed.std * scale:g} {unit}"
        ours = f"{row.mean * scale:.{digits}f} ± {row.std * scale:.{digits}f} {unit}"
        lines.append(
            f"| {printed.table} | `{printed.preset}` | {printed.quantity} | {shown} | {ours} | {row.off:+.2f} |"
        )
    lines += [
        "",
        f"The settings of Figure 4 in the small regime (C=78, N=32), n = {n} graphs each: what the graphs are, and how",
        "little the size of a network depends on them (mainly through its number of sources). Draws that are not",
        "connected are drawn again; `redraws` counts them.",
        "",
        "| setting | redraws | edges | sources | sinks | depth | clustering | path length | parameters (M) "
        "| multiply-adds (M) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for setting_row in figure_4:
        cells = [_shown(setting_row[name], digits) for name, digits in _COLUMNS]
        lines.append(f"| {setting_row['setting']} | {setting_row['redraws']} | {' | '.join(cells)} |")
    lines += [
        "",
        "The networks that others designed, as the paper's tables print them (certainty A), and as counted here:",
        "multiply-adds of convolutions and fully connected layers. By which rule the paper counted them is not",
        "established (-). DARTS differs most.",
        "",
    ]
    return "\n".join(lines) + "\n" + references_table()


_COLUMNS = (
    ("edges", 1), ("sources", 1), ("sinks", 1), ("depth", 1), ("clustering", 2), ("path_length", 2), ("params", 3),
    ("mult_adds", 1),
)  # fmt: skip


def _shown(values: Sequence[float], digits: int) -> str:
    described = describe(values)
    varies = described.std is not None and described.std > 1e-12 * abs(described.mean)
    return f"{described.mean:.{digits}f} ± {described.std:.{digits}f}" if varies else f"{described.mean:.{digits}f}"


def _seeded(base: RunConfig, seeds: int, start: int) -> Iterator[RunConfig]:
    for seed in range(start, start + seeds):
        yield base.model_copy(update={"graph": base.graph.model_copy(update={"seed": seed})})
