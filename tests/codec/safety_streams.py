"""Streams of every kind that the safety net writes, whatever it would choose."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.linear import LinearCoder, grid_shape
from clc.codec.lossless import lossless_file
from clc.codec.references.protocols import NO_REFERENCES


def safety_streams(codec: Codec, image: NDArray[np.uint8], quality: float, *, finenesses: int) -> dict[str, Bitstream]:
    """Blocks beside the network's picture, blocks alone, a lossless picture.

    finenesses: how many of them blocks that are alone have, in turn.
    """
    encoder = codec.encoder
    coded = encoder.code_with(encoder.analyse(image, references=False), quality, NO_REFERENCES)
    plain = replace(coded.stream, hyper=None, latent=None, latent_checksum=0)
    coder = LinearCoder(codec.model.latent_tables)
    grid = grid_shape(*image.shape[:2])
    numbers = np.arange(grid[0] * grid[1]).reshape(grid)
    beside, _ = coder.encode(image, coded.picture, numbers % 4 - 1, quality)
    alone, _ = coder.encode(image, None, numbers % finenesses, quality)
    return {
        "blocks-beside": replace(coded.stream, blocks=beside),
        "blocks-alone": replace(plain, blocks=alone),
        "lossless": replace(plain, picture=lossless_file(image)),
    }
