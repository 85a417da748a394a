"""`clc.load`: compress and decompress photos with what a store holds, looked up by name."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from clc.ahead import ahead
from clc.codec.artifact import reference_latents
from clc.codec.bitstream import NO_DICTIONARY, Header
from clc.codec.codec import MAX_PIXELS, Codec
from clc.codec.model import ModelConfig
from clc.decoder import StoreDecoder
from clc.errors import ImageError
from clc.files import check_output, write_atomically
from clc.images import read_image
from clc.images.decode import DECODER_FAILURES, to_rgb
from clc.shipped import LayeredStore
from clc.store import Kind, Store, Version
from clc.targets import Compressed, Target, compress_to

_PRODUCTION = "production"
DEFAULT = "default"
"""The name of the model that is used where none is named."""

ImageLike = Image.Image | NDArray[np.uint8] | str | os.PathLike[str]
"""A picture, its pixels uint8 [H, W, 3], or the file that it is in; all by the rules of `clc.images.decode`."""


def load(
    model: str = DEFAULT,
    *,
    store: Store | str | Path | None = None,
    dictionary: str | None = None,
    backbone: str | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
) -> "StoreCodec":
    """A codec for photos.

    model: "default" (alias production, else the model that comes with CLC), or any alias, id or unique prefix of one.
    store: a path or URL. Default: $CLC_STORE, else ./artifacts.
    dictionary: where references come from, likewise. Default: the one that the model was trained with.
    backbone: what describes photos for retrieval, where that is not what the dictionary was built with (file:PATH).
    device: "cpu", "cuda" or "cuda:N". Streams are the same bytes up to the rounding of g_a, and decode anywhere.
    max_pixels: larger images are refused, and streams that declare larger ones, before memory is allocated for them.

    Names are resolved at once; weights are read when they are first needed.
    Raises MissingArtifactError for a name that is not in the store, ProfileError for a device that is not there.

    >>> import clc
    >>> from PIL import Image
    >>> codec = clc.load("default")
    >>> photo = Image.open("photo.png")
    >>> data = codec.compress(photo, bpp=1.5)
    >>> 1.47 < 8 * len(data) / (photo.width * photo.height) < 1.53
    True
    >>> codec.decompress(data).size == photo.size
    True
    """
    opened = store if isinstance(store, Store) else LayeredStore(store)
    return StoreCodec(
        opened,
        find_model(opened, model),
        None if dictionary is None else opened.get(Kind.DICTIONARY, dictionary),
        backbone=backbone,
        device=device,
        max_pixels=max_pixels,
    )


def find_model(store: Store, name: str = DEFAULT) -> Version:
    """The model of a name, as in `load`. Raises MissingArtifactError if there is none."""
    if name == DEFAULT and _PRODUCTION in store.aliases.list(Kind.MODEL):
        name = _PRODUCTION
    return store.get(Kind.MODEL, name)


class StoreCodec(StoreDecoder):
    """Compresses with one model and its dictionary; decompresses whatever its store has the model for.

    `load` makes one. Not for use by several threads at once.
    """

    def __init__(
        self,
        store: Store,
        model: Version,
        dictionary: Version | None = None,
        *,
        backbone: str | None = None,
        device: str = "cpu",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(store, device, max_pixels)
        self.model = model
        self.dictionary = dictionary
        self._backbone = backbone
        self._retrieving: Codec | None = None  # opened when references are first asked for

    def compress(
        self,
        image: ImageLike,
        *,
        quality: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        references: bool = True,
    ) -> bytes:
        """Code an image to a `.clc` stream.

        quality: 1 (smallest) to 100 (best); 50 if nothing else is asked for.
        bpp, psnr: instead of the quality, bits per pixel of the whole stream, or dB of the picture that comes back.
        They are met within 2 %, or refused.
        references: False writes a stream that needs no dictionary.
        Raises ProfileError if a value is out of range or out of reach for this image, or if several are given;
        ImageError if the image cannot be read or is too large; MissingArtifactError without the dictionary.
        """
        return self.compress_to(image, Target.choose(quality, bpp, psnr), references=references).data

    def compress_to(self, image: ImageLike, target: Target, *, references: bool = True) -> Compressed:
        """`compress` for a target that is chosen already; the stream with what was measured of it.

        Raises what `compress` raises.
        """
        return self._compress(pixels_of(image), target, references)

    def compress_many(
        self,
        images: Iterable[ImageLike],
        *,
        quality: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        references: bool = True,
    ) -> Iterator[bytes]:
        """`compress` for each image, one by one as the streams are taken; the next file is read meanwhile."""
        target = Target.choose(quality, bpp, psnr)
        pixels = ahead(pixels_of(image) for image in images)
        return (self._compress(each, target, references).data for each in pixels)

    def compress_file(
        self,
        image: str | os.PathLike[str],
        output: str | os.PathLike[str],
        *,
        quality: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        references: bool = True,
        overwrite: bool = False,
    ) -> Compressed:
        """`compress` from file to file, written only if all went well; the stream with what was measured of it.

        overwrite: replace a file that is there.
        Raises what `compress` raises, and OutputError for an output that is there or is the image itself, and if it
        cannot be written.
        """
        target = Target.choose(quality, bpp, psnr)
        check_output(Path(output), overwrite=overwrite, sources=[Path(image)])
        compressed = self.compress_to(image, target, references=references)
        write_atomically(Path(output), compressed.data, overwrite=overwrite)
        return compressed

    def _compress(self, pixels: NDArray[np.uint8], target: Target, references: bool) -> Compressed:
        return compress_to(self._encoder(references), pixels, target, references=references)

    def _encoder(self, references: bool) -> Codec:
        if self._retrieving is None and references and self._takes_references():
            self._retrieving = self._placed(self._open_encoder())
        return self._retrieving or self._open(self.model.short_id, None)

    def _takes_references(self) -> bool:
        try:
            config = ModelConfig.model_validate(self.model.attributes["config"])
        except (KeyError, ValidationError):
            return False  # reading the model says what is wrong with it
        return self.dictionary is not None or config.takes_references

    def _open_encoder(self) -> Codec:
        from clc.dictionary.encoder import open_encoder  # needs the search libraries

        dictionary = self.dictionary or self.store.get(Kind.DICTIONARY, self.model.attributes["dictionary"])
        reference_latents(dictionary, self.model, store=self.store)  # a dictionary that is new to this model
        opened = open_encoder(self.store, self.model, dictionary, backbone=self._backbone, max_pixels=self.max_pixels)
        return opened[0]

    def _decoder(self, header: Header) -> Codec:
        own = self._retrieving
        if own is None or own.latents is None or header.model_id != own.model_id:
            return super()._decoder(header)
        return own if header.dictionary_id in (NO_DICTIONARY, own.latents.dictionary_id) else super()._decoder(header)


def pixels_of(image: ImageLike) -> NDArray[np.uint8]:
    """Pixels uint8 [H, W, 3] of a picture or of a file; an array is left as it is.

    Raises ImageError if they cannot be decoded.
    """
    if isinstance(image, np.ndarray):
        return image
    if not isinstance(image, Image.Image):
        return read_image(os.fspath(image))
    try:
        return to_rgb(image, "image")
    except DECODER_FAILURES as error:  # Pillow reads a file's pixels only now
        raise ImageError(f"image cannot be decoded: {error}") from error
