"""Latents of reference photos as an image's camera saw them: exact, and kept where the camera has not moved."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.references.warp import warp
from clc.model.exact.analysis import ExactAnalysis
from clc.model.tiles import padded_size
from clc.model.transforms.convolutional import ConvolutionalAnalysis

_REMEMBERED_BYTES = 2**28


class AlignedLatents:
    """Warped photos → float32 [1, C, h, w], the same on every machine. Several threads may use it.

    Most photos of a fixed camera refer to the same few: what lies in its own place is analysed once.
    analysis: g_a of the model.
    """

    def __init__(self, analysis: ConvolutionalAnalysis) -> None:
        self._analysis = ExactAnalysis(analysis)
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def latent(
        self, name: Hashable, photo: NDArray[np.uint8], corners: NDArray[np.int32], height: int, width: int
    ) -> Tensor:
        """Of what an image of that size, padded to whole tiles, shows of a photo uint8 [H, W, 3]; corners as in `warp`.

        name: equal for equal photos, and for those only. Raises BitstreamError for corners that make no sense.
        """
        key = (name, height, width)
        unmoved = not corners.any()
        if unmoved:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
        seen = warp(photo, corners, height, width, (padded_size(height), padded_size(width)))
        latent = self._analysis(seen).float()
        if unmoved:
            self._keep(key, latent)
        return latent

    def _keep(self, key: Hashable, latent: Tensor) -> None:
        if latent.nbytes > _REMEMBERED_BYTES:
            return
        with self._lock:
            if key not in self._kept:
                self._bytes += latent.nbytes
            self._kept[key] = latent
            while self._bytes > _REMEMBERED_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
