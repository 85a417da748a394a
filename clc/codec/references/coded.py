"""A dictionary's references as pictures that were coded alone: versions of kind `references`.

Each photo is there once, whole, as a stream. Its pixels and the latents of entries follow from that, the same on every
machine; they are kept in memory and, pixels, in a folder, and are never stored as artifacts.
"""

from collections import OrderedDict
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.picture_cache import PictureCache
from clc.codec.references.picture_folder import PictureFolder
from clc.codec.references.protocols import EntryLatents
from clc.errors import BitstreamError, CorruptArtifactError, MissingArtifactError, ProfileError
from clc.images.patch import pixels_sha256
from clc.model.conditioning.int8 import quantise
from clc.model.exact.analysis import ExactAnalysis
from clc.model.network import CompressionModel
from clc.model.tiles import TILE_SIZE
from clc.model.transforms.convolutional import ConvolutionalAnalysis, ConvolutionalSynthesis
from clc.store import Kind, Version, short_id

_REMEMBERED_BYTES = 2**27  # of entries' latents: a thousand or so


@lru_cache(maxsize=1)
def shared_pictures() -> PictureCache:
    """What all codecs of a process keep their pictures in: memory, and `clc/pictures` in the user's cache folder."""
    return PictureCache(PictureFolder())


def can_be_coded(model: CompressionModel) -> bool:
    """Whether a model's transforms are such that references can be coded pictures: convolutional, both."""
    return isinstance(model.g_a, ConvolutionalAnalysis) and isinstance(model.g_s, ConvolutionalSynthesis)


class CodedPhotos:
    """The photos of a version of kind `references`; `clc.codec.references.protocols.NamedPhotos`.

    decoder: of the model that the version was made with. pictures: where decoded ones are kept.
    Raises MissingArtifactError for references of another model, CorruptArtifactError for a rectangle outside its
    picture.
    """

    def __init__(self, version: Version, decoder: ExactDecoder, pictures: PictureCache | None = None) -> None:
        if version.kind is not Kind.REFERENCES:
            raise MissingArtifactError(f"{version} holds no references; `clc references list` shows what does")
        if short_id(version.attributes["model"]) != short_id(decoder.model_id):
            raise MissingArtifactError(
                f"{version} are references for model/{short_id(version.attributes['model'])}, not for "
                f"model/{decoder.model_id}; make some for it with `clc dictionary references`"
            )
        self.version = version
        self._decoder = decoder
        self._cache = shared_pictures() if pictures is None else pictures
        entries = version.table("entries")
        self._picture, self._x, self._y = (entries[name].to_numpy().astype(np.int64) for name in ("picture", "x", "y"))
        known = version.table("pictures", columns=["photo_sha256", "height", "width", "pixels_sha256"])
        self._heights, self._widths = (known[name].to_numpy().astype(np.int64) for name in ("height", "width"))
        self._pixels_sha256: list[str] = known["pixels_sha256"].to_pylist()
        self.photo_sha256: list[str] = known["photo_sha256"].to_pylist()
        self._check_rectangles()

    def __len__(self) -> int:
        """Of the photos."""
        return len(self._heights)

    @property
    def entries(self) -> int:
        """How many entries were cut from them."""
        return len(self._picture)

    def name(self, entry: int) -> int:
        """The first of the entries that were cut from the same photo."""
        return self._names[int(self._picture[entry])]

    def shown(self) -> list[int]:
        """The first entry of each photo: all are whole."""
        return sorted(self._names.values())

    def size(self, entry: int) -> tuple[int, int]:
        """Height and width of the photo that an entry was cut from."""
        number = self._picture[entry]
        return int(self._heights[number]), int(self._widths[number])

    def key(self, entry: int) -> str:
        """The SHA-256 of the pixels of the photo that an entry was cut from."""
        return self._pixels_sha256[self._picture[entry]]

    def photo(self, entry: int) -> NDArray[np.uint8]:
        """The photo uint8 [H, W, 3] that an entry was cut from. Raises what `picture` raises."""
        return self.picture(int(self._picture[entry]))

    def patch(self, entry: int) -> NDArray[np.uint8]:
        """The entry itself, uint8 [256, 256, 3]. Raises what `picture` raises."""
        x, y = self._x[entry], self._y[entry]
        return self.photo(entry)[y : y + TILE_SIZE, x : x + TILE_SIZE]

    def picture(self, number: int) -> NDArray[np.uint8]:
        """A photo uint8 [H, W, 3] by its place in the version, not to be written to.

        Raises CorruptArtifactError for one that is damaged or gives other pixels than where it was made.
        """
        stream = self.stream(number)
        try:
            pixels = self._cache.picture(stream, self._decoder.model_id, self._decoder.decompress)
            if not self._is(number, pixels):  # somebody may have exchanged the file in the folder
                pixels = self._decoder.decompress(stream)
        except (BitstreamError, MissingArtifactError) as error:
            raise self._damaged(number, f"cannot be decoded ({error})") from error
        if not self._is(number, pixels):
            raise self._damaged(number, "has other pixels than where it was made")
        return pixels

    def stream(self, number: int) -> bytes:
        """The `.clc` stream of a photo."""
        rows = self.version.batches("pictures", columns=["stream"], rows=range(number, number + 1))
        data: bytes = next(rows).column("stream")[0].as_py()
        return data

    @property
    def bytes(self) -> int:
        """None: latents are made of the same pictures."""
        return 0

    @cached_property
    def _names(self) -> dict[int, int]:
        numbers, first = np.unique(self._picture, return_index=True)
        return dict(zip(numbers.tolist(), first.tolist(), strict=True))

    def _is(self, number: int, pixels: NDArray[np.uint8]) -> bool:
        expected = int(self._heights[number]), int(self._widths[number])
        return pixels.shape[:2] == expected and pixels_sha256(pixels) == self._pixels_sha256[number]

    def _check_rectangles(self) -> None:
        outside = (self._picture < 0) | (self._picture >= len(self)) | (self._x < 0) | (self._y < 0)
        inside = np.where(outside, 0, self._picture)
        if len(self):
            outside |= self._x + TILE_SIZE > self._widths[inside]
            outside |= self._y + TILE_SIZE > self._heights[inside]
        if outside.any():
            raise CorruptArtifactError(
                f"{self.version}: entry {int(np.flatnonzero(outside)[0])} lies outside its picture; "
                "verify the version, and import it again from where it was made"
            )

    def _damaged(self, number: int, what: str) -> CorruptArtifactError:
        return CorruptArtifactError(
            f"{self.version}: picture {number} {what}; verify the version, and import it again from where it was made"
        )


