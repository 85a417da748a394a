"""What transforms with three scales have in common: g_a and g_s (paper §3.1) around the layers of each scale.

The image is folded into 4×4 blocks first, so that no convolution runs at full resolution: that is what makes small
presets trainable and usable on a CPU. All starts as a linear block transform (`clc.model.transforms.initialisation`).
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from clc.model.transforms.initialisation import BlockTransform

AtScale: TypeAlias = Callable[[int, Tensor], Tensor]
"""What becomes of features [B, w, h, w'] at the end of a scale; 0 is 1/4."""

MakeScales: TypeAlias = Callable[[], Sequence[Sequence[nn.Module]]]
"""Makes the layers at 1/4, 1/8 and 1/16: after the others, so that a seed draws these as ever."""

Widths: TypeAlias = tuple[int, int, int]
"""Channels at 1/4, 1/8 and 1/16."""

SCALES = (4, 8, 16)
"""Pixels for each position of features, scale by scale."""

_FOLD = 4  # pixels folded into channels before the first convolution


def linear_start(widths: Widths) -> BlockTransform:
    """The linear transform that training starts from."""
    return BlockTransform(_FOLD, widths)


class FoldedAnalysis(nn.Module):
    """g_a: image [B, 3, H, W] in [0, 1] → latent y [B, C, H/16, W/16]; H and W are multiples of 16."""

    def __init__(self, widths: Widths, latent_channels: int, make_scales: MakeScales) -> None:
        super().__init__()
        w4, w8, w16 = widths
        stem = nn.Conv2d(3 * _FOLD**2, w4, 3, padding=1)
        halvings = [nn.Conv2d(w4, w8, 3, stride=2, padding=1), nn.Conv2d(w8, w16, 3, stride=2, padding=1)]
        last = nn.Conv2d(w16, latent_channels, 1)
        linear_start(widths).start_analysis(stem, halvings, last)
        at4, at8, at16 = make_scales()
        parts = [[nn.PixelUnshuffle(_FOLD), stem, *at4], [halvings[0], *at8], [halvings[1], *at16]]
        self.layers = nn.Sequential(*(layer for part in parts for layer in part), last)
        self._ends = _last_layers(parts)

    def forward(self, x: Tensor, at_scale: AtScale | None = None) -> Tensor:
        """at_scale: changes what there is at the end of each scale, 0 (1/4) to 2 (1/16)."""
        return _through(self.layers, x - 0.5, self._ends, at_scale)

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """y, and what there is at the end of each scale on the way to it, 1/4 first."""
        kept: list[Tensor] = []

        def keep(_: int, x: Tensor) -> Tensor:
            kept.append(x)
            return x

        return self(x, keep), kept

    def features(self, x: Tensor) -> list[Tensor]:
        """What there is at the end of each scale, 1/4 first."""
        return self.with_features(x)[1]


class FoldedSynthesis(nn.Module):
    """g_s: latent [B, C, H/16, W/16] → image [B, 3, H, W], not clamped."""

    def __init__(self, widths: Widths, latent_channels: int, make_scales: MakeScales) -> None:
        super().__init__()
        w4, w8, w16 = widths
        first = nn.Conv2d(latent_channels, w16, 1)
        doublings = [nn.Conv2d(w16, 4 * w8, 1), nn.Conv2d(w8, 4 * w4, 1)]  # each before a sub-pixel shuffle
        stem = nn.Conv2d(w4, 3 * _FOLD**2, 3, padding=1)
        linear_start(widths).start_synthesis(doublings, stem, first)
        at4, at8, at16 = make_scales()
        parts = [[first, *at16], [doublings[0], nn.PixelShuffle(2), *at8], [doublings[1], nn.PixelShuffle(2), *at4]]
        self.layers = nn.Sequential(*(layer for part in parts for layer in part), stem, nn.PixelShuffle(_FOLD))
        self._ends = {layer: 2 - scale for layer, scale in _last_layers(parts).items()}

    def forward(self, y: Tensor, at_scale: AtScale | None = None) -> Tensor:
        """at_scale: as for g_a; 2 (1/16) comes first."""
        return _through(self.layers, y, self._ends, at_scale) + 0.5


def _last_layers(parts: list[list[nn.Module]]) -> dict[int, int]:
    """The number of the last layer of each part → the number of the part."""
    return {sum(map(len, parts[: part + 1])) - 1: part for part in range(len(parts))}


def _through(layers: nn.Sequential, x: Tensor, ends: dict[int, int], at_scale: AtScale | None) -> Tensor:
    if at_scale is None:
        result: Tensor = layers(x)
        return result
    for number, layer in enumerate(layers):
        x = layer(x)
        if number in ends:
            x = at_scale(ends[number], x)
    return x
