"""The checksum by which a decoder notices that its latent, or its reference latents, are not the encoder's."""

import zlib

from torch import Tensor

from clc.codec.entropy import flat_integers
from clc.codec.references.protocols import UsedReferences
from clc.model.priors.prior import MEAN_EXPONENT


def latent_checksum(decoded: Tensor, references: UsedReferences) -> int:
    """CRC-32 of the decoded latent, in multiples of 2^-MEAN_EXPONENT as little-endian 32-bit integers in memory order,
    and of the int8 reference latents [Q or T, M, C, 16, 16] that the picture is conditioned on.
    """
    checksum = 0
    for channel in decoded.unbind(dim=1):  # of a large photo, all of them would take gigabytes
        checksum = zlib.crc32(flat_integers(channel * 2.0**MEAN_EXPONENT).astype("<i4").tobytes(), checksum)
    if references.values is None:
        return checksum
    return zlib.crc32(references.values.contiguous().numpy().data, checksum)
