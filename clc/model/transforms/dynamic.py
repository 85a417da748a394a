"""The dynamic transforms of DKIC: g_a, g_s and h_a that aggregate over places which the content chooses.

Wang, Fu, Chen, Liu, "Dynamic Kernel-Based Adaptive Spatial Aggregation for Learned Image Compression": residual groups
of dynamic blocks at every resolution, and dynamic kernels in the hyperprior. The abstract gives no sizes; these are
ours.

Dynamic kernels of the hyperprior lie in h_a, which only an encoder runs. h_s stays convolutional
(`clc.model.priors.hyper`): what it computes must be exact, and the tanh, the softmax and the interpolation that say
what a position sees are not.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.priors.config import PriorConfig
from clc.model.priors.hyper import HyperAnalysis
from clc.model.transforms.aggregation import Kernels, aggregation
from clc.model.transforms.folded import FoldedAnalysis, FoldedSynthesis, Widths, linear_start
from clc.model.transforms.initialisation import BlockTransform, starting_at


class DynamicConfig(BaseModel):
    """Widths and depths at 1/4, 1/8 and 1/16 of the image's resolution, and of h_a at 1/16 and 1/32."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["dynamic"] = "dynamic"
    widths: Widths = Field(description="channels at 1/4, 1/8 and 1/16")
    hidden: Widths = Field(description="channels that the dynamic blocks at 1/4, 1/8 and 1/16 aggregate")
    groups: Widths = Field(description="groups of these channels, each with places of its own")
    blocks: Widths = Field(description="dynamic blocks in the residual group at 1/4, 1/8 and 1/16")
    hyper_hidden: int = Field(ge=8, description="channels that the dynamic blocks in h_a aggregate")
    hyper_groups: int = Field(ge=1, description="groups of these channels")
    hyper_blocks: int = Field(ge=0, description="dynamic blocks at each resolution of h_a")
    reach: float = Field(
        default=16.0, gt=0, description="positions that a place can be away from the regular grid, along each axis"
    )
    kernels: Kernels = Field(default=Kernels.DYNAMIC, description="in g_a and g_s")
    hyper_kernels: Kernels = Field(default=Kernels.DYNAMIC, description="in h_a")
    latent_channels: int = Field(ge=8, description="channels C of the latent y")

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        for channels, groups in zip((*self.hidden, self.hyper_hidden), (*self.groups, self.hyper_groups), strict=True):
            if groups < 1 or channels % groups:
                raise ValueError(f"{channels} channels of a dynamic block cannot be cut into {groups} groups")
        return self

    def start(self) -> BlockTransform:
        """The linear transform that training starts from."""
        return linear_start(self.widths)

    def analysis(self) -> nn.Module:
        """A new g_a."""
        return DynamicAnalysis(self)

    def synthesis(self) -> nn.Module:
        """A new g_s."""
        return DynamicSynthesis(self)

    def hyper_analysis(self, prior: PriorConfig, in_channels: int) -> nn.Module:
        """A new h_a."""
        return DynamicHyperAnalysis(self, prior, in_channels)

    def residual_groups(self) -> list[list[nn.Module]]:
        """New residual groups of g_a or g_s, at 1/4, 1/8 and 1/16: one each, or none."""
        sizes = zip(self.widths, self.hidden, self.groups, self.blocks, strict=True)
        all_blocks = (
            [DynamicBlock(width, hidden, groups, self.reach, self.kernels) for _ in range(number)]
            for width, hidden, groups, number in sizes
        )
        return [[DynamicResidualGroup(blocks)] if blocks else [] for blocks in all_blocks]


class DynamicBlock(nn.Module):
    """x plus a branch that mixes channels, aggregates and mixes again."""

    def __init__(self, channels: int, hidden: int, groups: int, reach: float, kernels: Kernels) -> None:
        super().__init__()
        self.channels = channels
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.aggregate = aggregation(kernels, hidden, groups, reach)
        self.conv2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.aggregate(self.conv1(F.leaky_relu(x)))
        return x + self.conv2(F.leaky_relu(branch))


class DynamicResidualGroup(nn.Module):
    """x plus a branch of dynamic blocks and a 3×3 convolution; an identity at the start of training."""

    def __init__(self, blocks: list[DynamicBlock]) -> None:
        super().__init__()
        channels = blocks[0].channels
        self.blocks = nn.Sequential(*blocks)
        # It alone starts at zero: if blocks did, too, what chooses the places would get next to no gradient.
        self.merge = starting_at(0.0, nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.merge(self.blocks(x))


class DynamicAnalysis(FoldedAnalysis):
    """g_a with residual groups of dynamic blocks."""

    def __init__(self, config: DynamicConfig) -> None:
        super().__init__(config.widths, config.latent_channels, config.residual_groups)


class DynamicSynthesis(FoldedSynthesis):
    """g_s with residual groups of dynamic blocks."""

    def __init__(self, config: DynamicConfig) -> None:
        super().__init__(config.widths, config.latent_channels, config.residual_groups)


class DynamicHyperAnalysis(nn.Sequential):
    """h_a: what the encoder knows [B, c, h, w] → z [B, N, h/4, w/4]: the convolutional one, with residual groups of
    dynamic blocks before each halving. Runs in the encoder only, so it need not be exact.
    """

    def __init__(self, config: DynamicConfig, prior: PriorConfig, in_channels: int) -> None:
        layers: list[nn.Module] = []
        for layer in HyperAnalysis(prior, in_channels):
            if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2) and config.hyper_blocks:
                sizes = prior.hyper_width, config.hyper_hidden, config.hyper_groups, config.reach, config.hyper_kernels
                layers.append(DynamicResidualGroup([DynamicBlock(*sizes) for _ in range(config.hyper_blocks)]))
            layers.append(layer)
        super().__init__(*layers)
