"""Aggregation over places that the content chooses: the "Lite DCN" of DKIC.

Wang, Fu, Chen, Liu, "Dynamic Kernel-Based Adaptive Spatial Aggregation for Learned Image Compression": kernels whose
places depend on the content, in groups, with shared weights. What its abstract leaves open follows DCNv3 (Wang et al.,
"InternImage", CVPR 2023), but lighter: one projection serves all places and all groups.
"""

from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.conditioning.deformable import sampled
from clc.model.transforms.initialisation import starting_at

_SIDE = 3
_PLACES = _SIDE**2  # that a position looks at, in each group
_NUMBERS = 3  # for each place: how far down, how far right, how much it counts
_BAND_BYTES = 2**23  # of what says the places, and of what is seen there, at once


class Kernels(StrEnum):
    """What says where a position looks, and how much each place counts there."""

    DYNAMIC = "dynamic"  # the content
    FIXED = "fixed"  # nothing: the regular 3×3 grid, with learned weights. The plainest thing in its place


def aggregated(x: Tensor, shift: Tensor, share: Tensor, first_row: int = 0) -> Tensor:
    """Weighted sums of what lies around each position, at places of its own → [B, C, h, w].

    x: [B, C, H, w], in G groups of channels. shift: [B, G, 9, 2, h, w], by how many positions each place lies down and
    right of the regular 3×3 grid; share: [B, G, 9, h, w], what is seen there is multiplied by. Both are for the h rows
    from `first_row` on. Places between positions are interpolated; beyond a border lies what is at it.
    """
    seen = sampled(x, shift, first_row, beyond="border") * share.float().flatten(0, 1)[:, None]
    return seen.sum(dim=2).reshape(len(x), -1, *share.shape[-2:]).to(x.dtype)


class DynamicAggregation(nn.Module):
    """[B, C, h, w] → the same, any h and w: each position says where each group of its channels looks.

    At the start of training every position looks at the 3×3 around it, and all of that counts alike.
    reach: positions that a place can be away from the regular grid, whatever the content says.
    """

    def __init__(self, channels: int, groups: int, reach: float) -> None:
        super().__init__()
        self.groups, self.reach = groups, reach
        self.project = nn.Conv2d(channels // groups, channels // groups, 1)  # shared by all places and groups
        self.look = nn.Conv2d(channels, channels, _SIDE, padding=_SIDE // 2, groups=channels)
        self.choose = starting_at(0.0, nn.Conv2d(channels, groups * _PLACES * _NUMBERS, 1))

    def forward(self, x: Tensor) -> Tensor:
        values = _projected(self.project, x, self.groups)
        content = F.leaky_relu(self.look(x))
        height, width = x.shape[-2:]
        step = height
        kept = torch.is_grad_enabled() and content.requires_grad
        if not kept and not x.is_meta:  # otherwise bands save no memory
            numbers = self.choose.out_channels + _PLACES * x.shape[1]
            step = max(1, _BAND_BYTES // (4 * numbers * width * len(x)))
        bands = range(0, height, step)
        return torch.cat([self._band(values, content[:, :, row : row + step], row) for row in bands], dim=2)

    def _band(self, values: Tensor, content: Tensor, first_row: int) -> Tensor:
        shift, share = self.places(content)
        return aggregated(values, shift, share, first_row)

    def places(self, content: Tensor) -> tuple[Tensor, Tensor]:
        """What content [B, C, h, w] chooses, as for `aggregated`: shift [B, G, 9, 2, h, w], share [B, G, 9, h, w]."""
        chosen = self.choose(content).float().unflatten(1, (self.groups, _PLACES, _NUMBERS))
        shift = self.reach * torch.tanh(chosen[:, :, :, :2] / self.reach)
        return shift, torch.softmax(chosen[:, :, :, 2], dim=2)


class FixedAggregation(nn.Module):
    """The same without content: every position looks at the 3×3 around it, with learned shares for each group."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.project = nn.Conv2d(channels // groups, channels // groups, 1)
        self.choose = nn.Parameter(torch.zeros(groups, _PLACES))

    def forward(self, x: Tensor) -> Tensor:
        values = F.pad(_projected(self.project, x, self.groups), (_SIDE // 2,) * 4, mode="replicate")
        share = torch.softmax(self.choose, dim=1).reshape(self.groups, 1, _SIDE, _SIDE).to(values.dtype)
        each = x.shape[1] // self.groups
        return F.conv2d(values, share.repeat_interleave(each, dim=0), groups=x.shape[1])


def aggregation(kernels: Kernels, channels: int, groups: int, reach: float) -> nn.Module:
    """A new layer of this kind; `groups` divides `channels`."""
    if kernels is Kernels.FIXED:
        return FixedAggregation(channels, groups)
    return DynamicAggregation(channels, groups, reach)


def _projected(project: nn.Conv2d, x: Tensor, groups: int) -> Tensor:
    batch, channels = x.shape[:2]
    by_group = project(x.reshape(batch * groups, channels // groups, *x.shape[2:]))
    return by_group.reshape(batch, channels, *x.shape[2:])
