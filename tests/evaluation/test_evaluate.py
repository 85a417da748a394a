import math
import time

import numpy as np
import pytest
from pydantic import ValidationError

from clc.codec.codec import Codec
from clc.errors import ImageError, SourceError
from clc.evaluation.codecs.builtin import Clc, Jpeg, WebP
from clc.evaluation.compare.summary import image_rows
from clc.evaluation.measure.evaluate import EvaluationConfig, measure
from clc.evaluation.measure.metrics import ms_ssim
from clc.images import Photo
from clc.images.psnr import psnr
from clc.store import Store


@pytest.mark.medium
def test_a_row_for_every_photo_codec_and_quality(run, store, photos_of, picture):
    version = run(store, photos_of({"a": picture(0), "b": picture(1)})).version

    assert [(row.image_id, row.codec, row.quality) for row in image_rows(version)] == [
        (image_id, codec, quality)
        for image_id in ("a", "b")
        for codec, qualities in [
            ("clc", (30, 70)),
            ("clc, no references", (30, 70)),
            ("JPEG", (20, 80)),
            ("WebP", (20, 80)),
        ]
        for quality in qualities
    ]
    assert version.attributes["photos"] == 2


def test_sizes_and_qualities_are_those_of_files_that_anyone_can_make(run, store, photos_of, picture, codec):
    image = picture(0)
    adapters = {each.name: each for each in (Clc(codec), Clc(codec, references=False), Jpeg(), WebP())}

    for row in image_rows(run(store, photos_of({"a": image})).version):
        data = adapters[row.codec].encode(image, row.quality)
        decoded = adapters[row.codec].decode(data)
        assert (row.bytes, row.bpp) == (len(data), 8 * len(data) / (176 * 192))
        assert (row.height, row.width) == image.shape[:2]
        assert (row.psnr, row.ms_ssim) == pytest.approx((psnr(image, decoded), ms_ssim(image, decoded)))
        assert min(row.encode_seconds, row.decode_seconds) > 0.0


@pytest.mark.medium
def test_what_qualities_have_in_common_is_done_once_and_counted_at_each(codec, picture, monkeypatch):
    analyse, calls = codec.encoder.analyse, []

    def slow(*arguments, **options):
        calls.append(arguments)
        time.sleep(2.0)
        return analyse(*arguments, **options)

    monkeypatch.setattr(codec.encoder, "analyse", slow)
    photo = Photo("a", picture(0), source="tests", licence="made for the tests")
    rows = measure(photo, Clc(codec, qualities=(30, 70)))
    assert len(calls) == 1
    assert all(row.encode_seconds > 2.0 for row in rows)
    assert [row.bytes for row in rows] == [len(Clc(codec).encode(photo.pixels, quality)) for quality in (30, 70)]


@pytest.mark.medium
def test_the_id_of_a_result_does_not_depend_on_timings(run, tmp_path, photos_of, picture):
    photos = photos_of({"a": picture(0)})
    first, second = (run(Store(tmp_path / name), photos).version for name in ("one", "two"))

    assert first.id == second.id
    assert [row.encode_seconds for row in image_rows(first)] != [row.encode_seconds for row in image_rows(second)]


@pytest.mark.medium
def test_the_same_work_is_not_done_twice(run, store, photos_of, picture, config):
    photos = photos_of({"a": picture(0)})
    first = run(store, photos)

    assert not first.skipped
    assert run(store, photos).skipped
    assert not run(store, photos_of({"a": picture(1)})).skipped
    assert not run(store, photos, config=config.model_copy(update={"jpeg_qualities": ()})).skipped


def test_a_codec_that_fails_on_a_photo_leaves_a_gap_with_its_name(run, store, photos_of, picture):
    black = np.zeros((64, 64, 3), np.uint8)  # the retriever of these tests fails on it

    version = run(store, photos_of({"black": black, "a": picture(0)})).version

    coded = {(row.image_id, row.codec) for row in image_rows(version)}
    assert ("black", "clc") not in coded
    assert {("black", "clc, no references"), ("black", "JPEG"), ("a", "clc")} <= coded
    assert version.statistics["failures"] == [
        {"image_id": "black", "codec": "clc", "reason": "nothing in the dictionary is like a black tile"}
    ]


def test_an_encoder_that_is_not_installed_leaves_a_gap_with_its_name(
    run, store, photos_of, picture, config, monkeypatch
):
    monkeypatch.setenv("PATH", "")
    version = run(
        store, photos_of({"a": picture(0)}), config=config.model_copy(update={"hevc_qualities": (30,)})
    ).version

    assert "HEVC" not in {row.codec for row in image_rows(version)}
    assert version.statistics["missing"] == [
        {
            "codec": "HEVC",
            "reason": "heif-enc and heif-convert not on PATH; install libheif-examples to measure it",
        }
    ]


@pytest.mark.medium
def test_a_program_that_is_installed_is_measured(run, store, photos_of, picture, config, needs):
    needs("cjxl", "djxl")
    changed = config.model_copy(update={"jpeg_xl_qualities": (30, 80), "avif_qualities": (30, 60)})
    version = run(store, photos_of({"a": picture(0)}), config=changed).version

    assert version.statistics["missing"] == []
    rows = {(row.codec, row.quality): row for row in image_rows(version)}
    assert {("AVIF", 30), ("AVIF", 60), ("JPEG XL", 30), ("JPEG XL", 80)} <= rows.keys()
    assert rows["JPEG XL", 30].peak_memory is None
    assert {row["codec"] for row in version.table("panels").to_pylist()} >= {"AVIF", "JPEG XL"}


def test_a_codec_that_decodes_another_size_is_an_error(picture):
    class Cropping(Jpeg):
        def decode(self, data):
            return super().decode(data)[:-1]

    with pytest.raises(ImageError, match=r"192×176 pixels to one of shape \(175, 192, 3\)"):
        measure(Photo("a", picture(0), source="tests", licence="made for the tests"), Cropping((50,)))


def test_a_photo_that_cannot_be_decoded_is_skipped_with_its_name(run, store, photos_of, picture):
    version = run(store, photos_of({"broken": b"\x89PNG, or not", "a": picture(0)})).version

    assert {row.image_id for row in image_rows(version)} == {"a"}
    assert [photo["image_id"] for photo in version.statistics["skipped"]] == ["broken"]


def test_there_is_nothing_to_evaluate_if_no_photo_can_be_decoded(run, store, photos_of):
    with pytest.raises(SourceError, match="memory:photos"):
        run(store, photos_of({"broken": b""}))


def test_a_photo_too_small_for_ms_ssim_has_none(run, store, photos_of, picture):
    version = run(store, photos_of({"small": picture(0, height=100)})).version

    assert all(math.isnan(row.ms_ssim) and math.isfinite(row.psnr) for row in image_rows(version))


def test_a_codec_without_a_dictionary_is_measured_without_references_only(run, store, photos_of, picture, codec):
    version = run(store, photos_of({"a": picture(0)}), codec=Codec(codec.model, codec.model_id)).version

    assert [each["name"] for each in version.attributes["codecs"]] == ["clc, no references", "JPEG", "WebP"]
    assert version.attributes["dictionary"] is None


@pytest.mark.parametrize(
    "field",
    [{"jpeg_qualities": (0, 50)}, {"clc_qualities": ()}, {"avif_qualities": (50, 50)}, {"vvc_qualities": (64,)}],
)
def test_a_configuration_out_of_range_is_refused(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        EvaluationConfig(**field)