class CodedLatents(EntryLatents):
    """Latents of the entries of coded photos: analysed when they are first needed, exactly.

    analysis: of the model. Latents used last stay in memory.
    """

    at_hand = False

    def __init__(self, photos: CodedPhotos, analysis: ExactAnalysis) -> None:
        version = photos.version
        self.exponents = version.tensors("exponents")["exponents"]
        self.dictionary_id = version.short_id
        self.model_id = short_id(version.attributes["model"])
        self._photos = photos
        self._analysis = analysis
        self._known: OrderedDict[int, Tensor] = OrderedDict()
        self._most = max(1, _REMEMBERED_BYTES // (len(self.exponents) * TILE_SIZE))  # a latent has 16×16 positions

    def __len__(self) -> int:
        return self._photos.entries

    @property
    def bytes(self) -> int:
        """Of the version's files, manifest apart."""
        return sum(entry.bytes for entry in self._photos.version.manifest.files.values())

    def stored(self, entries: NDArray[np.int64]) -> Tensor:
        """int8 [T, M, C, 16, 16] of entries [T, M]. Raises CorruptArtifactError for a damaged picture."""
        wanted, place = np.unique(entries, return_inverse=True)
        values = torch.stack([self._latent(entry) for entry in wanted.tolist()])
        return values[torch.from_numpy(place.reshape(entries.shape))]

    def _latent(self, entry: int) -> Tensor:
        if entry in self._known:
            self._known.move_to_end(entry)
            return self._known[entry]
        analysed = self._analysis(self._photos.patch(entry)).float()
        values = quantise(analysed, torch.from_numpy(self.exponents))[0][0]
        self._known[entry] = values
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return values


def open_coded(
    version: Version, model: CompressionModel, model_id: str, pictures: PictureCache | None = None
) -> tuple[CodedLatents, CodedPhotos]:
    """What a codec with this model takes of a version of kind `references`.

    Raises MissingArtifactError for references of another model, ProfileError for a model whose transforms are not
    convolutional, CorruptArtifactError for a version that makes no sense.
    """
    if not isinstance(model.g_a, ConvolutionalAnalysis) or not can_be_coded(model):
        raise ProfileError("references are coded pictures for convolutional transforms only; use a model that has them")
    photos = CodedPhotos(version, ExactDecoder(model, model_id), pictures)
    return CodedLatents(photos, ExactAnalysis(model.g_a)), photos
