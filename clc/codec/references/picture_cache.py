"""Decoded pictures of a dictionary, kept in memory and in a folder: decoding one exactly takes a second a megapixel.

They are found by content: by what is decoded, by which model and to which format. So a cache is never out of date.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.references.picture_folder import PictureFolder

PICTURE_FORMAT = 1
"""Changes whenever the exact decoder gives other pixels for a stream than it gave before."""
DEFAULT_BYTES = 2**28
"""Of the pixels in memory: some 80 megapixels."""


class PictureCache:
    """Pictures by their streams. Several threads may use it; what two want at once may be decoded twice.

    folder: where pictures stay when the process ends; None for nowhere.
    limit: bytes of the pixels in memory; those that were not used for longest go first.
    """

    def __init__(self, folder: PictureFolder | None, limit: int = DEFAULT_BYTES) -> None:
        self._folder = folder
        self._limit = limit
        self._pictures: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def picture(self, stream: bytes, model_id: str, decode: Callable[[bytes], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """What `decode` makes of a stream with that model: uint8 [H, W, 3], not to be written to.

        Raises BitstreamError for a stream that is damaged, and what `decode` raises.
        """
        key = key_of(stream, model_id)
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        header = Bitstream.from_bytes(stream).header
        pixels = None if self._folder is None else self._folder.read(key, header.height, header.width)
        if pixels is None:
            pixels = decode(stream)
            if self._folder is not None:
                self._folder.write(key, pixels)
        return self._remember(key, pixels)

    def remember(self, stream: bytes, model_id: str, pixels: NDArray[np.uint8]) -> None:
        """In memory, what a stream decodes to with that model: uint8 [H, W, 3]."""
        self._remember(key_of(stream, model_id), pixels)

    def _remember(self, key: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture as it is kept: a copy of its own, for a view of something larger would keep that alive."""
        kept = np.array(pixels)
        kept.flags.writeable = False
        self._keep(key, kept)
        return kept

    def _keep(self, key: str, pixels: NDArray[np.uint8]) -> None:
        if pixels.nbytes > self._limit:
            return
        with self._lock:
            if key not in self._pictures:
                self._bytes += pixels.nbytes
            self._pictures[key] = pixels
            self._pictures.move_to_end(key)
            while self._bytes > self._limit:
                self._bytes -= self._pictures.popitem(last=False)[1].nbytes


def key_of(stream: bytes, model_id: str) -> str:
    """SHA-256 (hex) of all that the pixels follow from."""
    digest = hashlib.sha256(f"{PICTURE_FORMAT} {model_id}\n".encode())
    digest.update(stream)
    return digest.hexdigest()
