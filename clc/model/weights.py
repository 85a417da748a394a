"""A frozen model's parameters as the model file has them: 16 bits each, wherever that loses nothing that matters.

Weights of exact layers are 16-bit integers times a power of two per output channel, and are stored as just that.
Weights of the other layers, which run in ordinary floating point, are rounded to float16. What is small stays as it is.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.model.exact.convolution import ExactConv2d, grids_of
from clc.model.stored_names import current_names

_EXPONENTS = ".exponents"
Arrays = Mapping[str, NDArray[np.generic]]


def pack(model: nn.Module) -> dict[str, NDArray[np.generic]]:
    """The state of a frozen model, by name, as arrays of at least one dimension."""
    exact = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, ExactConv2d)}
    kept = {id(module) for module in model.modules() if isinstance(module, ExactConv2d)}
    rounded = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and id(module) not in kept
    }
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, tensor in model.state_dict().items():
        if name in exact:
            exponents = grids_of(tensor).numpy().astype(np.int8)
            scale = np.exp2(exponents.astype(np.float64))[:, None, None, None]
            arrays[name] = (tensor.double().numpy() * scale).astype(np.int16)
            arrays[name + _EXPONENTS] = exponents
        elif name in rounded:
            arrays[name] = tensor.half().numpy()
        else:
            # The rest of the prior path are dyadic numbers held in float64; float32 holds them exactly.
            arrays[name] = np.atleast_1d(tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy())
    return arrays


def unpack(arrays: Arrays, model: nn.Module) -> dict[str, Tensor]:
    """The state to load into a model of the same configuration, from a file of any release.

    Raises KeyError or RuntimeError if it is of another configuration.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    arrays = current_names(arrays)
    state: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if name.endswith(_EXPONENTS):
            continue
        tensor = torch.from_numpy(np.asarray(array))
        if name + _EXPONENTS in arrays:
            exponents = torch.from_numpy(np.asarray(arrays[name + _EXPONENTS])).float()
            tensor = tensor.float() * torch.exp2(-exponents)[:, None, None, None]
        elif tensor.is_floating_point():
            tensor = tensor.float()
        state[name] = tensor.reshape(shapes[name])
    return state
