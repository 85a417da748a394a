"""Decoded pictures are kept, and what is kept is never another picture than decoding gives."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.lossless import lossless_file, read_lossless
from clc.codec.references import picture_cache
from clc.codec.references.picture_cache import PictureCache, key_of
from clc.codec.references.picture_folder import PictureFolder
from clc.codec.stream_header import NO_DICTIONARY, Header
from clc.errors import BitstreamError
from tests.conftest import picture

MODEL = "0123456789abcdef"


class Decoder:
    """It decodes, and counts."""

    def __init__(self) -> None:
        self.decoded = 0

    def __call__(self, stream: bytes) -> NDArray[np.uint8]:
        self.decoded += 1
        read = Bitstream.from_bytes(stream)
        assert read.picture is not None
        return read_lossless(read.picture, read.header.height, read.header.width)


def stream_of(pixels: NDArray[np.uint8]) -> bytes:
    header = Header(MODEL, NO_DICTIONARY, *pixels.shape[:2], quality=90.0, references=0, index_bits=0)
    entries = np.empty((0, 0), dtype=np.int64)
    return Bitstream(header, entries, None, None, 0, picture=lossless_file(pixels)).to_bytes()


PICTURES = [picture(seed, 48, 64) for seed in range(4)]
STREAMS = [stream_of(each) for each in PICTURES]


def test_a_picture_is_decoded_once() -> None:
    cache, decode = PictureCache(None), Decoder()
    for _ in range(3):
        for stream, pixels in zip(STREAMS, PICTURES, strict=True):
            assert np.array_equal(cache.picture(stream, MODEL, decode), pixels)
    assert decode.decoded == len(STREAMS)


def test_what_somebody_else_decoded_is_not_decoded_again() -> None:
    cache, decode, shared = PictureCache(None), Decoder(), PICTURES[0].copy()
    cache.remember(STREAMS[0], MODEL, shared)
    shared[:] = 0
    assert np.array_equal(cache.picture(STREAMS[0], MODEL, decode), PICTURES[0])
    assert decode.decoded == 0
    cache.picture(STREAMS[0], MODEL[::-1], decode)
    assert decode.decoded == 1


def test_nobody_can_change_what_others_get() -> None:
    shared = PICTURES[0].copy()
    cache = PictureCache(None)
    first = cache.picture(STREAMS[0], MODEL, lambda _: shared)
    shared[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0, 0] = 1
    assert np.array_equal(cache.picture(STREAMS[0], MODEL, Decoder()), PICTURES[0])


def test_what_was_not_used_for_longest_leaves_memory_first() -> None:
    cache, decode = PictureCache(None, limit=2 * PICTURES[0].nbytes), Decoder()
    for number in (0, 1, 0, 2, 0):  # 2 takes the place of 1
        cache.picture(STREAMS[number], MODEL, decode)
    assert decode.decoded == 3
    cache.picture(STREAMS[1], MODEL, decode)
    assert decode.decoded == 4


def test_what_is_larger_than_memory_may_be_is_decoded_each_time() -> None:
    cache, decode = PictureCache(None, limit=PICTURES[0].nbytes - 1), Decoder()
    for _ in range(2):
        assert np.array_equal(cache.picture(STREAMS[0], MODEL, decode), PICTURES[0])
    assert decode.decoded == 2


def test_the_folder_outlives_the_process(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cache") / "pictures"
    PictureCache(PictureFolder(folder)).picture(STREAMS[0], MODEL, Decoder())
    decode = Decoder()
    later = PictureCache(PictureFolder(folder)).picture(STREAMS[0], MODEL, decode)
    assert np.array_equal(later, PICTURES[0])
    assert decode.decoded == 0
    with pytest.raises(ValueError, match="read-only"):
        later[0, 0, 0] = 1


def test_stream_model_and_format_make_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {key_of(STREAMS[0], MODEL), key_of(STREAMS[1], MODEL), key_of(STREAMS[0], MODEL[::-1])}
    monkeypatch.setattr(picture_cache, "PICTURE_FORMAT", picture_cache.PICTURE_FORMAT + 1)
    assert len(keys | {key_of(STREAMS[0], MODEL)}) == 4


def test_a_damaged_stream_is_not_remembered() -> None:
    cache = PictureCache(None)
    damaged = STREAMS[0][:-20]
    for _ in range(2):
        with pytest.raises(BitstreamError):
            cache.picture(damaged, MODEL, Decoder())
