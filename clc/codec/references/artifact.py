"""Stage `references`: the photos that a dictionary was cut from, each coded alone, once (docs/artifacts.md)."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from clc.codec.artifacts import read_config, read_model, reference_latents
from clc.codec.decisions.effort import EFFORT_MAX
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.references.coded import can_be_coded
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.references.picture_cache import PictureCache
from clc.codec.stored_quality import stored_quality
from clc.errors import DictionaryError, ImageError
from clc.images import Photo, PhotoSource
from clc.images.decode import decode
from clc.images.patch import pixels_sha256
from clc.model.conditioning.int8 import quantise
from clc.model.exact.analysis import ExactAnalysis
from clc.model.tiles import TILE_SIZE, image_tiles
from clc.model.transforms.convolutional import ConvolutionalAnalysis, ConvolutionalConfig
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)

_STAGE_VERSION = 1

PICTURES_SCHEMA = pa.schema(
    [
        pa.field("photo_sha256", pa.string()),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("pixels_sha256", pa.string()),
        pa.field("stream", pa.binary()),
    ]
)
ENTRIES_SCHEMA = pa.schema(
    [pa.field("picture", pa.int32()), pa.field("x", pa.int32()), pa.field("y", pa.int32())],
)


class ReferencesConfig(BaseModel):
    """How the photos of a dictionary are coded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quality: float = Field(default=100.0, ge=1.0, le=100.0, description="of each photo, as of any that is coded alone")
    effort: int = Field(
        default=1, ge=0, le=EFFORT_MAX, description="to code each with: once, while every decoder keeps it"
    )


@dataclass(frozen=True)
class GivenStreams:
    """Photos that are coded already, alone, by the same model: streams by the SHA-256 of the photos' pixels.

    ref: "word/fingerprint" of where they come from, for the recipe.
    """

    ref: str
    streams: Mapping[str, bytes]


def references(
    dictionary: Version,
    model: Version,
    photos: PhotoSource,
    *,
    config: ReferencesConfig,
    store: Store,
    given: GivenStreams | None = None,
    pictures: PictureCache | None = None,
    force: bool = False,
) -> StageResult:
    """Stage: every photo that a dictionary has an entry of, whole, as a stream coded alone; and where its entries lie.

    Table `pictures`: photo_sha256 (of the photo), height, width, stream, pixels_sha256 (of what is decoded). Table
    `entries`, in the order of the dictionary: picture (a row of the other), x, y. Tensors `exponents`: int32 [C].
    photos: where they are found, by the SHA-256 of their pixels; there may be others. given: streams that are taken as
    they are, whatever their quality; photos without one are coded. pictures: where decoded ones are kept in memory, for
    who codes with them next.
    Raises DictionaryError for a photo that is not among them, if entries are not 256×256 pixels, and for a model that
    takes no references or whose transforms are not convolutional.
    """
    check_dictionary(dictionary)
    config = config.model_copy(update={"quality": stored_quality(config.quality)})

    def build(draft: Draft) -> None:
        coder = _PictureCoder(model, config, pictures)
        entries = dictionary.table("entries", columns=["photo_sha256", "x", "y"])
        order = list(dict.fromkeys(entries["photo_sha256"].to_pylist()))
        # Before the first is coded, which takes long: whether all of them are there.
        where = locate_photos(dictionary, photos)
        streams = {} if given is None else given.streams
        coded = {
            sha256: coder.row(photo, sha256, streams.get(sha256) or coder.code(photo))
            for sha256, photo in _decoded(photos, where)
        }
        if changed := [sha256 for sha256 in order if sha256 not in coded]:
            raise DictionaryError(f"{photos.spec}: photo {where[changed[0]]!r} changed meanwhile; run again")
        with draft.table("pictures", PICTURES_SCHEMA) as table:
            for sha256 in order:
                table.write(pa.Table.from_pylist([coded[sha256]], schema=PICTURES_SCHEMA))
        numbers = {sha256: number for number, sha256 in enumerate(order)}
        picture = pa.array([numbers[each] for each in entries["photo_sha256"].to_pylist()], pa.int32())
        with draft.table("entries", ENTRIES_SCHEMA) as table:
            table.write(pa.table([picture, entries["x"], entries["y"]], schema=ENTRIES_SCHEMA))
        draft.tensors("exponents", {"exponents": coder.exponents()})
        draft.attributes |= {"model": model.id, "dictionary": dictionary.id, "quality": config.quality}
        size = coder.stream_bytes
        draft.statistics |= {"pictures": len(order), "stream_bytes": size}
        logger.info("stage=references pictures=%d bytes=%d model=%s dictionary=%s", len(order), size, model, dictionary)

    recipe = Recipe(
        stage="references",
        stage_version=_STAGE_VERSION,
        config=config.model_dump(),
        inputs={"dictionary": dictionary.ref, "model": model.ref},
    )
    if given is not None:
        recipe = recipe.model_copy(update={"inputs": recipe.inputs | {"given": given.ref}})
    return run_stage(store, Kind.REFERENCES, recipe, build, force=force)


