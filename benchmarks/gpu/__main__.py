"""Everything that only a GPU can tell, by one command of less than ten minutes: is all right, and how fast is it?

python -m benchmarks.gpu [--minutes 9] [--only NAME ...] [--json FILE] [--dry]

    machine    what it is, and its rates: copies, products, launches
    right      steps of every operation and precision against fp64 on the CPU
    waits      what makes the host wait for the GPU in an epoch
    same       do all ways to train make the same network?
    speed      images/s of the ways to train, against the network as one would write it, and the goals
    kernels    the passes of a node by themselves, in 78 and in 80 channels
    profile    where the time of a step goes, by kernel
    ranks      training on all GPUs, one rank each
    inference  images/s of batches of 1, 64 and 256
    shared     several trainings on one GPU

A bare checkout needs torch (from 2.11 on), pydantic, PyYAML and networkx, and no data. Sections run in this order, each
in a process of its own; one that fails, or has no time left, does not end the others. The result is a text in Markdown
on stdout, what goes on is told on stderr. The exit code is 1 if anything was wrong or failed, 2 without a GPU.
`--dry` does all sections on the CPU in tiny shapes: its times mean nothing.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.gpu import inference, kernels, machine, profile, ranks, right, same, shared, speed, waits
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.processes import ENDED, FAILED, Process, Tell
from benchmarks.gpu.report import Section, headline
from randwire.errors import one_line

SECTIONS: dict[str, tuple[Callable[[Bench], None], float]] = {
    "machine": (machine.measure, 20),
    "right": (right.measure, 60),
    "waits": (waits.measure, 40),
    "same": (same.measure, 60),
    "speed": (speed.measure, 180),
    "kernels": (kernels.measure, 40),
    "profile": (profile.measure, 25),
    "ranks": (ranks.measure, 35),
    "inference": (inference.measure, 50),
    "shared": (shared.measure, 70),
}
"""What each section calls, and its share of the time."""
OVERTIME_S = 30.0
"""Seconds that a section may take beyond its time, in which the case that it has begun must end."""


def main() -> int:
    words = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(description=words[0])
    parser.add_argument("--minutes", type=float, default=9, help="time for all sections [%(default)g]")
    parser.add_argument(
        "--only", nargs="+", choices=list(SECTIONS), metavar="NAME", default=list(SECTIONS),
        help=f"sections to run: {', '.join(SECTIONS)} [all]",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found there, after each section")
    parser.add_argument("--dry", action="store_true", help="on the CPU, in tiny shapes; the times mean nothing")
    arguments = parser.parse_args()
    if arguments.minutes <= 0:
        parser.error("--minutes must be above 0")
    if arguments.json and not arguments.json.resolve().parent.is_dir():
        parser.error(f"--json: there is no folder {arguments.json.parent}; make it, or name another file")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not arguments.dry and not (seen := _devices()).isdecimal():
        parser.error(f"PyTorch finds no GPU ({seen}); --dry does all sections on the CPU")
    began = time.monotonic()
    sections: list[Section] = []
    for name in [name for name in SECTIONS if name in arguments.only]:
        sections.append(_run(name, sections, arguments, began))
        if arguments.json:
            arguments.json.write_text(_json(sections, arguments, began))
    minutes = (time.monotonic() - began) / 60
    print("\n".join([headline(sections, minutes), *(section.markdown() for section in sections)]))
    return 0 if all(section.good for section in sections) else 1


def _run(name: str, before: list[Section], arguments: argparse.Namespace, began: float) -> Section:
    """Run one section. What earlier ones have not used of their time is left for those that follow."""
    shares = {other: SECTIONS[other][1] for other in SECTIONS if other in arguments.only}
    done = [*(section.name for section in before), name]
    until = began + 60 * arguments.minutes * sum(shares[other] for other in done) / sum(shares.values())
    section, started = Section(name), time.monotonic()
    process = Process(_section, name, arguments.dry, until, leads=True)
    try:
        for kind, value in process.told(until + OVERTIME_S):
            if kind != ENDED:
                section.add(kind, value)
                if kind != "about":
                    print(f"{name}: {_brief(value)}", file=sys.stderr, flush=True)
    finally:
        process.stop()
    section.seconds = time.monotonic() - started
    return section


def _section(tell: Tell, name: str, dry: bool, until: float) -> None:
    torch.set_num_threads(1)
    SECTIONS[name][0](Bench(torch.device("cpu") if dry else torch.device("cuda", 0), dry, until, tell))


def _devices() -> str:
    """How many GPUs PyTorch finds, or why none: asked in another process, as this one goes on to fork."""
    told = list(Process(_count).told(time.monotonic() + 60))
    return next((str(value) for kind, value in told if kind in ("count", FAILED)), "nothing was told")


def _count(tell: Tell) -> None:
    if torch.version.cuda is None:
        tell("count", f"torch {torch.__version__} is a build for CPUs")
        return
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        tell("count", torch.cuda.device_count())
    except Exception as error:  # what CUDA says, and the driver
        tell("count", one_line(error))


def _brief(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    cells = (f"{key} {cell:.4g}" if isinstance(cell, float) else f"{key} {cell}" for key, cell in value.items())
    return ", ".join(cells).removeprefix("name ")


def _json(sections: list[Section], arguments: argparse.Namespace, began: float) -> str:
    found = {
        section.name: {key: value for key, value in asdict(section).items() if key != "name"} for section in sections
    }
    about = next((section.about for section in sections if section.about), None)
    whole = {"about": about, "dry": arguments.dry, "minutes": (time.monotonic() - began) / 60, "sections": found}
    return json.dumps(whole, indent=1, default=str) + "\n"


if __name__ == "__main__":
    sys.exit(main())
