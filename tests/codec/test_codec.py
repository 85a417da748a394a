"""The codec as a user meets it: bytes out, the same picture back, from the bytes alone."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifacts import open_codec, read_latents, read_model
from clc.codec.bitstream import Bitstream, describe
from clc.codec.codec import Codec
from clc.codec.references.protocols import index_bits
from clc.codec.stream_header import tile_count
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import BitstreamError, ImageError, MissingArtifactError, ProfileError
from clc.images import read_image

DECODE = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(2)  # the encoder used one
from PIL import Image
from clc.codec.artifacts import open_codec
from clc.codec.bitstream import Bitstream
from clc.store import Kind, Store
store, data = Store(sys.argv[1]), Path(sys.argv[2]).read_bytes()
header = Bitstream.from_bytes(data).header
codec = open_codec(store, store.get(Kind.MODEL, header.model_id), store.get(Kind.DICTIONARY, header.dictionary_id))
Image.fromarray(codec.decompress(data)).save(sys.argv[3])
"""


@pytest.fixture(scope="module")
def codec(world) -> Codec:
    return open_encoder(world.store, world.model, world.dictionary)[0]


@pytest.fixture(scope="module")
def photo(world) -> NDArray[np.uint8]:
    return read_image(world.test_photos / "photo-100.png")


@pytest.mark.medium
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (17, 2), (64, 64), (255, 257), (300, 420)])
@pytest.mark.parametrize("references", [True, False])
def test_any_size_comes_back(codec: Codec, photo: NDArray[np.uint8], size: tuple[int, int], references: bool) -> None:
    image = photo[: size[0], : size[1]]
    decoded = codec.decompress(codec.compress(image, quality=30, references=references))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8


@pytest.mark.medium
def test_a_fresh_process_with_other_threads_decodes_the_encoders_latent(
    codec: Codec, photo: NDArray[np.uint8], world, tmp_path: Path
) -> None:
    data = codec.compress(photo, quality=70, always=True)
    here = codec.decompress(data)
    (tmp_path / "a.clc").write_bytes(data)
    command = [sys.executable, "-c", DECODE, world.store.url, str(tmp_path / "a.clc"), str(tmp_path / "a.png")]
    subprocess.run(command, check=True, capture_output=True)
    there = np.asarray(Image.open(tmp_path / "a.png"))
    # The checksum proves the latent equal; g_s is floating point, so the last rounding may differ.
    assert np.abs(there.astype(int) - here).max() <= 1


def test_header_names_what_the_decoder_needs(codec: Codec, photo: NDArray[np.uint8], world) -> None:
    description = describe(codec.compress(photo, quality=12.34, always=True))
    assert description["model"] == world.model.short_id
    assert description["dictionary"] == world.dictionary.short_id
    assert (description["height"], description["width"]) == photo.shape[:2]
    assert description["quality"] == 12.34
    assert description["references"] == 3
    assert description["tiles"] == 4


@pytest.mark.medium
def test_without_references_no_dictionary_is_needed(world, codec: Codec, photo: NDArray[np.uint8]) -> None:
    alone = open_codec(world.store, world.model)
    data = alone.compress(photo, references=False)
    assert describe(data)["dictionary"] is None
    assert np.array_equal(alone.decompress(data), codec.decompress(data))


@pytest.mark.medium
def test_references_reach_the_picture(codec: Codec, photo: NDArray[np.uint8]) -> None:
    pictures = []
    for entry in (2, 9):
        other = Codec(codec.model, codec.model_id, codec.latents, _Always(entry))
        pictures.append(other.decompress(other.compress(photo, always=True)))
    assert not np.array_equal(*pictures)


def test_other_reference_latents_than_the_encoders_are_an_error_not_a_picture(
    codec: Codec, photo: NDArray[np.uint8]
) -> None:
    assert codec.latents is not None
    data = codec.compress(photo, always=True)
    used = Bitstream.from_bytes(data).entries[0, 0]
    values = codec.latents.values.copy()
    values[used, 0, 0, 0] ^= 1
    other = Codec(codec.model, codec.model_id, replace(codec.latents, values=values))
    with pytest.raises(BitstreamError, match="reference latents differ"):
        other.decompress(data)


