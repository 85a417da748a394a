"""Places that a position looks at, and deformable convolution (Zhu et al., "Deformable ConvNets v2", CVPR 2019): each
tap of a kernel looks where told.

Made of PyTorch's own bilinear sampling, so that whoever decodes needs no other library for it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled(x: Tensor, shift: Tensor, first_row: int = 0, beyond: str = "zeros") -> Tensor:
    """What k×k taps see of x [B, C, H, w] → [B·G, C/G, k², h, w], in float32, for the h rows from `first_row` on.

    The channels of x lie in G groups, which taps look at in places of their own: shift [B, G, k², 2, h, w] says by how
    many pixels down and right of the regular grid, k odd. Places between pixels are interpolated.
    beyond: what lies beyond the borders, as `grid_sample` names it.
    """
    batch, groups, taps, _, height, width = shift.shape
    kernel = round(taps**0.5)
    # Places in float32: in bfloat16, an autocast would give them by the pixel.
    reach = torch.arange(kernel, device=x.device, dtype=torch.float32) - kernel // 2
    rows = torch.arange(first_row, first_row + height, device=x.device)[:, None]
    rows = rows + reach.repeat_interleave(kernel)[:, None, None]
    columns = torch.arange(width, device=x.device) + reach.repeat(kernel)[:, None, None]
    down, right = shift.float().flatten(0, 1).unbind(2)
    # As `grid_sample` counts: from -1 at one border to 1 at the other.
    across, along = ((columns + right) * 2 + 1) / width - 1, ((rows + down) * 2 + 1) / x.shape[2] - 1
    places = torch.stack([across, along], dim=-1)
    values = x.float().reshape(batch * groups, -1, *x.shape[2:])
    seen = F.grid_sample(values, places.flatten(1, 2), padding_mode=beyond, align_corners=False)
    return seen.unflatten(2, (taps, height))


def deformable_convolution(x: Tensor, shift: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A modulated k×k convolution of x [B, C, h, w], k odd, zero beyond the borders → [B, D, h, w].

    shift [B, G·k²·2, h, w] as for `sampled`; mask [B, G·k², h, w] is what that is multiplied by.
    weight: [D, C, k, k]; bias: [D].
    """
    batch, channels, height, width = x.shape
    taps = weight.shape[-1] ** 2
    groups = mask.shape[1] // taps
    seen = sampled(x, shift.unflatten(1, (groups, taps, 2)))
    seen = seen * mask.float().reshape(batch * groups, 1, taps, height, width)
    columns_of_x = seen.reshape(batch, channels * taps, height * width)
    return (weight.flatten(1) @ columns_of_x + bias[:, None]).unflatten(2, (height, width))
