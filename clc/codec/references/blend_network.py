"""The filter that blends a decoded picture with views of its references: attention at full resolution.

The prior learns from references what a latent is like, but all detail passes through the latent, which is quantised.
References have that detail, and noise of their own. So each 4×4 block of pixels attends to the same block of every
view, one frequency at a time, or to none of them (eq. 4 to 6 of the paper, at the scale 1/1). A second network then
smooths what the blocks have left.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 4
HALO = 32
"""Pixels around a place that what is shown there depends on; the true number is smaller."""
_FREQUENCIES = 3 * BLOCK * BLOCK
_WIDTH = 48
_NONE_AT_FIRST = -3.0  # before training, blocks attend to no view
_DEVIATIONS = (12.0, 3.0)  # of errors, in 8-bit levels, at quality 0 and 100: the scale that differences are seen at


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.mixed = nn.Conv2d(_WIDTH, _WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, h, w] → the same shape."""
        change: Tensor = self.mixed(F.relu(self.near(x)))
        return F.relu(x + change)


class _Stack(nn.Module):
    """Convolutions over the blocks of a picture and of what is compared with it."""

    def __init__(self, depth: int, start: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * _FREQUENCIES, _WIDTH, 3, padding=1)
        self.quality = nn.Linear(2, _WIDTH)
        self.blocks = nn.Sequential(*(_Residual() for _ in range(depth)))
        self.last = nn.Conv2d(_WIDTH, _FREQUENCIES, 1)
        nn.init.zeros_(self.last.weight)
        self.last.bias = nn.Parameter(torch.full((_FREQUENCIES,), start))

    def forward(self, shown: Tensor, others: Tensor, quality: Tensor) -> Tensor:
        """A picture [B, 48, h, w] beside K others of each [B, K, 48, h, w], and the quality [B] → [B, K, 48, h, w]."""
        share = quality / 100.0
        known = self.quality(torch.stack([share, share.square()], dim=1))
        # As a convolution of both, one after the other, but what is the same for all others is computed once.
        weights = self.first.weight
        common = F.conv2d(shown, weights[:, :_FREQUENCIES], self.first.bias, padding=1) + known[:, :, None, None]
        own = F.conv2d(others.flatten(0, 1), weights[:, _FREQUENCIES:], padding=1).unflatten(0, others.shape[:2])
        result: Tensor = self.last(self.blocks(F.relu(own + common[:, None]).flatten(0, 1)))
        return result.unflatten(0, others.shape[:2])


class BlendNetwork(nn.Module):
    """Trained once, by `clc.training.blend`, on what one model decodes; streams of every model may use it."""

    cosines: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.attention = _Stack(3, start=_NONE_AT_FIRST)
        self.refinement = _Stack(2, start=0.0)
        self.register_buffer("cosines", _cosines(), persistent=False)

    def forward(self, picture: Tensor, views: Tensor, quality: Tensor) -> Tensor:
        """picture: [B, 3, H, W] in levels of 0 to 255, H and W multiples of 4; views: [B, K, 3, H, W]; quality: [B].

        The blended picture [B, 3, H, W], not clamped.
        """
        start, end = _DEVIATIONS
        deviation = (start * (end / start) ** (quality / 100.0))[:, None, None, None]
        shown = self._frequencies(picture)
        levels = shown / 255.0
        differences = self._frequencies((views - picture[:, None]).flatten(0, 1)).unflatten(0, views.shape[:2])
        scores = self.attention(levels, F.softsign(differences / deviation[:, None]), quality)
        weights = torch.cat([torch.zeros_like(scores[:, :1]), scores], dim=1).softmax(dim=1)[:, 1:]
        change = (weights * differences).sum(dim=1)
        smoothed = self.refinement(levels, F.softsign(change / deviation)[:, None], quality)[:, 0]
        return picture + self._pixels(change + deviation * smoothed)

    def _frequencies(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] → the cosine transform of its blocks [B, 48, H/4, W/4]."""
        return F.conv2d(pixels.flatten(0, 1)[:, None], self.cosines, stride=BLOCK).unflatten(0, (-1, 3)).flatten(1, 2)

    def _pixels(self, frequencies: Tensor) -> Tensor:
        """The inverse of `_frequencies`."""
        split = frequencies.unflatten(1, (3, -1)).flatten(0, 1)
        return F.conv_transpose2d(split, self.cosines, stride=BLOCK)[:, 0].unflatten(0, (-1, 3))


def _cosines() -> Tensor:
    """Orthonormal, [16, 1, 4, 4]."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    rows = torch.cos(torch.pi * (2 * place + 1) * place[:, None] / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    rows[0] /= 2**0.5
    return torch.einsum("ux,vy->uvxy", rows, rows).reshape(-1, 1, BLOCK, BLOCK).float()
