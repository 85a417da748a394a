"""The trained filter, over whole pictures."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from clc.codec.references.blend_network import BLOCK, HALO, BlendNetwork

WEIGHTS = Path(__file__).with_name("blend.safetensors")
_BAND_PIXELS = 2**20
_LEAST_ROWS = 2 * HALO


@torch.inference_mode()
def blended(picture: NDArray[np.uint8], views: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    """What the network shows, uint8 [H, W, 3], blended with views of its references, uint8 [K, H, W, 3].

    quality: that the picture was coded at, 1 to 100. Like the network's own pictures, the result may differ by a level
    from one machine to another.
    """
    height, width = picture.shape[:2]
    rows = max(_LEAST_ROWS, _BAND_PIXELS // width // BLOCK * BLOCK)
    result = np.empty_like(picture)
    for top in range(0, height, rows):
        end = min(top + rows, height)
        first, last = max(0, top - HALO), min(end + HALO, height)
        band = _blended(picture[first:last], views[:, first:last], quality)
        result[top:end] = band[top - first : end - first]
    return result


def _blended(picture: NDArray[np.uint8], views: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    shown, seen = (_padded(torch.from_numpy(pixels).movedim(-1, -3).float()) for pixels in (picture, views))
    pixels = trained_network()(shown[None], seen[None], torch.tensor([quality]))[0]
    levels = pixels.clamp(0.0, 255.0).round().to(torch.uint8).movedim(0, -1)
    return levels[: picture.shape[0], : picture.shape[1]].numpy()


def _padded(pixels: Tensor) -> Tensor:
    """To whole blocks: the last pixels go on."""
    down, right = (-side % BLOCK for side in pixels.shape[-2:])
    return F.pad(pixels, (0, right, 0, down), mode="replicate") if down or right else pixels


@cache
def trained_network() -> BlendNetwork:
    """The trained network, whose weights do not change."""
    with torch.inference_mode(False):  # a search for smaller files takes gradients through it
        network = BlendNetwork()
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    return network.eval().requires_grad_(False)
