"""The transforms of the paper (§3.3): g_a, g_s and h_a from Transformer-CNN mixture (TCM) blocks.

After Liu, Sun, Katto, "Learned Image Compression with Mixed Transformer-CNN Architectures" (CVPR 2023): residual blocks
that halve or double the resolution, and between them blocks of which one half of the channels sees its neighbourhood
through convolutions and the other half a window through self-attention. Windows alternate between two partitions, as in
the Swin transformer (Liu et al., ICCV 2021): one begins at the origin, the other half a window before it. Unlike there,
windows at the border are cut off instead of wrapped around, so that any size will do.

h_s and the slice networks stay convolutional (`clc.model.priors`): what they compute must be exact. Activations are
leaky ReLUs instead of divisive normalisation, so that the blocks can start as identities and the whole as a linear
block transform (`clc.model.transforms.initialisation`).
"""

from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.priors.config import PriorConfig
from clc.model.transforms.convolutional import ResidualBlock
from clc.model.transforms.initialisation import BlockTransform, starting_at

_FOLD = 2  # pixels along each side of the blocks that the first linear layer takes
_MLP_GROWTH = 4
_WINDOWS_AT_ONCE = 512  # attention masks of more windows than a training crop has take much memory


class TcmConfig(BaseModel):
    """Widths and depths of g_a and g_s at 1/2, 1/4 and 1/8 of the image's resolution, and of h_a at 1/32."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["tcm"] = "tcm"
    width: int = Field(ge=16, multiple_of=2, description="channels of a block; each of its branches has half of them")
    blocks: tuple[int, int, int] = Field(description="TCM blocks at 1/2, 1/4 and 1/8")
    head_channels: tuple[int, int, int] = Field(description="channels of an attention head at 1/2, 1/4 and 1/8")
    window: int = Field(ge=2, multiple_of=2, description="positions along each side of a window in g_a and g_s")
    hyper_blocks: int = Field(ge=0, description="TCM blocks in h_a")
    hyper_head_channels: int = Field(ge=4, description="channels of an attention head in h_a")
    hyper_window: int = Field(ge=2, multiple_of=2, description="positions along each side of a window in h_a")
    latent_channels: int = Field(ge=8, description="channels C of the latent y")

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        for channels in (*self.head_channels, self.hyper_head_channels):
            if self.width // 2 % channels:
                raise ValueError(f"{self.width // 2} channels of a branch cannot be cut into heads of {channels}")
        return self

    def start(self) -> BlockTransform:
        """The linear transform that training starts from."""
        return BlockTransform(_FOLD, [self.width] * 3 + [self.latent_channels])

    def analysis(self) -> nn.Module:
        """A new g_a."""
        return TcmAnalysis(self)

    def synthesis(self) -> nn.Module:
        """A new g_s."""
        return TcmSynthesis(self)

    def hyper_analysis(self, prior: PriorConfig, in_channels: int) -> nn.Module:
        """A new h_a."""
        return TcmHyperAnalysis(self, in_channels, prior.hyper_channels)


class TcmAnalysis(nn.Module):
    """g_a: image [B, 3, H, W] in [0, 1] → latent y [B, C, H/16, W/16]; H and W are multiples of 16."""

    def __init__(self, config: TcmConfig) -> None:
        super().__init__()
        width = config.width
        halvings = [Halving(3, width), Halving(width, width), Halving(width, width)]
        last = nn.Conv2d(width, config.latent_channels, 3, stride=2, padding=1)
        shortcuts = [halving.shortcut for halving in halvings]
        config.start().start_analysis(shortcuts[0], [*shortcuts[1:], last])
        self.layers = nn.Sequential()
        for halving, number, head_channels in zip(halvings, config.blocks, config.head_channels, strict=True):
            self.layers.extend([halving, *_tcm_blocks(number, width, head_channels, config.window)])
        self.layers.append(last)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x - 0.5)
        return y


class TcmSynthesis(nn.Module):
    """g_s: latent [B, C, H/16, W/16] → image [B, 3, H, W], not clamped."""

    def __init__(self, config: TcmConfig) -> None:
        super().__init__()
        width = config.width
        doublings = [Doubling(config.latent_channels, width), Doubling(width, width), Doubling(width, width)]
        last = nn.Conv2d(width, 3 * _FOLD**2, 3, padding=1)
        config.start().start_synthesis([doubling.shortcut for doubling in doublings], last)
        self.layers = nn.Sequential()
        for doubling, number, head_channels in zip(
            doublings, reversed(config.blocks), reversed(config.head_channels), strict=True
        ):
            self.layers.extend([doubling, *_tcm_blocks(number, width, head_channels, config.window)])
        self.layers.extend([last, nn.PixelShuffle(_FOLD)])

    def forward(self, y: Tensor) -> Tensor:
        x: Tensor = self.layers(y)
        return x + 0.5


class TcmHyperAnalysis(nn.Sequential):
    """h_a: what the encoder knows [B, c, h, w] → z [B, N, h/4, w/4]. Runs there only, so it need not be exact."""

    def __init__(self, config: TcmConfig, in_channels: int, hyper_channels: int) -> None:
        super().__init__(
            Halving(in_channels, config.width),
            *_tcm_blocks(config.hyper_blocks, config.width, config.hyper_head_channels, config.hyper_window),
            nn.Conv2d(config.width, hyper_channels, 3, stride=2, padding=1),
        )


class Halving(nn.Module):
    """[B, C, h, w] → [B, C', h/2, w/2]: a residual block, linear at the start of training."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(channels, out_channels, 2, stride=2)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1)
        self.conv2 = starting_at(0.0, nn.Conv2d(out_channels, out_channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.conv2(F.leaky_relu(self.conv1(x)))


class Doubling(nn.Module):
    """[B, C, h, w] → [B, C', 2h, 2w]: a residual block, linear at the start of training."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(channels, 4 * out_channels, 1)
        self.conv1 = nn.Conv2d(channels, 4 * out_channels, 3, padding=1)
        self.conv2 = starting_at(0.0, nn.Conv2d(out_channels, out_channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        detail = self.conv2(F.leaky_relu(F.pixel_shuffle(self.conv1(x), 2)))
        return F.pixel_shuffle(self.shortcut(x), 2) + detail


class TcmBlock(nn.Module):
    """Convolution for one half of the channels, window attention for the other; an identity at the start of training.

    [B, C, h, w] → the same, any h and w.
    """

    def __init__(self, channels: int, head_channels: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.split = nn.Conv2d(channels, channels, 1)
        self.convolution = ResidualBlock(channels // 2, channels // 2)
        self.attention = WindowTransformer(channels // 2, head_channels, window, shifted)
        self.merge = starting_at(0.0, nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        local, distant = self.split(x).chunk(2, dim=1)
        return x + self.merge(torch.cat([self.convolution(local), self.attention(distant)], dim=1))


class WindowTransformer(nn.Module):
    """A transformer layer on windows: attention, then two pointwise layers, each normalised before and residual."""

    def __init__(self, channels: int, head_channels: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, head_channels, window, shifted)
        self.norm2 = nn.LayerNorm(channels)
        self.pointwise = nn.Sequential(
            nn.Linear(channels, _MLP_GROWTH * channels), nn.GELU(), nn.Linear(_MLP_GROWTH * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        last = last + self.attention(self.norm1(last))
        last = last + self.pointwise(self.norm2(last))
        return last.permute(0, 3, 1, 2)


class WindowAttention(nn.Module):
    """Self-attention with a learned bias per relative position, inside windows: [B, h, w, C] → the same, any h and w.

    shifted: whether the windows begin half a window before the origin, or at it. A window that reaches beyond the
    border holds the positions on this side of it only.
    """

    position: Tensor

    def __init__(self, channels: int, head_channels: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.window = window
        self.before = window // 2 if shifted else 0
        self.project = nn.Linear(channels, 3 * channels)
        self.merge = nn.Linear(channels, channels)
        self.position_bias = nn.Parameter(torch.zeros(self.heads, (2 * window - 1) ** 2))
        self.register_buffer("position", _relative_positions(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        before, size = self.before, self.window
        padding = (before, -(width + before) % size, before, -(height + before) % size)
        padded = F.pad(self.project(x), (0, 0, *padding))
        rows, columns = padded.shape[1] // size, padded.shape[2] // size
        # Windows and heads share a dimension, because the fast kernels want four in all: [3, B, n·heads, size², d].
        grid = padded.unflatten(3, (3, self.heads, -1)).unflatten(2, (columns, size)).unflatten(1, (rows, size))
        parts = grid.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(2, 4)
        mask = F.pad(x.new_zeros(height, width), padding, value=-torch.inf)  # hides what lies beyond the border
        masks = mask.unflatten(1, (columns, size)).unflatten(0, (rows, size)).transpose(1, 2).flatten(2).flatten(0, 1)
        portions = zip(parts.split(_WINDOWS_AT_ONCE * self.heads, dim=2), masks.split(_WINDOWS_AT_ONCE), strict=True)
        attended = torch.cat([self._attend(part, hidden) for part, hidden in portions], dim=1)
        grid = attended.unflatten(2, (size, size)).unflatten(1, (rows, columns, self.heads))
        joined = grid.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return self.merge(joined[:, before : before + height, before : before + width])

    def _attend(self, parts: Tensor, mask: Tensor) -> Tensor:
        """Queries, keys and values [3, B, n·heads, size², d] of n windows, mask [n, size²] → [B, n·heads, size², d]."""
        query, key, value = parts.unbind()
        bias = self.position_bias[:, self.position] + mask[:, None, None, :]  # [n, heads, size², size²]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias.flatten(0, 1)[None].to(query.dtype))


def _relative_positions(window: int) -> Tensor:
    """For each pair of positions in a window, int64 [window², window²], the index of their difference."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y + window - 1) * (2 * window - 1) + (x[:, None] - x + window - 1)


def _tcm_blocks(number: int, width: int, head_channels: int, window: int) -> list[TcmBlock]:
    """Blocks whose windows alternate between the two partitions."""
    return [TcmBlock(width, head_channels, window, shifted=index % 2 == 1) for index in range(number)]
