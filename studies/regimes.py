"""How much does a larger network gain? (Paper, Tables 2 to 4: the small and the regular regime, and more channels.)

python studies/regimes.py plan      the trials, their graphs and sizes
python studies/regimes.py sweep     train them, on this machine or a Ray cluster; again: go on
python studies/regimes.py status    where it stands
python studies/regimes.py trial 3   one trial of the plan, in this process, without Ray
python studies/regimes.py report    one self-contained page from the records

All are trained for the epochs of the configuration, with the dropout, drop edge and weight decay of their regime. Their
channels are in the paper's proportions to those of the small one, which are the configuration's.
"""

from collections.abc import Mapping

from randwire import config as configuration
from randwire.cli import study
from randwire.config import RunConfig

PRESETS = {"small": "small-100", "regular": "regular-109", "regular-wide": "regular-154"}
KEYS = ("network.regime", "network.dropout", "network.drop_edge", "train.weight_decay")


def variants(base: RunConfig) -> Mapping[str, Mapping[str, object]]:
    """The regimes as the presets have them, with channels in proportion to those of `base`."""
    smallest = configuration.load(PRESETS["small"]).network.channels
    by_name = {}
    for name, preset in PRESETS.items():
        config = configuration.load(preset)
        channels = round(config.network.channels * base.network.channels / smallest)
        sections = config.model_dump()
        values = {key: sections[section][field] for key in KEYS for section, field in [key.split(".")]}
        by_name[name] = {**values, "network.channels": channels}
    return by_name


if __name__ == "__main__":
    raise SystemExit(study("regimes", __doc__, variants=variants))
