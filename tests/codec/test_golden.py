"""Streams that were written long ago decode to what they decoded to then."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clc.codec.bitstream import Bitstream
from clc.codec.references.lookup import stated_alignment
from clc.codec.references.protocols import Alignment
from clc.codec.stream_header import Scope
from clc.errors import BitstreamError
from clc.images import read_image
from tests.codec.golden_files import (
    ALIGNED,
    APART,
    BLENDED,
    CORNERS,
    DISPLACED,
    FIRST,
    FOLDER,
    IMAGES,
    IN_OTHER_LIGHT,
    LIT,
    REFINED,
    VERSION_6,
    golden_codec,
)
from tests.codec.golden_syntax_files import SYNTAX, golden_syntax_codec


@pytest.mark.parametrize("name", [*IMAGES, "aligned"])
def test_a_golden_stream_decodes_to_its_picture(name: str) -> None:
    decoded = golden_codec().decompress((FOLDER / f"{name}.clc").read_bytes())  # raises if ŷ differs in one bit
    expected = read_image(FOLDER / f"{name}.png")
    assert decoded.shape == expected.shape
    # After the last symbol, machines may round differently.
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("name", "references"), [("alone", 0), ("tiles", 2)])
def test_what_was_coded_without_references_by_networks_of_its_own_decodes(name: str, references: int) -> None:
    data = (APART / f"{name}.clc").read_bytes()
    assert Bitstream.from_bytes(data).header.references == references
    decoded = golden_codec(folder=APART).decompress(data)
    assert np.abs(decoded.astype(int) - read_image(APART / f"{name}.png")).max() <= 1


NAMES_6 = [*IMAGES, "aligned", "blocks-beside", "blocks-alone", "lossless"]


@pytest.mark.parametrize("name", NAMES_6)
def test_a_golden_stream_of_version_6_decodes_to_its_picture(name: str) -> None:
    decoded = golden_codec().decompress((VERSION_6 / f"{name}.clc").read_bytes())
    expected = read_image(VERSION_6 / f"{name}.png")
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize("name", ["with", "without"])
def test_a_golden_stream_of_a_model_with_a_syntax_decodes_to_its_picture(name: str, post: bool) -> None:
    data = (SYNTAX / f"{name}.clc").read_bytes()
    assert (Bitstream.from_bytes(data).syntax is not None) == (name == "with")
    decoded = golden_syntax_codec().decompress(data, post=post)  # raises if a number differs
    expected = read_image(SYNTAX / f"{name}{'-post' if post else ''}.png")
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 1


def test_golden_streams_of_version_6_hold_what_their_names_say() -> None:
    streams = {name: Bitstream.from_bytes((VERSION_6 / f"{name}.clc").read_bytes()) for name in NAMES_6}
    assert all(streams[name].blocks for name in ("blocks-beside", "blocks-alone"))
    assert streams["blocks-beside"].hyper is not None
    assert {name for name, stream in streams.items() if stream.hyper is None} == {"blocks-alone", "lossless"}
    assert {name for name, stream in streams.items() if stream.picture} == {"lossless"}
    assert {name for name, stream in streams.items() if stream.corners is not None} == {"aligned"}


@pytest.mark.parametrize(
    ("path", "made"),
    [
        (DISPLACED / "refined", REFINED),
        (IN_OTHER_LIGHT / "lit", LIT),
        (BLENDED / "blended", LIT),
        (FIRST / "first", LIT),
    ],
)
def test_a_golden_stream_with_views_decodes_to_its_picture(path: Path, made: Alignment) -> None:
    data = path.with_suffix(".clc").read_bytes()
    alignment = stated_alignment(Bitstream.from_bytes(data))
    assert alignment is not None
    for before, after in zip(made.views, alignment.views, strict=True):
        assert np.array_equal(after.corners, before.corners)
        assert after.light == before.light
        assert (after.displacements is None) == (before.displacements is None)
        if before.displacements is not None and after.displacements is not None:
            assert after.displacements.spacing == before.displacements.spacing
            assert np.array_equal(after.displacements.values, before.displacements.values)
    decoded = golden_codec().decompress(data)  # raises if a reference differs in one bit
    assert np.abs(decoded.astype(int) - read_image(path.with_suffix(".png"))).max() <= 1


@pytest.mark.parametrize("name", IMAGES)
def test_a_golden_stream_says_how_it_was_made(name: str) -> None:
    height, width, quality, references, whole_image = IMAGES[name]
    header = Bitstream.from_bytes((FOLDER / f"{name}.clc").read_bytes()).header
    assert (header.height, header.width, header.quality) == (height, width, quality)
    assert header.references == (2 if references else 0)
    assert header.scope is (Scope.IMAGE if whole_image else Scope.TILE)


def test_a_blended_golden_stream_says_so_and_shows_something_else() -> None:
    stream = Bitstream.from_bytes((BLENDED / "blended.clc").read_bytes())
    assert stream.header.scope is Scope.BLENDED
    assert not np.array_equal(read_image(BLENDED / "blended.png"), read_image(IN_OTHER_LIGHT / "lit.png"))


def test_of_a_golden_stream_whose_prior_knows_the_first_photo_the_other_is_seen_only() -> None:
    stream = Bitstream.from_bytes((FIRST / "first.clc").read_bytes())
    assert (stream.header.scope, stream.header.references, stream.header.known) == (Scope.FIRST, 2, 1)
    alignment = stated_alignment(stream)
    assert alignment is not None
    used = golden_codec().lookup.aligned(alignment, stream.header.height, stream.header.width, stream.header.known)
    assert used.latents is not None
    assert used.seen is not None
    assert (used.latents.shape[1], len(used.seen)) == (1, 2)
    as_if_all_were_known = replace(stream, header=replace(stream.header, scope=Scope.BLENDED))
    with pytest.raises(BitstreamError, match="damaged"):
        golden_codec().decompress(as_if_all_were_known.to_bytes())


def test_an_aligned_golden_stream_says_how() -> None:
    stream = Bitstream.from_bytes((FOLDER / "aligned.clc").read_bytes())
    assert stream.header.scope is Scope.ALIGNED
    assert stream.entries.tolist() == [ALIGNED.entries.tolist()]
    assert np.array_equal(stream.corners, CORNERS)


@pytest.mark.parametrize(
    ("folder", "version", "digest"),
    [
        (FOLDER, 4, "a257224e4b6d510e8e4abb94a46688a7d9eb99fb4b443ac54685b0e60a05ec67"),
        (FOLDER, 5, "51bd97d11eb0f06401d990486106c496c59344485fef92df575835b766118416"),
        (VERSION_6, 6, "694a63f40941c3e608fe7a166f67e65f0cedcfa2c5e014c8216e603153610419"),
        (APART, 4, "5586cb249408765e50f2078f7d932b2c4e05d3913791b639cbf121c31f658f53"),
        (DISPLACED, 6, "0fa26994eb4c25cc0ca6eb637ae1c18dd176a07e1ac77c731607e5aad4734894"),
        (IN_OTHER_LIGHT, 6, "bccb53c3a2bd6d95f86facf34d870759ed3359e80abf05191b54689b5483d6e4"),
        (BLENDED, 6, "5703fbccd791ef060faa3a1b8a812ce315d1477652a170d24d6f5d6790aa3449"),
        (FIRST, 6, "9d585ab0d095e589ea213ad52fa65a826013d4185009b1aa74975e6776310fe6"),
        (SYNTAX, 6, "da0b237d219f2a6c67da02b6338d28c7ba1c697d79a77dce54a0f801bccb798c"),
    ],
)
def test_the_golden_files_are_those_of_their_format_version(folder: Path, version: int, digest: str) -> None:
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and (version == 6 or (path.stem == "aligned") == (version == 5)):
            found.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    assert found.hexdigest() == digest