def references_or_latents(
    dictionary: Version, model: Version, photos: PhotoSource, *, config: ReferencesConfig, store: Store
) -> StageResult:
    """Stage: what streams of the two need: `references`, or, for a model whose transforms are not convolutional, int8
    `reference_latents`. Raises what these raise.
    """
    if isinstance(read_config(model).transform, ConvolutionalConfig):
        return references(dictionary, model, photos, config=config, store=store)
    return reference_latents(dictionary, model, store=store)


def check_dictionary(dictionary: Version) -> None:
    """Raises DictionaryError if the entries are not as large as the codec's tiles."""
    if dictionary.attributes["patch_size"] != TILE_SIZE:
        raise DictionaryError(
            f"dictionary {dictionary.short_id} has entries of {dictionary.attributes['patch_size']} pixels; "
            f"the codec needs {TILE_SIZE}"
        )


def locate_photos(dictionary: Version, photos: PhotoSource) -> dict[str, str]:
    """The image_id, in a source, of every photo that a dictionary has an entry of, by the SHA-256 of its pixels.

    Raises DictionaryError that names a photo which is not there, SourceError if the source cannot be read.
    """
    table = dictionary.table("entries", columns=["photo_sha256", "image_id"])
    names: dict[str, str] = dict(zip(table["photo_sha256"].to_pylist(), table["image_id"].to_pylist(), strict=True))
    found: dict[str, str] = {}
    expected = set(names.values())
    for likely in (True, False):  # those first that are called as they were: others seldom have to be decoded
        for photo in photos.encoded():
            if len(found) == len(names):
                return found
            if (photo.image_id in expected) is likely:
                try:
                    sha256 = pixels_sha256(decode(photo.read(), name=photo.image_id))
                except ImageError:  # whoever reads the source for its own sake says so
                    continue
                if sha256 in names:
                    found.setdefault(sha256, photo.image_id)
    missing = [name for sha256, name in names.items() if sha256 not in found]
    if missing:
        others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DictionaryError(
            f"{photos.spec} no longer has the pixels of photo {missing[0]!r}{others}, of which {dictionary} has "
            "entries; name a source that has them with --source, or build the dictionary again"
        )
    return found


def _decoded(photos: PhotoSource, where: dict[str, str]) -> Iterator[tuple[str, Photo]]:
    """The photos of these names, with the SHA-256 of their pixels, each once."""
    names = set(where.values())
    left = set(where)
    for encoded in photos.encoded():
        if encoded.image_id in names:
            pixels = decode(encoded.read(), name=encoded.image_id)
            sha256 = pixels_sha256(pixels)
            if sha256 in left:
                left.remove(sha256)
                yield sha256, Photo(encoded.image_id, pixels, encoded.source, encoded.licence)


class _PictureCoder:
    """Codes pictures with one model at one quality, and knows how large their latents are."""

    def __init__(self, model: Version, config: ReferencesConfig, pictures: PictureCache | None) -> None:
        network = read_model(model)
        if not network.config.takes_references:
            raise DictionaryError(f"{model} takes no references; code with it without a dictionary")
        if not isinstance(network.g_a, ConvolutionalAnalysis) or not can_be_coded(network):
            raise DictionaryError(
                f"{model} has transforms that are not convolutional; its references are int8 latents, `clc latents`"
            )
        self._network = network
        self._config = config
        self._pictures = pictures
        self._encoder = Encoder(
            FrozenModel(network, model.short_id), ReferenceLookup(network, None, None), syntax=False
        )
        self._decoder = ExactDecoder(network, model.short_id)
        self._analysis = ExactAnalysis(network.g_a)
        self.stream_bytes = 0
        self._largest = torch.full((1, network.config.transform.latent_channels, 1, 1), 2.0**-24)

    def code(self, photo: Photo) -> bytes:
        """Its stream, alone."""
        return self._encoder.compress(
            photo.pixels, quality=self._config.quality, references=False, effort=self._config.effort
        )

    def row(self, photo: Photo, sha256: str, stream: bytes) -> dict[str, object]:
        """Of table `pictures`. sha256: of the photo's pixels."""
        pixels = self._decoder.decompress(stream)
        if self._pictures is not None:
            self._pictures.remember(stream, self._decoder.model_id, pixels)
        for tile in image_tiles(pixels):
            magnitudes = self._analysis(tile).float().abs().amax(dim=(2, 3), keepdim=True)
            self._largest = torch.maximum(self._largest, magnitudes)
        self.stream_bytes += len(stream)
        height, width = pixels.shape[:2]
        logger.info("stage=references photo=%s bytes=%d pixels=%d", photo.image_id, len(stream), height * width)
        return {
            "photo_sha256": sha256,
            "height": height,
            "width": width,
            "pixels_sha256": pixels_sha256(pixels),
            "stream": stream,
        }

    def exponents(self) -> NDArray[np.int32]:
        """That hold the largest value of each channel of all pictures, and no finer than the codec's own steps need."""
        exponents: NDArray[np.int32] = quantise(self._largest, finest=self._network.gain.finest_exponents)[1].numpy()
        return exponents
