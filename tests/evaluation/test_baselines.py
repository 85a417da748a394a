import io

import numpy as np
import pytest
from PIL import Image

from clc.codec.bitstream import Bitstream
from clc.errors import ImageError
from clc.evaluation.codecs.builtin import Avif, Clc, Jpeg, WebP
from clc.images.psnr import psnr


@pytest.mark.parametrize("baseline", [Jpeg(), WebP(), Avif()], ids=["JPEG", "WebP", "AVIF"])
def test_a_higher_quality_gives_a_larger_file_and_a_better_picture(baseline, picture):
    image = picture(0)
    files = [baseline.encode(image, quality) for quality in (10, 90)]
    qualities = [psnr(image, baseline.decode(data)) for data in files]

    assert len(files[0]) < len(files[1])
    assert 20 < qualities[0] < qualities[1]


def test_jpeg_has_chroma_at_half_resolution(picture):
    with Image.open(io.BytesIO(Jpeg().encode(picture(0), 50))) as image:
        horizontal_and_vertical = [component[1:3] for component in image.layer]

    assert horizontal_and_vertical == [(2, 2), (1, 1), (1, 1)]


def test_an_image_beyond_the_limits_of_a_format_is_an_image_error():
    with pytest.raises(ImageError, match="16400×1"):
        WebP().encode(np.zeros((1, 16400, 3), np.uint8), 50)
    with pytest.raises(ImageError, match="70000×8"):
        Avif().encode(np.zeros((8, 70000, 3), np.uint8), 50)


@pytest.mark.parametrize("baseline", [Jpeg(), WebP(), Avif()], ids=["JPEG", "WebP", "AVIF"])
def test_a_damaged_file_is_an_image_error(baseline):
    with pytest.raises(ImageError, match="cannot be decoded"):
        baseline.decode(b"not an image")


def test_clc_with_references_codes_them_into_the_file_and_without_does_not(codec, picture):
    image = picture(0)
    with_references, without = Clc(codec), Clc(codec, references=False)

    assert (with_references.name, without.name) == ("clc", "clc, no references")
    assert Bitstream.from_bytes(with_references.encode(image, 50)).entries.tolist() == [[0, 1, 2]]
    assert Bitstream.from_bytes(without.encode(image, 50)).header.references == 0
    assert without.decode(without.encode(image, 50)).shape == image.shape


@pytest.mark.medium
def test_references_that_do_not_pay_can_be_used_to_show_them(run, store, photos_of, picture, reluctant_codec, config):
    photos = photos_of({"a": picture(0)})
    for always in (False, True):
        asked = config.model_copy(update={"always_references": always})
        version = run(store, photos, codec=reluctant_codec, config=asked).version
        shown = {panel["codec"]: panel["references"] for panel in version.table("panels").to_pylist()}
        assert (shown["clc"] is not None) == always
        assert shown["clc, no references"] is None
