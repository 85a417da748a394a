"""What a program uses: `clc.load` gives a codec for photos. `clc.store_decoder` decodes without one."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clc.codec.artifacts import values_of
from clc.codec.codec import Codec
from clc.codec.decisions.effort import check_effort
from clc.codec.decisions.targets import Compressed, Target, compress_to
from clc.codec.decoder import Decoder
from clc.codec.encoder import Encoder
from clc.codec.metadata_section import pack_metadata
from clc.codec.size_limit import MAX_PIXELS
from clc.codec.stream_header import Header
from clc.errors import ImageError, TargetError
from clc.images.decode import DecodedPhoto
from clc.images.forms import ImageLike, photo_from
from clc.images.metadata import Carry
from clc.images.psnr import psnr as psnr_of
from clc.model.config import ModelConfig
from clc.runtime.files import check_output, write_atomically
from clc.runtime.thread_count import at_most
from clc.store import Kind, Store, Version, short_id
from clc.store.shipped import LayeredStore
from clc.store_decoder import StoreDecoder

_PRODUCTION = "production"
DEFAULT = "default"
"""The name of the model that is used where none is named."""


def load(
    model: str = DEFAULT,
    *,
    store: Store | str | Path | None = None,
    dictionary: str | None = None,
    backbone: str | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    threads: int | None = None,
) -> "StoreCodec":
    """A codec for photos.

    model: "default" (alias production, else the model that comes with CLC), or any alias, id or unique prefix of one.
    store: a path or URL. Default: $CLC_STORE, else ./artifacts.
    dictionary: where references come from, likewise. Default: the one that the model was trained with.
    backbone: what describes photos for retrieval, where that is not what the dictionary was built with (file:PATH).
    device: "cpu", "cuda" or "cuda:N". Streams are the same bytes up to the rounding of g_a, and decode anywhere.
    max_pixels: larger images are refused, and streams that declare larger ones, before memory is allocated for them.
    threads: cores to use at most, for one photo or for many side by side. Default: as many as PyTorch uses.

    Names are resolved at once; weights are read when they are first needed. What is returned can be copied and pickled:
    the store and the ids travel, and the copy reads the weights again.
    Raises MissingArtifactError for a name that is not in the store, ProfileError for a device that is not there and for
    threads below 1.

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
        threads=threads,
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
        threads: int | None = None,
    ) -> None:
        super().__init__(store, device, max_pixels, threads)
        self.model = model
        self.dictionary = dictionary
        self._backbone = backbone
        self._retrieving: Codec | None = None  # opened when references are first asked for

    def __repr__(self) -> str:
        trained_with = self.model.attributes.get("dictionary")
        named = None if trained_with is None else f"{Kind.DICTIONARY}/{short_id(trained_with)}"
        size = sum(entry.bytes for entry in self.model.manifest.files.values())
        return f"StoreCodec({self.model} of {size / 1e6:.1f} MB, {self.dictionary or named}, {self.device})"

    def __reduce__(self) -> tuple[Any, ...]:
        """The store and the ids travel; a copy raises what `load` raises where they are not."""
        options = {
            "backbone": self._backbone,
            "device": str(self.device),
            "max_pixels": self.max_pixels,
            "threads": self.threads,
        }
        return _loaded_again, (self.store, self.model.id, self.dictionary and self.dictionary.id, options)

    def compress(
        self,
        image: ImageLike,
        *,
        quality: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        references: bool = True,
        effort: int = 0,
        carry: Carry | None = None,
    ) -> bytes:
        """Code an image to a `.clc` stream.

        quality: 1 (smallest) to 100 (best); 50 if nothing else is asked for.
        bpp, psnr: instead of the quality, bits per pixel of the whole stream, or dB of the picture that comes back.
        They are met within 2 %, or refused.
        references: False writes a stream that needs no dictionary.
        effort: 0 to 9, how long to search for a smaller file or a better picture: 3 takes about 5 times as long as 0, 6
        about 30 times, 9 about 150 times. Decoding takes no longer, and no decoder knows of it.
        carry: what goes into the stream beside the pixels. Default: EXIF and XMP, no profile; colours become sRGB.
        Raises ProfileError if a value is out of range or out of reach for this image, or if several are given;
        ImageError if the image cannot be read or is too large; MissingArtifactError without the dictionary.
        """
        target = Target.choose(quality, bpp, psnr)
        return self.compress_to(image, target, references=references, effort=effort, carry=carry).data

    def compress_to(
        self,
        image: ImageLike,
        target: Target,
        *,
        references: bool = True,
        effort: int = 0,
        carry: Carry | None = None,
    ) -> Compressed:
        """`compress` for a target that is chosen already; the stream with what was measured of it.

        Raises what `compress` raises.
        """
        return self.compress_photo(self._photo(image, carry), target, references=references, effort=effort)

    def compress_photo(
        self, photo: DecodedPhoto, target: Target, *, references: bool = True, effort: int = 0
    ) -> Compressed:
        """`compress_to` for a photo that is decoded already, with what is to be carried of it."""
        effort = check_effort(effort)  # before anything is opened
        with at_most(self.threads):
            return compress_to(
                self._encoder(references),
                photo.pixels,
                target,
                references=references,
                metadata=pack_metadata(photo.metadata),
                effort=effort,
            )

    def compress_many(
        self,
        images: Iterable[ImageLike],
        *,
        quality: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        references: bool = True,
        effort: int = 0,
        carry: Carry | None = None,
        jobs: int | None = None,
    ) -> Iterator[bytes]:
        """`compress` for each image, side by side as `for_each` says; streams in the order of the images.

        Raises what `compress` raises: for an image, where its turn has come.
        """
        target, effort = Target.choose(quality, bpp, psnr), check_effort(effort)
        coded = self.compress_each(images, target, references=references, effort=effort, carry=carry, jobs=jobs)
        return map(_data_of, coded)

    def compress_each(
        self,
        images: Iterable[ImageLike],
        target: Target,
        *,
        references: bool = True,
        effort: int = 0,
        carry: Carry | None = None,
        jobs: int | None = None,
        measure: bool = False,
    ) -> Iterator[Compressed | ImageError | TargetError]:
        """What `compress_many` and `clc compress` are made of: an image that cannot be coded gives its error.

        measure: decode each stream again, and measure the PSNR of the picture.
        """

        def coded(codec: StoreCodec, image: ImageLike) -> Compressed | ImageError | TargetError:
            try:
                photo = codec._photo(image, carry)
                compressed = codec.compress_photo(photo, target, references=references, effort=effort)
            except (ImageError, TargetError) as error:
                return error
            if not measure:
                return compressed
            return replace(compressed, psnr=psnr_of(photo.pixels, codec._pixels(compressed.data, ())))

        return self.for_each(coded, images, jobs=jobs)

    def compress_file(
        self,
        image: str | os.PathLike[str],
        output: str | os.PathLike[str],
        *,
        quality: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        references: bool = True,
        effort: int = 0,
        carry: Carry | None = None,
        overwrite: bool = False,
    ) -> Compressed:
        """`compress` from file to file, written only if all went well; the stream with what was measured of it.

        overwrite: replace a file that is there.
        Raises what `compress` raises, and OutputError for an output that is there or is the image itself, and if it
        cannot be written.
        """
        target, effort = Target.choose(quality, bpp, psnr), check_effort(effort)
        check_output(Path(output), overwrite=overwrite, sources=[Path(image)])
        compressed = self.compress_to(image, target, references=references, effort=effort, carry=carry)
        write_atomically(Path(output), compressed.data, overwrite=overwrite)
        return compressed

    def _photo(self, image: ImageLike, carry: Carry | None) -> DecodedPhoto:
        return photo_from(image, max_pixels=self.max_pixels, carry=carry or Carry())

    def _encoder(self, references: bool) -> Encoder:
        if self._retrieving is None and references and self._takes_references():
            self._retrieving = self._open_retrieving()
        if self._retrieving is None:
            return self._open_alone(self.model.short_id).encoder()
        return self._retrieving.encoder

    def _takes_references(self) -> bool:
        try:
            config = ModelConfig.model_validate(self.model.attributes["config"])
        except (KeyError, ValidationError):
            return False  # reading the model says what is wrong with it
        return self.dictionary is not None or config.takes_references

    def _open_retrieving(self) -> Codec:
        from clc.dictionary.retrieval.open_encoder import open_encoder  # needs the search libraries

        dictionary = self.dictionary or self.store.get(Kind.DICTIONARY, self.model.attributes["dictionary"])
        values_of(dictionary, self.model, store=self.store)  # a dictionary that is new to this model
        opened = open_encoder(self.store, self.model, dictionary, backbone=self._backbone, max_pixels=self.max_pixels)
        opened[0].model.to(self.device)
        return opened[0]

    def _decoder(self, model: str, keys: tuple[bytes, ...]) -> Decoder:
        own = self._retrieving
        if own is not None and own.model_id == model and not keys:
            return own.decoder
        return super()._decoder(model, keys)

    def _codec_for(self, header: Header) -> Codec:
        own = self._retrieving
        if own is None or own.latents is None or header.model_id != own.model_id:
            return super()._codec_for(header)
        return own if header.dictionary_id == own.latents.dictionary_id else super()._codec_for(header)


def _data_of(compressed: Compressed | ImageError | TargetError) -> bytes:
    if isinstance(compressed, Compressed):
        return compressed.data
    raise compressed


def _loaded_again(store: Store, model: str, dictionary: str | None, options: dict[str, Any]) -> StoreCodec:
    return load(model, store=store, dictionary=dictionary, **options)
