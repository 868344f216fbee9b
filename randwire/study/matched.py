"""Networks of equal cost: the channels of each are chosen, on its own graphs, for one number of multiply-adds."""

from functools import lru_cache

from randwire.config import RunConfig, RuntimeConfig, TrainConfig
from randwire.errors import ConfigError

KEY = "network.channels"
"""The key that is chosen."""


def matched(config: RunConfig, mult_adds: float) -> RunConfig:
    """The configuration with the channels whose multiply-adds are nearest to `mult_adds`; a published network as it is.

    Raises ConfigError, in one line, for a number that no channels give.
    """
    if config.network.reference is not None:
        return config
    channels = _channels(config.model_copy(update={"train": _TRAIN, "runtime": _RUNTIME}), mult_adds)
    return config.model_copy(update={"network": config.network.model_copy(update={"channels": channels})})


_TRAIN, _RUNTIME = TrainConfig(), RuntimeConfig()


@lru_cache(maxsize=2**16)
def _channels(config: RunConfig, mult_adds: float) -> int:
    from randwire.wiring import match_mult_adds  # here: most uses of a design need neither torch nor graphs

    try:
        return match_mult_adds(config, mult_adds).network.channels
    except ConfigError as error:
        raise ConfigError(f"--match-mult-adds: {config.label}: {error}") from None


def is_matched(channels: int, counted: float | None, mult_adds: float) -> bool:
    """Whether a recorded network of so many multiply-adds may be one of `matched`; None: they were not recorded.

    One channel more or less changes multiply-adds by up to 2/C, and the nearest is off by half of that.
    """
    return counted is None or abs(counted / mult_adds - 1) <= 2 / channels
