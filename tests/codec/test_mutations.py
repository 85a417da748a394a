"""Damaged and hostile streams: an error of the promised kind, never a crash, a wrong picture or a lot of memory."""

from collections import Counter
from dataclasses import replace

import pytest

from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import BitstreamError
from clc.images import read_image

# Where the package is installed there are no benchmarks, and so no mutants.
mutations = pytest.importorskip("benchmarks.codec.mutations")

MUTANTS = 500


@pytest.fixture(scope="module")
def codec(world) -> Codec:
    codec = open_encoder(world.store, world.model, world.dictionary)[0]
    return mutations.with_photo(codec, read_image(world.test_photos / "photo-101.png"))


@pytest.fixture(scope="module")
def sound(world, codec: Codec) -> list:
    return mutations.goldens(codec, read_image(world.test_photos / "photo-100.png"))


@pytest.mark.medium
def test_a_mutant_is_refused_or_gives_a_picture_of_its_declared_size(codec: Codec, sound: list) -> None:
    outcomes: Counter[tuple[bool, str]] = Counter()
    for seed in range(MUTANTS):
        mutant = mutations.mutate(sound, seed)
        outcomes[mutant.mended, mutations.judge(codec, mutant, sound)] += 1
    assert outcomes.total() == MUTANTS
    # A check of the mutants: some reach the decoder, and some reach the end of it.
    assert min(outcomes[True, outcome] for outcome in mutations.Outcome) > 0


def test_a_seed_always_makes_the_same_mutant(sound: list) -> None:
    assert [mutations.mutate(sound, seed) for seed in range(50)] == [
        mutations.mutate(sound, seed) for seed in range(50)
    ]


@pytest.mark.parametrize("extra", [b"\1\2\3\4", b"\1\0\0\0" * 50])
def test_words_that_code_no_symbol_are_refused_before_the_prior_runs(codec: Codec, sound: list, extra: bytes) -> None:
    stream = Bitstream.from_bytes(sound[1].data)
    with pytest.raises(BitstreamError, match="more than its symbols"):
        codec.decompress(replace(stream, hyper=extra + stream.hyper).to_bytes())


@pytest.mark.parametrize("side", [1024, 8192])
def test_few_bytes_that_declare_many_pixels_are_refused_before_anything_is_allocated(
    codec: Codec, sound: list, side: int
) -> None:
    stream = Bitstream.from_bytes(sound[5].data)
    large = replace(stream, header=replace(stream.header, height=side, width=side))
    with pytest.raises(BitstreamError, match="too short for"):
        codec.decompress(large.to_bytes())


def test_an_empty_entropy_coded_string_is_refused(codec: Codec, sound: list) -> None:
    stream = Bitstream.from_bytes(sound[5].data)
    for section in ("hyper", "latent"):
        with pytest.raises(BitstreamError):
            codec.decompress(replace(stream, **{section: b""}).to_bytes())


def test_a_stream_that_is_not_mended_and_gives_another_picture_would_be_found(codec: Codec, sound: list) -> None:
    foreign = mutations.Mutant(seed=0, operator="none", mended=False, data=sound[2].data)
    with pytest.raises(mutations.Violation, match="a wrong picture"):
        mutations.judge(codec, foreign, [sound[0], sound[1]])
