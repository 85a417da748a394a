"""Our encoder, searching for each photo, with a say in what it searches: for experiments that ask what brings what."""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clc.codec.codec import Codec
from clc.codec.decisions.effort import EVERYTHING, Searched, passes_of
from clc.codec.decisions.encoder_adaptation import adapted
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.safety.net import Candidate


class Online(StrEnum):
    """What is searched for each photo."""

    LATENTS = "latents"
    SYNTAX = "syntax"
    BOTH = "latents and syntax"
    ENCODER = "encoder"  # its networks learn on


_SEARCHED = {Online.LATENTS: Searched.LATENTS, Online.SYNTAX: Searched.SYNTAX, Online.BOTH: EVERYTHING}


class OnlineEncoder:
    """Codes without references. effort: says how many passes through the network there are, in either way."""

    def __init__(self, codec: Codec, online: Online, effort: int) -> None:
        self._online = online
        self._effort = effort
        self._codec = codec
        network = FrozenModel(codec.model, codec.model_id)
        searched = _SEARCHED.get(online, EVERYTHING)
        self._encoder = Encoder(network, codec.lookup, max_pixels=codec.encoder.max_pixels, searched=searched)

    def prepared(self, image: NDArray[np.uint8]) -> Callable[[float], bytes]:
        """Quality → a stream of one image uint8 [H, W, 3]. Raises what `Encoder.analyse` raises."""
        analysis = self._encoder.analyse(image, references=False)
        if self._online is not Online.ENCODER:
            return lambda quality: self._encoder.code(analysis, quality, effort=self._effort).data

        def code(quality: float) -> bytes:
            model, model_id = self._codec.model, self._codec.model_id
            own = FrozenModel(adapted(model, image, quality, passes_of(self._effort)), model_id)
            encoder = Encoder(own, ReferenceLookup(model, None, None), max_pixels=self._encoder.max_pixels)
            found = encoder.code(encoder.analyse(image, references=False), quality)
            usual = self._encoder.code(analysis, quality)
            return min((usual, found), key=lambda each: analysis.net.cost(Candidate(each.stream, each.picture))).data

        return code
