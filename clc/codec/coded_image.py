"""What an encoder knows of an image: before a quality is chosen, and at one."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.bitstream import Bitstream
from clc.codec.references.protocols import UsedReferences
from clc.codec.safety.net import SafetyNet


@dataclass(frozen=True)
class Analysis:
    """An image as it is before a quality is chosen: what `Encoder.code` starts from, however often.

    image: uint8 [H, W, 3]. latent: y_f [1, C, h, w], unscaled; None of a photo so large that it is made anew for each
    coding, which puts ŷ in its place.
    choices: references to code it with, one of them or none; fused: y as g_a has it with each, where they act on it.
    net: what catches the blocks that come out badly. anchors: the image at some qualities, once they were needed.
    """

    image: NDArray[np.uint8]
    latent: Tensor | None
    choices: tuple[UsedReferences, ...]
    fused: tuple[Tensor | None, ...]
    net: SafetyNet
    anchors: "dict[float, Anchor]" = field(default_factory=dict)

    def latent_with(self, references: UsedReferences) -> Tensor | None:
        """What is coded with these references, which are one of the choices, or none; None if that is not kept."""
        own = next((each for choice, each in zip(self.choices, self.fused, strict=True) if choice is references), None)
        return self.latent if own is None else own

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.image.shape[0]

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return self.image.shape[1]


@dataclass(frozen=True)
class CodedLatent:
    """The network's coding of an image at one quality, before the safety net.

    decoded: ŷ [1, C, h, w], in quantisation steps; features: hyper features of ẑ. float64, or, of a large photo,
    float32, which holds them exactly. references: what it was coded with.
    syntax: numbers float64 [1, n] that change the end of g_s; None without any.
    """

    stream: Bitstream
    decoded: Tensor
    features: Tensor
    references: UsedReferences
    syntax: Tensor | None = None


@dataclass(frozen=True)
class Anchor:
    """A `CodedImage` without its picture, of which there are several; error: its squared errors, summed."""

    stream: Bitstream
    references: UsedReferences
    error: float


@dataclass(frozen=True)
class CodedImage:
    """An image at one quality: its stream, and the picture uint8 [H, W, 3] that a decoder shows.

    references: what the network coded it with; the safety net may have put other sections into the stream.
    """

    stream: Bitstream
    picture: NDArray[np.uint8]
    references: UsedReferences

    @cached_property
    def data(self) -> bytes:
        """The stream as bytes."""
        return self.stream.to_bytes()
