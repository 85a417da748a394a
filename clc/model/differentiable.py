"""A frozen model as gradients run through it: an encoder that searches asks what a change of its latents would do."""

import copy

import torch

from clc.model.exact.convolution import ExactConv2d
from clc.model.network import CompressionModel
from clc.model.transforms.convolutional import for_inference


@torch.inference_mode(False)
def differentiable(model: CompressionModel) -> CompressionModel:
    """A copy whose prior path is ordinary floating point, as in training: nothing in it is rounded to a grid.

    Its rates are those of the frozen model up to about 0.1 %; nothing that a decoder needs may come from it. Gradients
    are for what enters it, the weights stay as they are. What runs after the last symbol multiplies as a decoder's.
    Raises ValueError for a model that is not frozen.
    """
    if not model.frozen:
        raise ValueError("only a frozen model has a differentiable copy; train the model itself")
    thawed = copy.deepcopy(model).float()
    for module in thawed.modules():
        if isinstance(module, ExactConv2d):
            module.frozen = False
            module.transformed = None
    thawed.prior.scale.exact = False
    thawed.requires_grad_(False)
    thawed.use_channels_last()
    thawed.g_s, thawed.residual = for_inference(thawed.g_s), for_inference(thawed.residual)
    return thawed