def test_a_stream_with_another_number_of_references_than_its_model_is_refused(
    codec: Codec, photo: NDArray[np.uint8]
) -> None:
    stream = Bitstream.from_bytes(codec.compress(photo, always=True))
    fewer = replace(stream, header=replace(stream.header, references=2), entries=stream.entries[:, :2])
    with pytest.raises(BitstreamError, match="2 references a tile, its model uses 3"):
        codec.decompress(fewer.to_bytes())


def test_a_declared_size_beyond_the_limit_is_refused_before_anything_is_allocated(codec: Codec) -> None:
    stream = Bitstream.from_bytes(codec.compress(np.zeros((1, 1, 3), np.uint8), references=False))
    hostile = replace(stream, header=replace(stream.header, height=65_535, width=65_535))
    with pytest.raises(BitstreamError, match="65535×65535 pixels"):
        codec.decompress(hostile.to_bytes())


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 4), (0, 5, 3)])
def test_what_is_no_rgb_image_is_refused(codec: Codec, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"uint8 \[H, W, 3\]"):
        codec.compress(np.zeros(shape, np.uint8))


def test_a_stream_of_another_model_is_refused(codec: Codec, photo: NDArray[np.uint8]) -> None:
    stream = Bitstream.from_bytes(codec.compress(photo, always=True))
    other = replace(stream, header=replace(stream.header, model_id="ab" * 8))
    with pytest.raises(MissingArtifactError, match="abababababababab"):
        codec.decompress(other.to_bytes())


def test_a_stream_of_another_dictionary_is_refused(codec: Codec, photo: NDArray[np.uint8]) -> None:
    stream = Bitstream.from_bytes(codec.compress(photo, always=True))
    other = replace(stream, header=replace(stream.header, dictionary_id="cd" * 8))
    with pytest.raises(MissingArtifactError, match="cdcdcdcdcdcdcdcd"):
        codec.decompress(other.to_bytes())


@pytest.mark.medium
def test_a_latent_that_differs_from_the_encoders_is_an_error_not_a_picture(
    codec: Codec, photo: NDArray[np.uint8]
) -> None:
    stream = Bitstream.from_bytes(codec.compress(photo, always=True))
    with pytest.raises(BitstreamError, match="differ from the encoder's"):
        codec.decompress(replace(stream, latent_checksum=stream.latent_checksum ^ 1).to_bytes())


@pytest.mark.medium
def test_a_latent_out_of_range_is_an_error_before_the_rest_is_computed(codec: Codec, photo: NDArray[np.uint8]) -> None:
    stream = Bitstream.from_bytes(codec.compress(photo, always=True))
    with pytest.raises(BitstreamError, match="damaged"):
        codec.decompress(replace(stream, latent=stream.latent[:-8]).to_bytes())


def test_an_entry_outside_the_dictionary_is_an_error(world) -> None:
    latents = read_latents(world.latents)
    fewer = replace(latents, values=latents.values[:13])  # as many bits as 16 entries
    assert index_bits(13) == index_bits(16)
    model = read_model(world.model)
    sender = Codec(model, world.model.short_id, latents, _Always(14))
    receiver = Codec(model, world.model.short_id, fewer)
    with pytest.raises(BitstreamError, match="entry 14 is outside the dictionary of 13"):
        receiver.decompress(sender.compress(np.zeros((8, 8, 3), np.uint8), always=True))


def test_quality_out_of_range_is_refused(codec: Codec, photo: NDArray[np.uint8]) -> None:
    with pytest.raises(ProfileError, match="between 1 and 100"):
        codec.compress(photo, quality=101)


def test_references_without_a_dictionary_are_refused(world, photo: NDArray[np.uint8]) -> None:
    with pytest.raises(MissingArtifactError, match="needs a dictionary"):
        open_codec(world.store, world.model).compress(photo)


def test_higher_quality_gives_finer_quantisation(codec: Codec) -> None:
    gains = [float(codec.model.gain.gain(quality).mean()) for quality in (1, 25, 50.5, 75, 100)]
    assert gains == sorted(gains)


def test_the_stored_model_is_the_trained_one(world) -> None:
    first, second = read_model(world.model), read_model(world.model)
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert all(layer.frozen and layer.weight.dtype == torch.float64 for layer in first.prior.exact_layers())


class _Always:
    """Retrieves one entry, whatever the image."""

    def __init__(self, entry: int) -> None:
        self.entry = entry

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        return np.full((tile_count(*image.shape[:2]), number), self.entry)
