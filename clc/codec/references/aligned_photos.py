"""Reference photos as an image's camera saw them, analysed, and kept where the camera has not moved."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.references.view import View
from clc.model.conditioning.fusion import Features
from clc.model.exact.analysis import ExactAnalysis
from clc.model.network import CompressionModel
from clc.model.tiles import padded_size, to_tensor
from clc.model.transforms.convolutional import ConvolutionalAnalysis

_REMEMBERED_BYTES = 2**28


@dataclass(frozen=True)
class AlignedPhoto:
    """What becomes of a photo. latent: exact, float32 [1, C, h, w], the same on every machine.

    features: in ordinary floating point, for a model that fuses.
    """

    latent: Tensor
    features: Features | None

    @property
    def bytes(self) -> int:
        """In memory."""
        return sum(each.nbytes for each in (self.latent, *(self.features or ())))


class AlignedPhotos:
    """Warps and analyses photos for one model. Several threads may use it.

    Most photos of a fixed camera refer to the same few: what lies in its own place is analysed once.
    """

    def __init__(self, model: CompressionModel) -> None:
        assert isinstance(model.g_a, ConvolutionalAnalysis), "others cannot be analysed exactly"
        self._model = model
        self._analysis = ExactAnalysis(model.g_a)
        self._kept: OrderedDict[Hashable, AlignedPhoto] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def analysed(
        self, key: Hashable, photo: NDArray[np.uint8], view: View, height: int, width: int
    ) -> tuple[NDArray[np.uint8], AlignedPhoto]:
        """What an image of that size shows of a photo, both uint8 [H, W, 3], and what becomes of that.

        What is analysed goes on beyond the image, to whole tiles of the latent. key: equal for equal photos, and for
        those only. Raises BitstreamError for corners that make no sense.
        """
        padded = view.of(photo, height, width, (padded_size(height), padded_size(width)))
        seen, key = padded[:height, :width], (key, height, width)
        if view.is_plain:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return seen, self._kept[key]
        analysed = AlignedPhoto(self._analysis(padded).float(), self._features(padded))
        if view.is_plain and analysed.bytes <= _REMEMBERED_BYTES:
            self._keep(key, analysed)
        return seen, analysed

    @torch.inference_mode()
    def _features(self, seen: NDArray[np.uint8]) -> Features | None:
        if not self._model.config.fuses:
            return None
        return self._model.picture_features(to_tensor(seen[None]).to(self._model.device)[None])

    def _keep(self, key: Hashable, analysed: AlignedPhoto) -> None:
        with self._lock:
            if key not in self._kept:
                self._bytes += analysed.bytes
            self._kept[key] = analysed
            while self._bytes > _REMEMBERED_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].bytes
