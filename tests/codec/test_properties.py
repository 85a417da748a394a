"""What holds for images of every size, every number of references, dictionaries of every size, and every quality."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clc.codec.artifacts import read_latents, read_model
from clc.codec.bitstream import Bitstream, describe
from clc.codec.codec import Codec
from clc.codec.packing import MAX_DISPLACEMENT
from clc.codec.references.protocols import ReferenceLatents
from clc.codec.stream_header import MAX_INDEX_BITS, MAX_SIDE, NO_DICTIONARY, Header, Scope, tile_count
from clc.images import read_image
from clc.model.limits import MAX_REFERENCES, QUALITY_STEPS
from clc.model.network import CompressionModel

# The same examples every time: a test that fails here must fail everywhere.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

ids = st.binary(min_size=8, max_size=8).map(bytes.hex).filter(lambda text: text != NO_DICTIONARY)
qualities = st.integers(QUALITY_STEPS, 100 * QUALITY_STEPS).map(lambda steps: steps / QUALITY_STEPS)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    references = draw(st.integers(0, MAX_REFERENCES))
    height, width = draw(st.tuples(st.integers(1, MAX_SIDE), st.integers(1, MAX_SIDE)))
    scopes = [Scope.TILE]
    if references:
        scopes += [Scope.ALIGNED, Scope.BLENDED, Scope.FIRST, Scope.IMAGE][: 3 + (tile_count(height, width) > 1)]
    return Header(
        model_id=draw(ids),
        dictionary_id=draw(ids) if references else NO_DICTIONARY,
        height=height,
        width=width,
        quality=draw(qualities),
        references=references,
        index_bits=draw(st.integers(0, MAX_INDEX_BITS)) if references else 0,
        scope=draw(st.sampled_from(scopes)),
    )


@pytest.mark.medium
@settings(max_examples=60)
@given(header=headers(), seed=st.integers(0, 99), words=st.tuples(st.integers(0, 300), st.integers(0, 300)))
def test_every_stream_that_can_be_written_is_read_as_it_was(header: Header, seed: int, words: tuple[int, int]) -> None:
    generator = np.random.default_rng(seed)
    entries = generator.integers(0, 2**header.index_bits, (header.queries, header.references))
    hyper, latent = (generator.bytes(4 * count) for count in words)
    corners = None
    if header.is_aligned:
        reach = generator.choice([1, 100, MAX_DISPLACEMENT])
        corners = generator.integers(-reach, reach + 1, (header.references, 4, 2)).astype(np.int32)
    data = Bitstream(header, entries, hyper, latent, 2**32 - 1 - seed, corners).to_bytes()
    again = Bitstream.from_bytes(data)
    assert again.header == header
    assert np.array_equal(again.entries, entries)
    assert again.corners is corners is None or np.array_equal(again.corners, corners)
    assert (again.hyper, again.latent, again.latent_checksum) == (hyper, latent, 2**32 - 1 - seed)
    sizes = describe(data)["bytes"]
    assert isinstance(sizes, dict)
    indices = math.ceil(header.queries * header.references * header.index_bits / 8)
    assert sizes["references"] <= (16 + indices if header.references else 0)
    assert sizes["corners"] <= (0 if corners is None else 4 + 4 * corners.size)
    assert sizes["header"] + sizes["checksums"] == 26
    assert sum(size for name, size in sizes.items() if name != "total") == sizes["total"] == len(data)


@dataclass(frozen=True)
class Drawn:
    """Retrieves entries at random, the same ones for the same seed."""

    seed: int
    entries: int

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        generator = np.random.default_rng(self.seed)
        return np.stack([generator.permutation(self.entries)[:number] for _ in range(tile_count(*image.shape[:2]))])


@dataclass(frozen=True, repr=False)  # a failing example is printed with its arguments: these say nothing
class Material:
    """What examples are made of."""

    model_id: str
    model: CompressionModel
    latents: ReferenceLatents
    photo: NDArray[np.uint8]


@pytest.fixture(scope="module")
def material(world) -> Material:
    photo = read_image(world.test_photos / "photo-101.png")
    return Material(world.model.short_id, read_model(world.model), read_latents(world.latents), photo)


@pytest.mark.medium
@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 330), st.integers(1, 330)),
    references=st.integers(0, MAX_REFERENCES),
    spare=st.integers(0, 60),
    quality=qualities,
    seed=st.integers(0, 99),
)
def test_the_decoder_gives_the_encoders_own_reconstruction(
    material: Material, size: tuple[int, int], references: int, spare: int, quality: float, seed: int
) -> None:
    image = material.photo[: size[0], : size[1]]
    entries = max(1, references) + spare
    values = np.resize(material.latents.values, (entries, *material.latents.values.shape[1:]))
    latents = replace(material.latents, values=values)
    model = material.model
    model.config = model.config.model_copy(update={"references": max(1, references)})
    encoder = Codec(model, material.model_id, latents, Drawn(seed, entries)).encoder
    coded = encoder.code(encoder.analyse(image, references=references > 0), quality, always=True)
    decoded = Codec(model, material.model_id, latents).decompress(coded.data)
    assert decoded.shape == image.shape
    assert describe(coded.data)["references"] == references
    assert np.array_equal(decoded, coded.picture)
