"""The one description of a run: presets, command line and search are dotted keys laid over its defaults.

What decides the numbers of a run (`graph`, `network`, `data`, `train`) is its identity: its digest names the trial and
its folder. Where and how it runs (`runtime`, paths of files) is not part of the digest; of files that decide numbers,
the SHA-256 is.

The description of a key ends with a code that says how certain its default is (see CERTAINTY).
"""

from randwire.config.data import FOLDER_SOURCE, DataConfig, Staging
from randwire.config.graph import GraphConfig
from randwire.config.identity import Difference, Identity
from randwire.config.idle import check_given
from randwire.config.loading import PRESETS, load, resolve
from randwire.config.network import MAX_CHANNELS, MIN_CHANNELS, NetworkConfig
from randwire.config.run_config import RunConfig, build, difference, keys
from randwire.config.runtime import Device, RuntimeConfig, StepKind
from randwire.config.section import CERTAINTY, Section
from randwire.config.texts import parse_all
from randwire.config.train import TrainConfig

__all__ = [
    "CERTAINTY",
    "FOLDER_SOURCE",
    "MAX_CHANNELS",
    "MIN_CHANNELS",
    "PRESETS",
    "DataConfig",
    "Device",
    "Difference",
    "GraphConfig",
    "Identity",
    "NetworkConfig",
    "RunConfig",
    "RuntimeConfig",
    "Section",
    "Staging",
    "StepKind",
    "TrainConfig",
    "build",
    "check_given",
    "difference",
    "keys",
    "load",
    "parse_all",
    "resolve",
]
