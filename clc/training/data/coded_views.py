"""References as decoders have them: coded alone by the model that learns, at a quality from 60 on, and decoded."""

import torch
from torch import Tensor

from clc.model.limits import QUALITY_MAX
from clc.model.network import CompressionModel
from clc.model.tiles import to_unit_range

_LEAST_QUALITY = 60.0


@torch.no_grad()
def coded_views(model: CompressionModel, views: Tensor, share: float) -> Tensor:
    """uint8 [n, s, s, 3] → the same, a share of them after coding.

    A GPU codes all: there, shapes depend on nothing drawn.
    """
    device = views.device
    chosen = torch.rand(len(views), device=device) < share
    quality = _LEAST_QUALITY + (QUALITY_MAX - _LEAST_QUALITY) * torch.rand(len(views), device=device)
    if views.is_cuda:
        return torch.where(chosen[:, None, None, None], coded(model, views, quality), views)
    result = views.clone()
    if chosen.any():
        result[chosen] = coded(model, views[chosen], quality[chosen])
    return result


@torch.no_grad()
def coded(model: CompressionModel, pictures: Tensor, quality: Tensor | float) -> Tensor:
    """uint8 [n, s, s, 3] → the same after coding without references, at a quality of all or [n]."""
    was_training = model.training
    model.eval()  # whole symbols
    image = model(to_unit_range(pictures).contiguous(memory_format=torch.channels_last), None, quality).image
    model.train(was_training)
    assert image is not None
    return image.clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
