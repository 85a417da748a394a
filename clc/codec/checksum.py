"""The checksum by which a decoder notices that its latent, or its reference latents, are not the encoder's."""

import zlib

from torch import Tensor

from clc.codec.entropy import flat_integers
from clc.codec.references.protocols import UsedReferences
from clc.model.priors.prior import MEAN_EXPONENT


def latent_checksum(decoded: Tensor, references: UsedReferences, syntax: Tensor | None = None) -> int:
    """CRC-32 of the decoded latent, in multiples of 2^-MEAN_EXPONENT as little-endian 32-bit integers in memory order,
    of the int8 reference latents [Q or T, M, C, 16, 16] that the picture is conditioned on, and of the numbers of the
    syntax, as those of the latent.
    """
    checksum = 0
    for channel in decoded.unbind(dim=1):  # of a large photo, all of them would take gigabytes
        checksum = zlib.crc32(_integers(channel), checksum)
    if references.values is not None:
        checksum = zlib.crc32(references.values.contiguous().numpy().data, checksum)
    return checksum if syntax is None else zlib.crc32(_integers(syntax), checksum)


def _integers(values: Tensor) -> bytes:
    """Multiples of 2^-MEAN_EXPONENT."""
    return bytes(flat_integers(values * 2.0**MEAN_EXPONENT).astype("<i4").tobytes())
