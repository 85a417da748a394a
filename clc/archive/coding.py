"""How the photos of an archive are coded: by one codec for each thread, all of one model."""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clc.codec.decisions.targets import Compressed, Target


class PhotoCoder(Protocol):
    """Codes photos for an archive; may be called from several threads at once.

    settings: equal for coders that make the same streams of the same photos. max_pixels: of a photo.
    """

    settings: "CodingSettings"
    max_pixels: int

    def prepare(self) -> None:
        """Make the thread that calls it ready."""

    def code(self, pixels: NDArray[np.uint8], target: Target, keys: Sequence[bytes] = ()) -> Compressed:
        """The stream of uint8 [H, W, 3], which may refer to those of key photos.

        Raises ImageError for a photo that cannot be coded, TargetError for a target that cannot be met.
        """


@dataclass(frozen=True)
class CodingSettings:
    """What, beside the photo, decides over its stream.

    model: its whole id. size: bytes for all photos, instead of a target for each.
    """

    model: str
    target: Target
    size: int | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the settings in canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()


class StoreCoder:
    """Codes with a model of a store, every photo alone and without a dictionary, so that the archive needs neither.

    model: a name, as `clc.load` takes it. Raises MissingArtifactError if there is none of that name.
    """

    def __init__(
        self,
        model: str,
        target: Target,
        *,
        size: int | None = None,
        store: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        from clc.api import find_model
        from clc.codec import codec as codec_module
        from clc.store.shipped import LayeredStore

        self._store = LayeredStore(store)
        self._model = find_model(self._store, model)
        self.max_pixels = max_pixels or codec_module.MAX_PIXELS
        self._thread = threading.local()
        self.settings = CodingSettings(self._model.id, target, size)

    def prepare(self) -> None:
        """Photos side by side on one core each are faster than one photo on all."""
        import torch

        torch.set_num_threads(1)

    def code(self, pixels: NDArray[np.uint8], target: Target, keys: Sequence[bytes] = ()) -> Compressed:
        """As the protocol says."""
        assert not keys, "plans for this coder have every photo alone"
        if not hasattr(self._thread, "codec"):
            from clc.api import StoreCodec

            self._thread.codec = StoreCodec(self._store, self._model, max_pixels=self.max_pixels)
        compressed: Compressed = self._thread.codec.compress_to(pixels, target, references=False)
        return compressed
