"""Golden files of the codec: a very small frozen model, reference latents, streams, and what they decode to.

Those of versions 4 and 5 were written by earlier releases, with the models. Those of version 6 were written once, by
functions of this file, and later those with displacements, those in other light and both kinds of blended ones. Streams
of one format version must decode for ever, so nobody writes them again.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.encoder import with_alignment
from clc.codec.references.displacements import Displacements
from clc.codec.references.light import Light
from clc.codec.references.protocols import Alignment, ReferenceLatents
from clc.codec.references.view import View
from clc.codec.stream_header import Scope, tile_count
from clc.model.conditioning.attention import AttentionConfig
from clc.model.conditioning.latent_matching import MatchingConfig
from clc.model.config import Conditioning, ModelConfig
from clc.model.network import CompressionModel
from clc.model.priors.config import PriorConfig
from clc.model.priors.matching import PriorMatchingConfig
from clc.model.priors.tables import FrequencyTables
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.model.weights import unpack
from tests.codec.safety_streams import safety_streams

FOLDER = Path(__file__).parent / "golden"
APART = FOLDER / "apart"
VERSION_6 = FOLDER / "version-6"
DISPLACED = FOLDER / "displacements"
IN_OTHER_LIGHT = FOLDER / "light"
BLENDED = FOLDER / "blended"
FIRST = FOLDER / "first"
MODEL_ID, DICTIONARY_ID = "0123456789abcdef", "fedcba9876543210"
CONFIG = ModelConfig(
    transform=ConvolutionalConfig(widths=(12, 16, 24), hidden=(12, 16, 16), blocks=(1, 0, 1), latent_channels=24),
    prior=PriorConfig(hyper_channels=8, hyper_width=12, slices=(8, 16), slice_width=12),
    matching=MatchingConfig(
        embedding=16, width=8, groups=1, scales=1, attention=AttentionConfig(levels=(1,), dimension=8)
    ),
    prior_matching=PriorMatchingConfig(dimension=8),
    conditioning=Conditioning.BOTH,
    references=2,
)
IMAGES = {
    # name: (height, width, quality, references, one set for the whole image)
    "tiles": (90, 280, 60.0, True, False),
    "image": (280, 90, 35.25, True, True),
    "alone": (65, 67, 90.0, False, False),
    "pixel": (1, 1, 1.0, True, False),
}


class Cycling:
    """Retrieves entries in turn."""

    def __init__(self, entries: int, whole_image: bool) -> None:
        self.entries = entries
        self.whole_image = whole_image

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        queries = 1 if self.whole_image else tile_count(*image.shape[:2])
        return (np.arange(queries)[:, None] + np.arange(number)) % self.entries


CORNERS = np.array([[(9, -20), (40, 3), (-5, 66), (70, 10)], [(0, 0)] * 4], dtype=np.int32)
ALIGNED = Alignment(np.array([3, 1]), (View(CORNERS[0]), View(CORNERS[1])))
GRIDS = (
    Displacements(
        32,
        np.array(
            [[[3 * row - column, column * column - 40 * (row > 1)] for column in range(9)] for row in range(3)],
            dtype=np.int32,
        ),
    ),
    Displacements(128, np.array([[[5, -17], [0, 4], [-9, 300]]], dtype=np.int32)),
)
REFINED = replace(ALIGNED, views=tuple(map(View, CORNERS, GRIDS)))
LIT = replace(ALIGNED, views=(View(CORNERS[0], GRIDS[0], Light((40, 64, 130), (-9, 0, 70))), View(CORNERS[1])))


class Scenes:
    """A photo for each entry."""

    bytes = 0

    def key(self, entry: int) -> int:
        return entry

    def photo(self, entry: int) -> NDArray[np.uint8]:
        return picture(entry, 100, 300)


def picture(seed: int, *size: int) -> NDArray[np.uint8]:
    """`tests.conftest.picture`, which needs far more to be installed than decoding does."""
    from tests import conftest

    return conftest.picture(seed, *size)


def golden_codec(whole_image: bool = False, folder: Path = FOLDER) -> Codec:
    """The codec that the files of a folder hold."""
    tensors = load_file(folder / "model.safetensors")
    model = CompressionModel(ModelConfig.model_validate_json((folder / "config.json").read_text()))
    stored = {name.removeprefix("weights."): array for name, array in tensors.items() if name.startswith("weights.")}
    model.load_state_dict(unpack(stored, model))
    tables = [FrequencyTables(tensors[f"{k}.radius"], tensors[f"{k}.frequencies"]) for k in ("hyper", "latent")]
    model.restore(*tables)
    latents = ReferenceLatents(tensors["latents.values"], tensors["latents.exponents"], DICTIONARY_ID, MODEL_ID)
    return Codec(model, MODEL_ID, latents, Cycling(len(latents), whole_image), Scenes())


def _write(name: str, codec: Codec, stream: Bitstream, folder: Path = VERSION_6) -> None:
    (folder / f"{name}.clc").write_bytes(stream.to_bytes())
    Image.fromarray(codec.decompress(stream.to_bytes())).save(folder / f"{name}.png", optimize=True)


def _write_version_6() -> None:
    """With the models of version 4."""
    VERSION_6.mkdir(exist_ok=True)
    for name, (height, width, quality, uses_references, whole_image) in IMAGES.items():
        codec = golden_codec(whole_image)
        data = codec.compress(picture(2)[:height, :width], quality=quality, references=uses_references, always=True)
        _write(name, codec, Bitstream.from_bytes(data))
    codec = golden_codec()
    image = picture(2)[:90, :280]
    _write("aligned", codec, _seen(codec, image, ALIGNED, Scope.ALIGNED))
    for name, stream in safety_streams(codec, picture(2)[:60, :100], 60.0, finenesses=3).items():
        _write(name, codec, stream)


def _write_seen(folder: Path, name: str, alignment: Alignment, scope: Scope = Scope.ALIGNED) -> None:
    """As `aligned`, with grids, in other light, or blended."""
    folder.mkdir(exist_ok=True)
    codec = golden_codec()
    _write(name, codec, _seen(codec, picture(2)[:90, :280], alignment, scope), folder)


def _seen(codec: Codec, image: NDArray[np.uint8], alignment: Alignment, scope: Scope) -> Bitstream:
    height, width = image.shape[:2]
    references = codec.lookup.aligned(alignment, height, width, 1 if scope is Scope.FIRST else None)
    coded = codec.encoder.code_latent(codec.encoder.analyse(image, references=False), 60.0, references)
    return with_alignment(coded.stream, alignment, scope)


if __name__ == "__main__":
    _write_version_6()
    _write_seen(DISPLACED, "refined", REFINED)
    _write_seen(IN_OTHER_LIGHT, "lit", LIT)
    _write_seen(BLENDED, "blended", LIT, Scope.BLENDED)
    _write_seen(FIRST, "first", LIT, Scope.FIRST)
