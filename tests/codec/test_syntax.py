"""The section of the syntax: written where it pays, read anywhere, and never more than an error or a picture."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifacts import read_model
from clc.codec.bitstream import Bitstream, SectionKind, describe
from clc.codec.codec import Codec
from clc.codec.decisions.effort import Searched
from clc.codec.decisions.encoder_adaptation import adapted
from clc.codec.decisions.targets import Target
from clc.codec.encoder import Encoder
from clc.codec.entropy import TableCoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.key_codec import KeyCodec
from clc.codec.packing import pack_number
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.references.protocols import NO_REFERENCES, ReferenceLatents
from clc.codec.safety.net import Candidate
from clc.errors import BitstreamError, ProfileError
from clc.model.conditioning.int8 import quantise
from clc.model.config import Conditioning
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.tiles import to_tensor
from clc.store import Store
from tests.codec.syntax_models import syntax_config, syntax_model, without_syntax, write_syntax_model
from tests.codec.test_bitstream import resealed
from tests.conftest import picture
from tests.model.test_presets import FirstEntries

MODEL_ID = "5e" * 8
DECODE = """
import sys
from pathlib import Path
from clc.store_decoder import StoreDecoder
from clc.store import Store
import torch
torch.set_num_threads(2)  # the encoder used one
decoder, data = StoreDecoder(Store(sys.argv[1])), Path(sys.argv[2]).read_bytes()
decoder.decompress(data).save(sys.argv[3])
decoder.decompress(data, post=True).save(sys.argv[4])
"""
pytestmark = pytest.mark.usefixtures("network_only")


@pytest.fixture(scope="module")
def model() -> CompressionModel:
    return syntax_model()


@pytest.fixture(scope="module")
def codec(model: CompressionModel) -> Codec:
    return Codec(model, MODEL_ID)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return picture(7, 150, 200)


@pytest.fixture
def stream(codec: Codec, image: NDArray[np.uint8]) -> Bitstream:
    return Bitstream.from_bytes(codec.compress(image, quality=80.0, references=False, always=True))


def cost(codec: Codec, image: NDArray[np.uint8], data: bytes) -> float:
    """R + λ·255²·D of a file, of what a decoder makes of it."""
    net = codec.encoder.analyse(image, references=False).net
    return net.cost(Candidate(Bitstream.from_bytes(data), codec.decompress(data)))


def encoder(model: CompressionModel, searched: Searched | None = None, *, syntax: bool = True) -> Encoder:
    network, lookup = FrozenModel(model, MODEL_ID), ReferenceLookup(model, None, None)
    if searched is None:
        return Encoder(network, lookup, syntax=syntax)
    return Encoder(network, lookup, syntax=syntax, searched=searched)


@pytest.mark.parametrize("size", [(1, 1), (1, 150), (64, 64), (150, 200)])
@pytest.mark.parametrize("quality", [1.0, 80.0, 100.0])
def test_a_decoder_shows_what_the_encoder_saw(
    codec: Codec, model: CompressionModel, image: NDArray[np.uint8], size: tuple[int, int], quality: float
) -> None:
    part = image[: size[0], : size[1]]
    coded = codec.encoder.code(codec.encoder.analyse(part, references=False), quality, always=True)
    assert coded.stream.syntax
    assert len(coded.stream.syntax) <= 16
    assert np.array_equal(Codec(model, MODEL_ID).decompress(coded.data), coded.picture)


@pytest.mark.medium
def test_another_process_with_other_threads_decodes_it(image: NDArray[np.uint8], tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    version = write_syntax_model(store)
    own = Codec(read_model(version), version.short_id)
    data = own.compress(image, quality=80.0, references=False)
    assert Bitstream.from_bytes(data).syntax
    paths = [tmp_path / name for name in ("a.clc", "a.png", "a-post.png")]
    paths[0].write_bytes(data)
    command = [sys.executable, "-c", DECODE, store.url, *map(str, paths)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
    for path, post in zip(paths[1:], (False, True), strict=True):
        there = np.asarray(Image.open(path)).astype(int)
        assert np.abs(there - own.decompress(data, post=post)).max() <= 1


def test_it_is_written_where_it_pays(codec: Codec, image: NDArray[np.uint8]) -> None:
    data = codec.compress(image, quality=80.0, references=False)
    assert Bitstream.from_bytes(data).syntax
    without = encoder(codec.model, syntax=False).compress(image, quality=80.0, references=False)
    assert Bitstream.from_bytes(without).syntax is None
    assert cost(codec, image, data) < cost(codec, image, without)
    sizes = describe(data)["bytes"]
    assert isinstance(sizes, dict)
    assert len(data) - len(without) == sizes["syntax"] <= 18


@pytest.mark.medium
def test_it_is_left_out_where_it_does_not_pay(image: NDArray[np.uint8]) -> None:
    model = syntax_model()
    assert model.syntax is not None
    model.syntax.layer.last.weight.neg_()  # brighter still
    codec = Codec(model, MODEL_ID)
    assert Bitstream.from_bytes(codec.compress(image, references=False)).syntax is None
    assert Bitstream.from_bytes(codec.compress(image, references=False, always=True)).syntax


@pytest.mark.parametrize("quality", [20.0, 90.0])
def test_without_the_section_a_model_codes_as_if_it_had_no_syntax(
    model: CompressionModel, image: NDArray[np.uint8], quality: float
) -> None:
    plain = Codec(without_syntax(model), MODEL_ID)
    data = encoder(model, syntax=False).compress(image, quality=quality, references=False)
    assert data == plain.compress(image, quality=quality, references=False)
    assert np.array_equal(Codec(model, MODEL_ID).decompress(data), plain.decompress(data))


def test_numbers_that_are_all_zero_change_nothing(model: CompressionModel) -> None:
    latent = torch.randn(1, 64, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.synthesise(latent, syntax=torch.zeros(1, 8)), model.synthesise(latent))
    assert not torch.equal(model.synthesise(latent, syntax=torch.ones(1, 8)), model.synthesise(latent))


def test_a_model_without_a_syntax_refuses_the_section(model: CompressionModel, stream: Bitstream) -> None:
    with pytest.raises(BitstreamError, match="has a syntax, and model 5e5e5e5e5e5e5e5e takes none"):
        Codec(without_syntax(model), MODEL_ID).decompress(stream.to_bytes())


def test_a_section_that_is_cut_empty_too_long_or_gone_is_refused(codec: Codec, stream: Bitstream) -> None:
    assert stream.syntax
    for section in (b"", stream.syntax[:4], stream.syntax[:-1], stream.syntax + bytes(range(1, 5)), b"\1" * 4096, None):
        with pytest.raises(BitstreamError):
            codec.decompress(replace(stream, syntax=section).to_bytes())


def test_a_section_that_is_repeated_or_stands_alone_is_refused(codec: Codec, stream: Bitstream) -> None:
    assert stream.syntax
    section = bytes([SectionKind.SYNTAX]) + pack_number(len(stream.syntax)) + stream.syntax
    data = stream.to_bytes()
    twice = data.replace(section, 2 * section)
    assert len(twice) == len(data) + len(section)
    with pytest.raises(BitstreamError, match="syntax is repeated or out of order"):
        codec.decompress(resealed(twice))
    with pytest.raises(BitstreamError, match="and the stream has none"):
        codec.decompress(replace(stream, hyper=None, latent=None, blocks=b"1234").to_bytes())


def with_numbers(codec: Codec, stream: Bitstream, numbers: float) -> Bitstream:
    """A section of numbers that are all so far from their means, and the checksum that the encoder would write."""
    own = codec.encoder
    coded = own._with_syntax(
        own.code_latent(own.analyse(picture(7, 150, 200), references=False), 80.0, NO_REFERENCES), None
    )
    assert codec.model.syntax is not None
    mean, level = codec.model.syntax.prior(coded.features)
    tables = TableCoder(codec.model.latent_tables)
    stack = tables.empty()
    symbols = np.full(mean.numel(), round(numbers), dtype=np.int32)
    tables.push(stack, symbols, level.flatten().to(torch.int32).numpy())
    aim = mean + torch.from_numpy(symbols).double()
    checksum = own._with_syntax(coded, aim).stream.latent_checksum
    return replace(stream, syntax=tables.close(stack), latent_checksum=checksum)


def test_wild_numbers_are_a_picture_or_an_error(codec: Codec, stream: Bitstream) -> None:
    for wild in (-450.0, 450.0):
        decoded = codec.decompress(with_numbers(codec, stream, wild).to_bytes())
        assert decoded.shape == (150, 200, 3)
    for wild in (-32_000.0, 600.0, 32_000.0):
        with pytest.raises(BitstreamError, match="a number of the syntax is out of range"):
            codec.decompress(with_numbers(codec, stream, wild).to_bytes())


def test_other_numbers_than_the_encoders_are_an_error_not_a_picture(codec: Codec, stream: Bitstream) -> None:
    other = with_numbers(codec, stream, 2.0)
    with pytest.raises(BitstreamError, match="differ from the encoder's"):
        codec.decompress(replace(other, latent_checksum=stream.latent_checksum).to_bytes())


def test_mutants_are_refused_or_give_a_picture_of_their_declared_size(codec: Codec, image: NDArray[np.uint8]) -> None:
    mutations = pytest.importorskip("benchmarks.codec.mutations")
    sound = []
    for rows, columns, quality in ((64, 48, 5.0), (1, 1, 50.0), (60, 130, 80.0)):
        data = codec.compress(image[:rows, :columns], quality=quality, references=False, always=True)
        sound.append(mutations.Golden(data, codec.decompress(data)))
    outcomes: Counter[tuple[bool, str]] = Counter()
    for seed in range(200):
        mutant = mutations.mutate(sound, seed)
        outcomes[mutant.mended, mutations.judge(codec, mutant, sound)] += 1
    assert outcomes[True, mutations.Outcome.REFUSED] > 20
    assert outcomes[True, mutations.Outcome.DECODED] > 0


def test_what_others_refer_to_is_written_and_read_without(
    codec: Codec, model: CompressionModel, image: NDArray[np.uint8], stream: Bitstream
) -> None:
    exact = ExactDecoder(model, MODEL_ID)
    with pytest.raises(BitstreamError, match="a reference picture has a syntax"):
        exact.decompress(stream.to_bytes())
    keys = KeyCodec(model, MODEL_ID)
    coded, _ = keys.compress_to(image, Target.choose(quality=80.0))
    assert Bitstream.from_bytes(coded.data).syntax is None
    assert np.abs(exact.decompress(coded.data).astype(int) - codec.decompress(coded.data)).max() <= 1


@pytest.mark.parametrize("conditioning", [Conditioning.PRIOR, Conditioning.BOTH])
def test_it_goes_with_references(image: NDArray[np.uint8], conditioning: Conditioning) -> None:
    torch.manual_seed(0)
    config = syntax_config().model_copy(update={"conditioning": conditioning})
    model = CompressionModel(config).eval()
    assert model.syntax is not None
    torch.nn.init.normal_(model.syntax.layer.last.weight, std=0.02)
    with torch.no_grad():
        entries = torch.cat([model.g_a(to_tensor(picture(seed, 256, 256)[None])) for seed in range(3)])
    crop = to_tensor(picture(5, 64, 64)[None])
    model.freeze([CalibrationCrop(crop, None, 1.0), CalibrationCrop(crop, entries[None], 100.0)])
    values, exponents = quantise(entries)
    latents = ReferenceLatents(values.numpy(), exponents.numpy(), "d1" * 8, MODEL_ID)
    codec = Codec(model, MODEL_ID, latents, FirstEntries())
    coded = codec.encoder.code(codec.encoder.analyse(image, references=True), 50.0, always=True)
    assert coded.stream.header.references == 3
    assert coded.stream.syntax
    assert np.array_equal(Codec(model, MODEL_ID, latents).decompress(coded.data), coded.picture)
    refined = Bitstream.from_bytes(codec.compress(image, quality=50.0, always=True, effort=2))
    assert refined.header == coded.stream.header


def test_effort_refines_what_it_is_asked_to(model: CompressionModel, codec: Codec, image: NDArray[np.uint8]) -> None:
    small = image[:100, :120]
    plain = Bitstream.from_bytes(codec.compress(small, quality=80.0, references=False))
    found = {
        searched: Bitstream.from_bytes(
            encoder(model, searched).compress(small, quality=80.0, references=False, effort=4)
        )
        for searched in (Searched.SYNTAX, Searched.LATENTS, Searched.SYNTAX | Searched.LATENTS)
    }
    costs = {searched: cost(codec, small, each.to_bytes()) for searched, each in found.items()}
    before = cost(codec, small, plain.to_bytes())
    only = found[Searched.SYNTAX]
    assert (only.latent, only.hyper) == (plain.latent, plain.hyper)
    assert only.syntax != plain.syntax
    assert found[Searched.LATENTS].latent != plain.latent
    assert all(each < before for each in costs.values())
    assert costs[Searched.SYNTAX | Searched.LATENTS] < min(costs[Searched.SYNTAX], costs[Searched.LATENTS])


@pytest.mark.medium
def test_effort_does_not_search_for_a_syntax_that_does_not_pay(image: NDArray[np.uint8]) -> None:
    model = syntax_model()
    assert model.syntax is not None
    model.syntax.layer.last.weight.neg_()
    small, options = image[:100, :120], {"quality": 80.0, "references": False}
    only = encoder(model, Searched.SYNTAX).compress(small, **options, effort=2)
    assert only == encoder(model).compress(small, **options)
    plain = Codec(without_syntax(model), MODEL_ID)
    assert encoder(model).compress(small, **options, effort=2) == plain.compress(small, **options, effort=2)


def test_descent_moves_the_syntax_too(model: CompressionModel, codec: Codec, image: NDArray[np.uint8]) -> None:
    small = image[:64, :64]
    plain = codec.compress(small, quality=80.0, references=False)
    found = encoder(model, Searched.SYNTAX).compress(small, quality=80.0, references=False, effort=6)
    assert Bitstream.from_bytes(found).latent == Bitstream.from_bytes(plain).latent
    assert cost(codec, small, found) < cost(codec, small, plain)


def test_what_an_adapted_encoder_writes_the_model_itself_decodes(
    model: CompressionModel, codec: Codec, image: NDArray[np.uint8]
) -> None:
    small = image[:128, :128]
    own = Codec(adapted(model, small, 80.0, steps=6), MODEL_ID).encoder
    coded = own.code(own.analyse(small, references=False), 80.0)
    assert coded.data != codec.compress(small, quality=80.0, references=False)
    assert np.array_equal(codec.decompress(coded.data), coded.picture)
    assert coded.data == Codec(adapted(model, small, 80.0, steps=6), MODEL_ID).compress(
        small, quality=80.0, references=False
    )


def test_post_processing_is_for_models_that_have_it(codec: Codec, model: CompressionModel, stream: Bitstream) -> None:
    data = stream.to_bytes()
    assert not np.array_equal(codec.decompress(data, post=True), codec.decompress(data))
    plain = Codec(without_syntax(model), MODEL_ID)
    data = plain.compress(picture(7, 64, 64), references=False)
    with pytest.raises(ProfileError, match="has no post-processing; decode the stream without"):
        plain.decompress(data, post=True)


def test_post_processing_leaves_alone_what_the_safety_net_mended(codec: Codec, image: NDArray[np.uint8]) -> None:
    analysis = codec.encoder.analyse(image, references=False)
    coded = codec.encoder.code(analysis, 80.0, always=True)
    fineness = np.full((10, 13), -1)
    fineness[2:4, 3] = 2
    blocks, mended = FrozenModel(codec.model, MODEL_ID).linear.encode(image, coded.picture, fineness, 80.0)
    data = replace(coded.stream, blocks=blocks).to_bytes()
    assert np.array_equal(codec.decompress(data), mended)
    shown, processed = codec.decompress(data, post=True), codec.decompress(coded.data, post=True)
    assert np.array_equal(shown[32:64, 48:64], mended[32:64, 48:64])
    assert np.array_equal(shown[:32], processed[:32])
    assert not np.array_equal(processed[32:64, 48:64], mended[32:64, 48:64])
