"""Deformable convolution (Zhu et al., "Deformable ConvNets v2", CVPR 2019): each tap of a kernel looks where told.

Made of PyTorch's own bilinear sampling, so that whoever decodes needs no other library for it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def deformable_convolution(x: Tensor, shift: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A modulated k×k convolution of x [B, C, h, w], k odd, zero beyond the borders → [B, D, h, w].

    The channels of x lie in G groups, which taps look at in places of their own: shift [B, G·k²·2, h, w] says by how
    many pixels down and right of the regular grid, mask [B, G·k², h, w] what is seen is multiplied by.
    weight: [D, C, k, k]; bias: [D].
    """
    batch, channels, height, width = x.shape
    kernel = weight.shape[-1]
    taps = kernel**2
    groups = mask.shape[1] // taps
    # Places in float32: in bfloat16, an autocast would give them by the pixel.
    reach = torch.arange(kernel, device=x.device, dtype=torch.float32) - kernel // 2
    rows = torch.arange(height, device=x.device)[:, None] + reach.repeat_interleave(kernel)[:, None, None]
    columns = torch.arange(width, device=x.device) + reach.repeat(kernel)[:, None, None]
    down, right = shift.float().reshape(batch * groups, taps, 2, height, width).unbind(2)
    # As `grid_sample` counts: from -1 at one border to 1 at the other.
    across, along = ((columns + right) * 2 + 1) / width - 1, ((rows + down) * 2 + 1) / height - 1
    places = torch.stack([across, along], dim=-1)
    seen = F.grid_sample(
        x.float().reshape(batch * groups, -1, height, width), places.flatten(1, 2), align_corners=False
    )
    seen = seen.unflatten(2, (taps, height)) * mask.float().reshape(batch * groups, 1, taps, height, width)
    columns_of_x = seen.reshape(batch, channels * taps, height * width)
    return (weight.flatten(1) @ columns_of_x + bias[:, None]).unflatten(2, (height, width))
