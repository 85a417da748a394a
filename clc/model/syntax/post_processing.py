"""Post-processing: a small network that a decoder may run over its picture, one layer of which the syntax makes.

It is for who wants a better picture and has the time. No encoder counts on it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.syntax.config import PostProcessingConfig, SyntaxConfig
from clc.model.syntax.generated_layer import GeneratedLayer
from clc.model.transforms.initialisation import starting_at

_FOLD = 2  # pixels folded into channels, along each side


class PostProcessing(nn.Module):
    """image + what its convolutions say, an identity at the start of training."""

    def __init__(self, config: PostProcessingConfig, syntax: SyntaxConfig) -> None:
        super().__init__()
        folded, width = 3 * _FOLD**2, config.width
        self.first = nn.Conv2d(folded, width, 3, padding=1)
        self.generated = GeneratedLayer(syntax, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.last = starting_at(0.0, nn.Conv2d(width, folded, 3, padding=1))

    def forward(self, image: Tensor, numbers: Tensor) -> Tensor:
        """image: [B, 3, H, W], H and W even; numbers: [B, n]. → [B, 3, H, W], not clamped."""
        x = F.leaky_relu(self.first(F.pixel_unshuffle(image - 0.5, _FOLD)))
        x = F.leaky_relu(self.generated(x, numbers))
        x = F.leaky_relu(self.second(x))
        return image + F.pixel_shuffle(self.last(x), _FOLD).to(torch.promote_types(image.dtype, torch.float32))
