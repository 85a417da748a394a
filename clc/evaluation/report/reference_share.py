"""How much of a picture came from its references, place by place: for people to look at, not for coding."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.model.conditioning.latent_synthesis import ConditionalLatentSynthesis
from clc.model.priors.slices import SliceNetwork
from clc.model.priors.stages import Assembled, Block
from clc.model.tiles import LATENT_STRIDE, join_latent, padded_size


def trust_map(codec: Codec, data: bytes) -> NDArray[np.float32] | None:
    """The share, 0 to 1, that references have in each position of a picture's latent: float32 [⌈H/16⌉, ⌈W/16⌉].

    Where references condition the prior: the gate that mixes the match into the mean. Where they are fused with the
    latent: 1 − α of eq. 6, in the decoder; of both, the mean. Channels count by their usual deviation. None for a
    stream without references, or a model without such a share. Raises what `Codec.decompress` raises.
    """
    model = codec.model
    if Bitstream.from_bytes(data).header.references == 0:
        return None
    weights = model.prior.scale.deviation.float()[None, :, None, None]
    with ExitStack() as stack:
        networks = [] if model.prior.conditioned is None else model.prior.conditioned.networks
        gates = [stack.enter_context(_outputs_of(network.gate)) for network in networks]
        fused: list[Tensor] = []
        if model.config.conditioning.synthesises and isinstance(model.synthesis, ConditionalLatentSynthesis):
            fused = stack.enter_context(_outputs_of(model.synthesis.fusion_weight))
        height, width = codec.decompress(data).shape[:2]
    shares = []
    if gates:
        shares.append(torch.cat([_assembled(*each) for each in zip(networks, gates, strict=True)], dim=1))
    if fused:
        rows, columns = (padded_size(side) // LATENT_STRIDE for side in (height, width))
        shares.append(join_latent(1.0 - torch.sigmoid(fused[0]), rows, columns))
    if not shares:
        return None
    share = torch.stack(shares).mean(dim=0)[
        ..., : math.ceil(height / LATENT_STRIDE), : math.ceil(width / LATENT_STRIDE)
    ]
    weighted: NDArray[np.float32] = ((share * weights).sum(dim=1) / weights.sum())[0].cpu().numpy()
    return weighted


def _assembled(network: SliceNetwork, gates: list[Tensor]) -> Tensor:
    """The gate's outputs, stage by stage → [1, c, h, w] in 0..1."""
    assembled = Assembled()
    for phases, gate in zip(network.stages, gates, strict=True):
        assembled.add(Block(0, gate.shape[1], phases), gate.float().clamp(0.0, 1.0))
    return assembled.latent


@contextmanager
def _outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What a module returns from here on, call by call."""
    outputs: list[Tensor] = []
    handle = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
