"""Are hand-made wirings and published networks better than random graphs, at equal cost? (Paper, Tables 2 and 3.)

python studies/baselines.py plan      the trials, their graphs and sizes
python studies/baselines.py sweep     train them, on this machine or a Ray cluster; again: go on
python studies/baselines.py status    where it stands
python studies/baselines.py trial 3   one trial of the plan, in this process, without Ray
python studies/baselines.py report    one self-contained page from the records

A chain, a chain with skips, all edges, and random graphs in which all nodes are alike are wirings of the same nodes as
the paper's best WS, BA and ER: nothing else differs. Published networks of about the cost of the configuration are
trained in the same way. All wirings get the channels whose multiply-adds are nearest to those of the first of these
(--match-mult-adds N: to N). Without --base it is a study of the digits at 16 pixels, of minutes; --base small-100,
regular-109 and regular-154 are rows of the paper's tables. --only names other settings.
"""

from randwire.cli import study
from randwire.config import RunConfig
from randwire.study.defaults import Defaults, Options

WIRINGS = ("chain", "residual", "complete", "random_regular:d=4")
PAPER = ("ws:k=4,p=0.75", "ba:m=5", "er:p=0.2")
"""The best setting of each of its generators."""
PUBLISHED = {
    "tiny": ("resnet20_cifar10",),
    "small": ("mobilenet_w1", "shufflenetv2_w2", "nasnet_4a1056", "darts"),
    "regular": ("resnet50b", "resnext50_32x4d"),
    "regular, wide": ("resnet101b", "resnext101_32x4d"),
}
"""Networks of pytorchcv by the regime whose cost they have."""
WIDE_CHANNELS = 130
"""More channels than these are the wide one: between the 109 and 154 of Table 3."""


def options(base: RunConfig) -> Options:
    """The settings, and the multiply-adds of the first published network."""
    from randwire.wiring import count

    wide = base.network.regime == "regular" and base.network.channels > WIDE_CHANNELS
    published = [f"pytorchcv:{name}" for name in PUBLISHED[base.network.regime + ", wide" * wide]]
    first = base.override({"network.reference": published[0]})
    return {"only": (*WIRINGS, *PAPER, *published), "match_mult_adds": float(count(first, {}).mult_adds), "seeds": 5}


if __name__ == "__main__":
    raise SystemExit(study("baselines", __doc__, defaults=Defaults({"data.resolution": 16}, options)))
