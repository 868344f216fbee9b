"""Networks whose stages are random DAGs (paper, section 3.1 and Table 1)."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from randwire.config import NetworkConfig
from randwire.dag import DAG
from randwire.model.drop_edge import DropEdge
from randwire.model.node import NodeSpec
from randwire.model.ops import Pointwise
from randwire.model.regimes import REGIMES
from randwire.model.stage import Stage


class Stem(nn.Sequential):
    """A stage without a graph: (ReLU,) dense 3x3 convolution, BN (Table 1). There is no ReLU before the first one."""

    def __init__(self, c_in: int, c_out: int, stride: int, relu: bool) -> None:
        conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        super().__init__(*([nn.ReLU(inplace=True)] if relu else []), conv, nn.BatchNorm2d(c_out))


class Classifier(nn.Module):
    """ReLU, 1x1 convolution, BN, (ReLU,) global average pooling, dropout, fully connected layer (Table 1)."""

    def __init__(self, c_in: int, config: NetworkConfig, classes: int) -> None:
        super().__init__()
        self.conv = Pointwise(c_in, config.head)
        self.bn = nn.BatchNorm2d(config.head)
        self.relu = config.head_relu
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(config.head, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) to logits (B, classes)."""
        x = self.bn(self.conv(functional.relu(x)))
        if self.relu:
            x = functional.relu(x, inplace=True)
        out: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return out


class RandWire(nn.Module):
    """The network of a regime. `dags` maps each random stage's name to its DAG.

    `recompute` holds less memory in training and computes more, with equal numbers, and `channel_multiple` is what the
    channels of random stages are stored as a multiple of there (see Stage); `compiled` is that of its nodes. Raises
    ValueError if the stages of `dags` are not those of the regime, ConfigError for a multiple that is not possible.
    """

    def __init__(
        self,
        config: NetworkConfig,
        dags: Mapping[str, DAG],
        classes: int,
        recompute: bool = False,
        compiled: bool = False,
        channel_multiple: int = 1,
    ) -> None:
        super().__init__()
        plans = REGIMES[config.regime]
        expected = [plan.name for plan in plans if plan.share]
        if set(dags) != set(expected):
            raise ValueError(
                f"the {config.regime} regime needs graphs for {', '.join(expected)}, not {', '.join(dags)}"
            )
        self.stages = nn.ModuleDict()
        c_in = 3
        for index, plan in enumerate(plans):
            c_out = plan.channels(config.channels)
            if plan.share:
                spec = NodeSpec.of(config, c_in, c_out, plan.stride, compiled)
                stage: nn.Module = Stage(dags[plan.name], spec, recompute, channel_multiple)
            else:
                stage = Stem(c_in, c_out, plan.stride, relu=index > 0)
            self.stages[plan.name] = stage
            c_in = c_out
        self.stages["classifier"] = Classifier(c_in, config, classes)
        self.drop_edge = DropEdge(config, {name: dags[name] for name in expected})
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to logits (B, classes)."""
        keep = self.drop_edge()
        for name, stage in self.stages.items():
            x = stage(x, keep[name]) if name in keep else stage(x)
        return x


def _initialise(module: nn.Module) -> None:
    """He et al. 2015 for convolutions (fan-in), N(0, 0.01) for the fully connected layer; the paper states none."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:  # of a node operation
            nn.init.zeros_(module.bias)
