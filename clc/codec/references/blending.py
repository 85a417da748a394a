"""The trained filter, over whole pictures."""

from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from clc.codec.references.blend_network import BLOCK, HALO, BlendNetwork
from clc.model.transforms.processor import multiplies_bfloat16

WEIGHTS = Path(__file__).with_name("blend.safetensors")
_TILE = 1024  # pixels along each side, so that memory does not grow with the picture


@torch.inference_mode()
def blended(picture: NDArray[np.uint8], seen: Sequence[NDArray[np.uint8]], quality: float) -> NDArray[np.uint8]:
    """What the network shows, uint8 [H, W, 3], blended with what is seen of its references, as large as it.

    quality: that the picture was coded at, 1 to 100. The result may differ by a level from one machine to another, and
    here and there by two: the network's own pictures do by one.
    """
    height, width = picture.shape[:2]
    result = np.empty_like(picture)
    for (rows, around), (columns, beside) in product(_spans(height), _spans(width)):
        part = _blended(picture[around, beside], [each[around, beside] for each in seen], quality)
        top, left = rows.start - around.start, columns.start - beside.start
        result[rows, columns] = part[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
    return result


def _spans(length: int) -> list[tuple[slice, slice]]:
    """Tiles along one side, each with what is needed around it."""
    starts = range(0, length, _TILE)
    spans = [(start, min(start + _TILE, length)) for start in starts]
    return [(slice(start, end), slice(max(0, start - HALO), min(end + HALO, length))) for start, end in spans]


def _blended(picture: NDArray[np.uint8], seen: Sequence[NDArray[np.uint8]], quality: float) -> NDArray[np.uint8]:
    shown, views = (_padded(torch.from_numpy(pixels).movedim(-1, -3).float()) for pixels in (picture, np.stack(seen)))
    with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16(shown.device)):
        pixels = trained_network()(shown[None], views[None], torch.tensor([quality]))[0]
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
