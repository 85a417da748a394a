"""`clc.open`: an archive as a mapping from names to photos, each decoded when it is asked for."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol, Self

import numpy as np
from PIL import Image

from clc.archive.byte_ranges import open_ranges
from clc.archive.container import ArchiveReader
from clc.archive.contents import MemberRow, StreamRow
from clc.codec.metadata_section import read_items


class StreamDecoder(Protocol):
    """Decodes the streams of an archive."""

    def decode(self, stream: bytes, keys: Sequence[bytes]) -> Image.Image:
        """The picture in a stream, and in those of the key photos that it refers to.

        Raises BitstreamError for one that is damaged, MissingArtifactError for one whose model is not here.
        """


class StoreStreamDecoder:
    """Decodes streams of archives with the models of a store. Threads take turns."""

    def __init__(self, store: str | None = None, *, device: str = "cpu", max_pixels: int | None = None) -> None:
        self._store, self._device, self._max_pixels = store, device, max_pixels
        self._lock = threading.Lock()
        self._decoder: Any = None

    def decode(self, stream: bytes, keys: Sequence[bytes]) -> Image.Image:
        """As the protocol says."""
        with self._lock:
            if self._decoder is None:
                self._decoder = self._opened()
            picture: Image.Image = self._decoder.decompress(stream, keys)
            return picture

    def _opened(self) -> Any:
        from clc.codec.size_limit import MAX_PIXELS
        from clc.store.shipped import LayeredStore
        from clc.store_decoder import StoreDecoder  # here: listing an archive does not wait for PyTorch

        return StoreDecoder(LayeredStore(self._store), self._device, self._max_pixels or MAX_PIXELS)


class Album(Mapping[str, Image.Image]):
    """The photos of an archive by name. `clc.open` makes one; it is a context manager, and closes its file at the end.

    Attribute `archive`: the index, and streams as they are. Photos are RGB; their `info` has `exif`, `xmp` and
    `icc_profile` where the archive keeps them. Threads may share one.
    Reading a photo raises KeyError for a name that is not there, ArchiveError or BitstreamError if it is damaged,
    MissingArtifactError, with what to import, if the model that it was coded with is not here.
    """

    def __init__(self, archive: ArchiveReader, decoder: StreamDecoder) -> None:
        self.archive = archive
        self._decoder = decoder

    def __getitem__(self, name: str) -> Image.Image:
        stream, keys = self.archive.streams(name)
        picture = self._decoder.decode(stream, keys)
        picture.info |= read_items(self.archive.member(name).carried).as_info()
        return picture

    def __iter__(self) -> Iterator[str]:
        return iter(self.archive.names)

    def __len__(self) -> int:
        return len(self.archive.names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.archive

    def info(self, name: str) -> tuple[MemberRow, StreamRow]:
        """What the archive says of a photo, without decoding it. Raises KeyError if there is none of that name."""
        return self.archive.member(name), self.archive.stream_row(name)

    def pixels(self, name: str) -> np.ndarray:
        """The photo as uint8 [H, W, 3]."""
        return np.asarray(self[name])

    def close(self) -> None:
        """Close the file."""
        self.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_album(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    store: str | None = None,
    device: str = "cpu",
    max_pixels: int | None = None,
    **storage_options: Any,
) -> Album:
    """Open a `.clca` archive: a path, any fsspec URL, or a binary file object that can seek.

    Only its index is read; a photo takes one more range of bytes when it is asked for.
    store: where models are looked up, beside those that come with CLC. Default: $CLC_STORE, else ./artifacts.
    storage_options: for the file system of a URL.
    Raises ArchiveError if it is no archive, or a damaged one.

    >>> import clc
    >>> with clc.open("album.clca") as album:
    ...     sorted(album)[:1], album["a.png"].size
    (['a.png'], (64, 48))
    """
    return Album(
        ArchiveReader(open_ranges(source, **storage_options)),
        StoreStreamDecoder(store, device=device, max_pixels=max_pixels),
    )
