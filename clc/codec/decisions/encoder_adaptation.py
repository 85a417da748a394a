"""The encoder's own networks, trained on for one photo: the other way of online optimisation that Wang et al. name.

Effort changes what is coded; this changes g_a, h_a and the generator of the syntax, which no decoder has. It is here
to be compared with effort at as many passes through the network.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from clc.model.differentiable import differentiable
from clc.model.gain import lagrangian
from clc.model.network import CompressionModel
from clc.model.tiles import to_padded_tensor

_SEED = 0
_LEARNING_RATE = 1e-4


@torch.inference_mode(False)
def adapted(model: CompressionModel, image: NDArray[np.uint8], quality: float, steps: int) -> CompressionModel:
    """A frozen model for this image uint8 [H, W, 3], whose streams the model itself decodes.

    steps: of Adam, on R + λ·255²·D of the whole image at once, without references. The same on one machine.
    """
    learning = differentiable(model)
    parts = _encoder_parts(learning)
    learning.train()
    target = to_padded_tensor(image[None]).to(model.device)
    for part in parts.values():
        part.requires_grad_(True)
    parameters = [parameter for part in parts.values() for parameter in part.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=_LEARNING_RATE)
    devices = [target.device] if target.is_cuda else []
    with torch.enable_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(_SEED)
        for _ in range(steps):
            result = learning(target, None, quality)
            assert result.image is not None
            bpp = result.bits.sum() / target[0, 0].numel()
            loss = bpp + lagrangian(quality) * 255.0**2 * (result.image - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    own = copy.deepcopy(model)
    for name, part in _encoder_parts(own).items():
        part.load_state_dict(parts[name].state_dict())
    return own


def _encoder_parts(model: CompressionModel) -> dict[str, torch.nn.Module]:
    parts: dict[str, torch.nn.Module] = {"g_a": model.g_a, "h_a": model.prior.of(None).h_a}
    if model.syntax is not None:
        parts["generator"] = model.syntax.generator
    return parts
