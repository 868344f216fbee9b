"""A /proc and /sys of a machine that does not exist: control groups, where they are mounted, and memory."""

from collections.abc import Mapping
from pathlib import Path

PHYSICAL_GIB = 64
UNLIMITED = 9223372036854771712
"""What version 1 has for no limit of memory."""


def fake_machine(
    root: Path, groups: str, mounts: Mapping[str, tuple[str, str]], files: Mapping[str, object] | None = None
) -> Path:
    """Write it below `root`, which is returned.

    `groups` is /proc/self/cgroup. `mounts` has for each mount point the top of what is mounted there and its kind:
    `cgroup2`, or the controllers of version 1. `files` has the limits, by their path.
    """
    lines = []
    for number, (point, (top, kind)) in enumerate(mounts.items(), 30):
        which = "cgroup2 cgroup2 rw" if kind == "cgroup2" else f"cgroup cgroup rw,{kind}"
        lines.append(f"{number} 25 0:{number} {top} {point} rw,nosuid shared:9 - {which}")
    texts = {
        "proc/self/cgroup": groups,
        "proc/self/mountinfo": "\n".join(["22 1 254:0 / / rw - ext4 /dev/vda rw", *lines]),
        "proc/meminfo": f"MemTotal: {PHYSICAL_GIB << 20} kB\nMemFree: 1024 kB\n",
        **{path.lstrip("/"): content for path, content in (files or {}).items()},
    }
    for path, content in texts.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root
