"""Decoding with what a store holds: streams name the model and the dictionary that they need."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifact import open_codec, other_latents
from clc.codec.bitstream import Bitstream, Header
from clc.codec.codec import MAX_PIXELS, Codec
from clc.codec.stream_file import read_stream
from clc.errors import BitstreamError, ProfileError
from clc.files import check_output, write_atomically
from clc.images import PictureFormat, encode, format_of
from clc.store import Kind, Store

_OPEN_CODECS = 4


class StoreDecoder:
    """Decodes streams with the models and dictionaries that they name, which it looks up in a store.

    It needs no alias, search library or backbone. The codecs used last stay open.
    Not for use by several threads at once. Raises ProfileError for a device that is not there.

    >>> from pathlib import Path
    >>> from clc.store import Store
    >>> decoder = StoreDecoder(Store())
    >>> decoder.decompress(Path("photo.clc").read_bytes()).mode
    'RGB'
    """

    def __init__(self, store: Store, device: str = "cpu", max_pixels: int = MAX_PIXELS) -> None:
        self.store = store
        self.max_pixels = max_pixels
        self.device = available_device(device)
        self._open = lru_cache(maxsize=_OPEN_CODECS)(self._open_codec)

    def decompress(self, data: bytes) -> Image.Image:
        """The picture in a stream.

        Raises BitstreamError for one that is damaged, MissingArtifactError, with what to import, for one whose model
        or dictionary is not in the store.
        """
        return Image.fromarray(self._pixels(data))

    def decompress_many(self, streams: Iterable[bytes]) -> Iterator[Image.Image]:
        """`decompress` for each stream, one by one as they are taken."""
        return map(self.decompress, streams)

    def decompress_file(
        self,
        stream: str | os.PathLike[str],
        output: str | os.PathLike[str],
        *,
        format: PictureFormat | None = None,
        overwrite: bool = False,
    ) -> Image.Image:
        """Decode a `.clc` file to a picture file, written only if all went well; the picture.

        format: PNG, JPEG, WebP, AVIF or TIFF, as `clc.images.encode` writes them. Default: what the output's name says.
        overwrite: replace a file that is there.
        Raises what `decompress` raises, and OutputError for a name that says no format, for an output that is there
        or is the stream itself, and if it cannot be written.
        """
        source, target = Path(stream), Path(output)
        check_output(target, overwrite=overwrite, sources=[source])
        chosen = format or format_of(target)
        pixels = self._pixels(read_stream(source))
        write_atomically(target, encode(pixels, chosen, name=str(target)), overwrite=overwrite)
        return Image.fromarray(pixels)

    def _pixels(self, data: bytes) -> NDArray[np.uint8]:
        header = Bitstream.from_bytes(data).header
        try:
            return self._decoder(header).decompress(data)
        except BitstreamError:
            # It names model and dictionary; what its encoder's machine made of the two may have come here later.
            for latents in self._other_latents(header):
                with suppress(BitstreamError):
                    return self._open(header.model_id, header.dictionary_id, latents).decompress(data)
            raise

    def _decoder(self, header: Header) -> Codec:
        return self._open(header.model_id, header.dictionary_id if header.references else None)

    def _open_codec(self, model: str, dictionary: str | None, latents: str | None = None) -> Codec:
        named = None if dictionary is None else self.store.get(Kind.DICTIONARY, dictionary)
        others = None if latents is None else self.store.get(Kind.LATENTS, latents)
        found = self.store.get(Kind.MODEL, model)
        return self._placed(open_codec(self.store, found, named, latents=others, max_pixels=self.max_pixels))

    def _other_latents(self, header: Header) -> list[str]:
        if not header.references:
            return []
        dictionary = self.store.get(Kind.DICTIONARY, header.dictionary_id)
        model = self.store.get(Kind.MODEL, header.model_id)
        return [version.id for version in other_latents(self.store, dictionary, model)]

    def _placed(self, codec: Codec) -> Codec:
        codec.model.to(self.device)
        return codec


def available_device(name: str) -> torch.device:
    """The device "cpu", "cuda" or "cuda:N". Raises ProfileError for another name or one that is not there."""
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and not number.isdecimal()):
        raise ProfileError(f"unknown device {name!r}; use cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    if kind == "cuda" and int(number or 0) >= count:
        raise ProfileError(f"device {name} is not there: PyTorch finds {count} CUDA devices; use another, or cpu")
    return torch.device(name)
