"""The dynamic transforms of DKIC: g_a, g_s and h_a that aggregate over places which the content chooses.

Wang, Fu, Chen, Liu, "Dynamic Kernel-Based Adaptive Spatial Aggregation for Learned Image Compression": residual groups
of dynamic blocks at every resolution, and dynamic kernels in the hyperprior. The abstract gives no sizes; these are
ours. As in `convolutional`, the image is folded into 4×4 blocks first, and all starts as a linear block transform.

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
from clc.model.transforms.initialisation import BlockTransform, starting_at

_FOLD = 4  # pixels folded into channels before the first convolution


class DynamicConfig(BaseModel):
    """Widths and depths at 1/4, 1/8 and 1/16 of the image's resolution, and of h_a at 1/16 and 1/32."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["dynamic"] = "dynamic"
    widths: tuple[int, int, int] = Field(description="channels at 1/4, 1/8 and 1/16")
    hidden: tuple[int, int, int] = Field(description="channels that the dynamic blocks at 1/4, 1/8 and 1/16 aggregate")
    groups: tuple[int, int, int] = Field(description="groups of these channels, each with places of its own")
    blocks: tuple[int, int, int] = Field(description="dynamic blocks in the residual group at 1/4, 1/8 and 1/16")
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
        return BlockTransform(_FOLD, self.widths)

    def analysis(self) -> nn.Module:
        """A new g_a."""
        return DynamicAnalysis(self)

    def synthesis(self) -> nn.Module:
        """A new g_s."""
        return DynamicSynthesis(self)

    def hyper_analysis(self, prior: PriorConfig, in_channels: int) -> nn.Module:
        """A new h_a."""
        return DynamicHyperAnalysis(self, prior, in_channels)

    def residual_groups(self) -> list[nn.Module]:
        """New residual groups of g_a or g_s, at 1/4, 1/8 and 1/16."""
        sizes = zip(self.widths, self.hidden, self.groups, self.blocks, strict=True)
        return [
            DynamicResidualGroup([DynamicBlock(width, hidden, groups, self.reach, self.kernels) for _ in range(number)])
            if number
            else nn.Identity()
            for width, hidden, groups, number in sizes
        ]


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


class DynamicAnalysis(nn.Module):
    """g_a: image [B, 3, H, W] in [0, 1] → latent y [B, C, H/16, W/16]; H and W are multiples of 16."""

    def __init__(self, config: DynamicConfig) -> None:
        super().__init__()
        w4, w8, w16 = config.widths
        stem = nn.Conv2d(3 * _FOLD**2, w4, 3, padding=1)
        halvings = [nn.Conv2d(w4, w8, 3, stride=2, padding=1), nn.Conv2d(w8, w16, 3, stride=2, padding=1)]
        last = nn.Conv2d(w16, config.latent_channels, 1)
        config.start().start_analysis(stem, halvings, last)
        at4, at8, at16 = config.residual_groups()
        self.layers = nn.Sequential(nn.PixelUnshuffle(_FOLD), stem, at4, halvings[0], at8, halvings[1], at16, last)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x - 0.5)
        return y


class DynamicSynthesis(nn.Module):
    """g_s: latent [B, C, H/16, W/16] → image [B, 3, H, W], not clamped."""

    def __init__(self, config: DynamicConfig) -> None:
        super().__init__()
        w4, w8, w16 = config.widths
        first = nn.Conv2d(config.latent_channels, w16, 1)
        doublings = [nn.Conv2d(w16, 4 * w8, 1), nn.Conv2d(w8, 4 * w4, 1)]  # each before a sub-pixel shuffle
        stem = nn.Conv2d(w4, 3 * _FOLD**2, 3, padding=1)
        config.start().start_synthesis(doublings, stem, first)
        at4, at8, at16 = config.residual_groups()
        up8, up4 = (nn.Sequential(doubling, nn.PixelShuffle(2)) for doubling in doublings)
        self.layers = nn.Sequential(first, at16, up8, at8, up4, at4, stem, nn.PixelShuffle(_FOLD))

    def forward(self, y: Tensor) -> Tensor:
        x: Tensor = self.layers(y)
        return x + 0.5


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
