"""Photos as frames: the bytes are of the last frame alone, and fewer where frames before it show the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.errors import ImageError
from clc.evaluation.codecs.video import MAX_REFERENCES, FrameCodec, X265Frame, frame_codecs, nearest
from clc.evaluation.codecs.yuv import from_yuv444, to_yuv444
from clc.images import open_source, read_photos
from clc.images.psnr import psnr

HERE = [codec for codec in frame_codecs() if codec.why_missing() is None]


@pytest.fixture(scope="module")
def scene() -> list[NDArray[np.uint8]]:
    """The same place three times: light and noise differ."""
    photo = next(read_photos(open_source("bundled?split=test"), []))
    place = photo.pixels[:192, :192].astype(np.float64)
    generator = np.random.default_rng(0)
    seen = [place * gain + generator.normal(0, 1.5, place.shape) for gain in (1.0, 0.97, 1.02)]
    return [np.clip(np.rint(each), 0, 255).astype(np.uint8) for each in seen]


@pytest.mark.medium
@pytest.mark.parametrize("codec", HERE, ids=lambda codec: codec.name)
def test_a_frame_takes_less_after_others_of_its_place(codec: FrameCodec, scene: list[NDArray[np.uint8]]) -> None:
    quality = codec.qualities[-2]
    alone, shown_alone = codec.code(scene[0], [], quality)
    after, shown = codec.code(scene[0], scene[1:], quality)
    assert after < 0.5 * alone
    assert shown.shape == scene[0].shape
    assert psnr(scene[0], shown) > 28
    assert psnr(scene[0], shown_alone) > 28


@pytest.mark.medium
@pytest.mark.parametrize("codec", HERE, ids=lambda codec: codec.name)
def test_qualities_ascend(codec: FrameCodec, scene: list[NDArray[np.uint8]]) -> None:
    points = [codec.code(scene[0], scene[1:], quality) for quality in codec.qualities[::3]]
    assert points[0][0] < points[1][0]
    assert psnr(scene[0], points[0][1]) < psnr(scene[0], points[1][1])


@pytest.mark.medium
@pytest.mark.parametrize("codec", HERE, ids=lambda codec: codec.name)
def test_as_many_references_as_are_offered_can_be_coded(codec: FrameCodec, scene: list[NDArray[np.uint8]]) -> None:
    size, shown = codec.code(scene[0], scene[1:2] * MAX_REFERENCES, codec.qualities[1])
    assert size > 0
    assert psnr(scene[0], shown) > 25


def test_the_most_alike_come_last_and_other_sizes_not_at_all(scene: list[NDArray[np.uint8]]) -> None:
    other = 255 - scene[0]
    found = nearest(scene[0], [scene[1], other, scene[2], scene[1][:100]], 2)
    distances = [float(np.square(each.astype(float) - scene[0]).mean()) for each in found]
    assert len(found) == 2
    assert distances == sorted(distances, reverse=True)
    assert not any(np.array_equal(each, other) for each in found)


def test_an_encoder_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "install x265" in (X265Frame().why_missing() or "")
    with pytest.raises(ImageError, match="x265 cannot be run"):
        X265Frame().code(np.zeros((64, 64, 3), np.uint8), [], 20)


def test_frames_in_full_colour_come_back_but_for_rounding() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    again = from_yuv444(to_yuv444(picture), 6, 9)
    assert np.abs(again.astype(int) - picture).max() <= 2
    with pytest.raises(ImageError, match="9×6 in 4:4:4"):
        from_yuv444(b"short", 6, 9)
