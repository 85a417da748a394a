"""Decoding streams with what a store holds: the models and references that they name."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifacts import find_latents, open_codec, other_latents, read_model
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.decoder import Decoder
from clc.codec.key_codec import KeyCodec
from clc.codec.metadata_section import read_metadata
from clc.codec.size_limit import MAX_PIXELS
from clc.codec.stream_file import read_stream
from clc.codec.stream_header import Header
from clc.errors import BitstreamError, MissingArtifactError
from clc.images import PictureFormat, encode, format_of
from clc.images.forms import StreamLike, stream_from
from clc.images.metadata import Metadata
from clc.runtime.device import available_device
from clc.runtime.files import check_output, write_atomically
from clc.runtime.remarks import remark
from clc.runtime.side_by_side import SideBySide
from clc.runtime.thread_count import at_most
from clc.store import Kind, Store, Version

_OPEN_CODECS = 4


class StoreDecoder(SideBySide):
    """Decodes streams with the models and dictionaries that they name, which it looks up in a store.

    It needs no alias, search library or backbone. The codecs used last stay open.
    Not for use by several threads at once. Raises ProfileError for a device that is not there.

    >>> from pathlib import Path
    >>> from clc.store import Store
    >>> decoder = StoreDecoder(Store())
    >>> decoder.decompress(Path("photo.clc").read_bytes()).mode
    'RGB'
    """

    def __init__(
        self, store: Store, device: str = "cpu", max_pixels: int = MAX_PIXELS, threads: int | None = None
    ) -> None:
        super().__init__(available_device(device), threads)
        self.store = store
        self.max_pixels = max_pixels
        self._open = lru_cache(maxsize=_OPEN_CODECS)(self._open_codec)
        self._open_alone = lru_cache(maxsize=_OPEN_CODECS)(self._open_key_codec)

    def __repr__(self) -> str:
        return f"StoreDecoder({self.store}, {self.device})"

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, here or in another process, reads the weights again."""
        return type(self), (self.store, str(self.device), self.max_pixels, self.threads)

    def decompress(self, data: StreamLike, keys: Sequence[bytes] = (), *, post: bool = False) -> Image.Image:
        """The picture in a stream; its `info` has `exif`, `xmp` and `icc_profile` where the stream carries them.

        data: its bytes, or a file opened in binary mode.
        keys: in an archive, the streams of the key photos that it refers to, in order.
        post: run the post-processing of the stream's model over the picture.
        Raises BitstreamError for one that is damaged, MissingArtifactError, with what to import, for one whose model
        or references are not in the store, CorruptArtifactError for references that are damaged, ProfileError for
        post-processing with a model that has none.
        """
        data = stream_from(data)
        picture = Image.fromarray(self._pixels(data, tuple(keys), post))
        picture.info |= metadata_of(data).as_info()
        return picture

    def decompress_many(self, streams: Iterable[StreamLike], *, jobs: int | None = None) -> Iterator[Image.Image]:
        """`decompress` for each stream, side by side as `for_each` says; pictures in the order of the streams."""
        return self.for_each(lambda decoder, stream: decoder.decompress(stream), streams, jobs=jobs)

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
        data = read_stream(source)
        picture = self.decompress(data)
        encoded = encode(np.asarray(picture), chosen, name=str(target), metadata=metadata_of(data, str(source)))
        write_atomically(target, encoded, overwrite=overwrite)
        return picture

    def _pixels(self, data: bytes, keys: tuple[bytes, ...], post: bool = False) -> NDArray[np.uint8]:
        with at_most(self.threads):
            return self._decoded(data, keys, post)

    def _decoded(self, data: bytes, keys: tuple[bytes, ...], post: bool) -> NDArray[np.uint8]:
        header = Bitstream.from_bytes(data).header
        if keys or not header.references:
            return self._decoder(header.model_id, keys).decompress(data, post=post)
        try:
            return self._codec_for(header).decompress(data, post=post)
        except BitstreamError:
            # It names model and dictionary; what its encoder's machine made of the two may have come here later.
            for latents in self._other_latents(header):
                with suppress(BitstreamError):
                    return self._open(header.model_id, header.dictionary_id, latents).decompress(data, post=post)
            raise

    def _decoder(self, model: str, keys: tuple[bytes, ...]) -> Decoder:
        return self._open_alone(model).decoder(keys)

    def _codec_for(self, header: Header) -> Codec:
        return self._open(header.model_id, header.dictionary_id)

    def _open_codec(self, model: str, dictionary: str, latents: str | None = None) -> Codec:
        found = self.store.get(Kind.MODEL, model)
        named = self._references(dictionary)
        others = None if latents is None else self.store.get(Kind.LATENTS, latents)
        if named.kind is Kind.DICTIONARY and others is None:
            others = find_latents(self.store, named, found)
        codec = open_codec(self.store, found, named, latents=others, max_pixels=self.max_pixels)
        codec.model.to(self.device)
        return codec

    def _open_key_codec(self, model: str) -> KeyCodec:
        network = read_model(self.store.get(Kind.MODEL, model)).to(self.device)
        return KeyCodec(network, model, max_pixels=self.max_pixels)

    def _references(self, id: str) -> Version:
        """What a stream names: a version of kind `references`, or a dictionary with stored latents."""
        try:
            return self.store.get(Kind.REFERENCES, id)
        except MissingArtifactError as missing:
            with suppress(MissingArtifactError):
                return self.store.get(Kind.DICTIONARY, id)
            raise missing

    def _other_latents(self, header: Header) -> list[str]:
        dictionary = self._references(header.dictionary_id)
        if dictionary.kind is Kind.REFERENCES:
            return []
        model = self.store.get(Kind.MODEL, header.model_id)
        return [version.id for version in other_latents(self.store, dictionary, model)]


def metadata_of(stream: bytes, name: str = "stream") -> Metadata:
    """What a stream carries beside its picture; nothing, and a remark, if that is damaged.

    Raises BitstreamError if the stream itself is.
    """
    section = Bitstream.from_bytes(stream).metadata
    try:
        return read_metadata(section)
    except BitstreamError as error:
        remark(name, f"what it carries beside the picture is left out ({error})")
        return Metadata()
