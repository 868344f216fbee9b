"""Builds and loads the emulated CUDA device of emulated_cuda.cpp; must be imported before torch.

PyTorch looks for CUDA's hooks once, when it is loaded.
"""

import ctypes
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("emulated_cuda.cpp")


def _build() -> Path:
    """The library, compiled once for each PyTorch and each state of its source; processes wait for each other."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.submodule_search_locations
    torch = Path(spec.submodule_search_locations[0])
    key = hashlib.sha256(SOURCE.read_bytes() + importlib.metadata.version("torch").encode()).hexdigest()[:16]
    folder = Path(os.environ.get("RANDWIRE_CACHE", tempfile.gettempdir())) / "emulated_cuda"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{key}.so"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            partial = folder / f"{key}.partial"
            include = torch / "include"
            command = ["g++", "-O1", "-std=c++20", "-shared", "-fPIC", str(SOURCE), "-o", str(partial)]
            command += [f"-I{include}", f"-I{include / 'torch/csrc/api/include'}"]
            command += [f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{torch / 'lib'}"]
            subprocess.run(command, check=True)
            partial.replace(library)
    return library


if "torch" in sys.modules:
    raise RuntimeError("emulated_library must be imported before torch")
ctypes.CDLL(str(_build()), mode=ctypes.RTLD_GLOBAL)
