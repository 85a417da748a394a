"""Analysis and synthesis transforms g_a and g_s (paper §3.1) as a light residual convolutional network.

The image is folded into 4×4 blocks first, so that no convolution runs at full resolution: that is what makes the
`tiny` preset trainable and usable on a CPU.
"""

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

LATENT_STRIDE = 16
"""Image pixels per latent position, along each axis."""

_FOLD = 4  # pixels folded into channels before the first convolution


class TransformConfig(BaseModel):
    """Widths and depths at 1/4, 1/8 and 1/16 of the image's resolution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: tuple[int, int, int] = Field(description="channels at 1/4, 1/8 and 1/16")
    blocks: tuple[int, int, int] = Field(description="residual blocks at 1/4, 1/8 and 1/16")
    latent_channels: int = Field(ge=8, description="channels C of the latent y")


def starting_at(value: float, layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with its weights zeroed, so that at the start of training its output is `value` everywhere."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, value)
    return layer


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), an identity at the start of training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        # Without normalisation, deep stacks diverge unless they start as identities.
        self.conv2 = starting_at(0.0, nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x))))


class Upsample(nn.Sequential):
    """Twice the resolution: pointwise convolution, then sub-pixel shuffle."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, 4 * out_channels, 1), nn.PixelShuffle(2))


class AnalysisTransform(nn.Sequential):
    """g_a: image [B, 3, H, W] in [0, 1] → latent y [B, C, H/16, W/16]; H and W are multiples of 16."""

    def __init__(self, config: TransformConfig) -> None:
        w4, w8, w16 = config.widths
        n4, n8, n16 = config.blocks
        super().__init__(
            nn.PixelUnshuffle(_FOLD),
            nn.Conv2d(3 * _FOLD**2, w4, 3, padding=1),
            *(ResidualBlock(w4) for _ in range(n4)),
            nn.Conv2d(w4, w8, 3, stride=2, padding=1),
            *(ResidualBlock(w8) for _ in range(n8)),
            nn.Conv2d(w8, w16, 3, stride=2, padding=1),
            *(ResidualBlock(w16) for _ in range(n16)),
            nn.Conv2d(w16, config.latent_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - 0.5)


class SynthesisTransform(nn.Sequential):
    """g_s: latent [B, C, H/16, W/16] → image [B, 3, H, W], not clamped."""

    def __init__(self, config: TransformConfig) -> None:
        w4, w8, w16 = config.widths
        n4, n8, n16 = config.blocks
        super().__init__(
            nn.Conv2d(config.latent_channels, w16, 1),
            *(ResidualBlock(w16) for _ in range(n16)),
            Upsample(w16, w8),
            *(ResidualBlock(w8) for _ in range(n8)),
            Upsample(w8, w4),
            *(ResidualBlock(w4) for _ in range(n4)),
            nn.Conv2d(w4, 3 * _FOLD**2, 3, padding=1),
            nn.PixelShuffle(_FOLD),
        )

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y) + 0.5
