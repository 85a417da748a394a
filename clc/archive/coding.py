"""How the photos of an archive are coded: by one codec, on several threads, alone or with key photos of the archive."""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from clc.codec.decisions.targets import Compressed, Target
from clc.images.metadata import Carry

if TYPE_CHECKING:
    from clc.codec.key_codec import KeyCodec


_EVERYTHING = Carry()


@dataclass(frozen=True)
class CodedPhoto:
    """The stream of a photo. used: places, among the key photos that were offered, of those that it refers to."""

    compressed: Compressed
    used: tuple[int, ...] = ()

    @property
    def data(self) -> bytes:
        """The stream's bytes."""
        return self.compressed.data


class PhotoCoder(Protocol):
    """Codes photos for an archive; may be called from several threads at once.

    settings: equal for coders that make the same streams of the same photos. max_pixels: of a photo. takes_keys:
    whether photos can refer to others.
    """

    settings: "CodingSettings"
    max_pixels: int

    @property
    def takes_keys(self) -> bool: ...

    def prepare(self) -> None:
        """Make the thread that calls it ready."""

    def code(
        self, pixels: NDArray[np.uint8], target: Target, keys: Sequence[bytes] = (), *, effort: int = 0
    ) -> CodedPhoto:
        """The stream of uint8 [H, W, 3], which may refer to those of key photos where that pays.

        effort: of the encoder, where it is more than that of the settings.
        Raises ImageError for a photo that cannot be coded, TargetError for a target that cannot be met.
        """

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """The picture uint8 [H, W, 3] in a stream that was coded alone, by this model.

        Raises BitstreamError for a damaged stream, MissingArtifactError for one of another model.
        """


@dataclass(frozen=True)
class CodingSettings:
    """What, beside the photo, decides over its stream.

    model: its whole id. size: bytes for all photos, instead of a target for each. references: whether photos may refer
    to others. effort: of the encoder. carry: what is kept of photos beside their pixels.
    """

    model: str
    target: Target
    size: int | None = None
    references: bool = True
    effort: int = 0
    carry: Carry = _EVERYTHING

    @property
    def digest(self) -> bytes:
        """SHA-256 of the settings in canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()


class StoreCoder:
    """Codes with a model of a store and without a dictionary, so that the archive needs the model alone.

    model: a name, as `clc.load` takes it. references: let photos refer to key photos of the archive. effort, carry: as
    for `StoreCodec.compress`.
    Raises MissingArtifactError if there is none of that name.
    """

    def __init__(
        self,
        model: str,
        target: Target,
        *,
        size: int | None = None,
        references: bool = True,
        effort: int = 0,
        carry: Carry | None = None,
        store: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        from clc.api import find_model
        from clc.codec.decisions.effort import check_effort
        from clc.codec.size_limit import MAX_PIXELS
        from clc.store.shipped import LayeredStore

        self._model = find_model(LayeredStore(store), model)
        self.max_pixels = max_pixels or MAX_PIXELS
        self._lock = threading.Lock()
        self._opened: KeyCodec | None = None
        self.settings = CodingSettings(
            self._model.id, target, size, references, check_effort(effort), carry or _EVERYTHING
        )

    @property
    def takes_keys(self) -> bool:
        """Whether photos can refer to others: if they may, and the model can."""
        return self.settings.references and self._codec.takes_keys

    def prepare(self) -> None:
        """Photos side by side on one core each are faster than one photo on all."""
        import torch

        torch.set_num_threads(1)

    def code(
        self, pixels: NDArray[np.uint8], target: Target, keys: Sequence[bytes] = (), *, effort: int = 0
    ) -> CodedPhoto:
        """As the protocol says."""
        coded, used = self._codec.compress_to(pixels, target, keys, effort=max(effort, self.settings.effort))
        return CodedPhoto(coded, used)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """As the protocol says."""
        return self._codec.decoder().decompress(stream)

    @property
    def _codec(self) -> "KeyCodec":
        with self._lock:
            if self._opened is None:
                from clc.codec.artifacts import read_model
                from clc.codec.key_codec import KeyCodec
                from clc.dictionary.retrieval.align import PhotoAligner

                aligner = partial(PhotoAligner, moved=finds_moved_cameras())
                self._opened = KeyCodec(
                    read_model(self._model), self._model.short_id, aligner=aligner, max_pixels=self.max_pixels
                )
            return self._opened


def finds_moved_cameras() -> bool:
    """Whether there are the libraries that find where a photo lies in one that was taken from elsewhere."""
    return all(find_spec(library) is not None for library in ("skimage", "faiss"))
