"""A target is met by the file that is written and the picture that comes back, or refused with what can be had."""

import doctest
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.codec.codec import Codec
from clc.codec.coded_image import Analysis, CodedImage
from clc.codec.decisions import targets
from clc.codec.decisions.targets import MAX_ATTEMPTS, TOLERANCE, Compressed, Metric, Target, compress_to, search_quality
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.stored_quality import stored_quality
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import ProfileError
from clc.evaluation.measure.metrics import bits_per_pixel
from clc.images import read_image
from clc.images.psnr import psnr
from tests.commands.conftest import Call, assert_refused
from tests.conftest import World

pytestmark = pytest.mark.usefixtures("network_only")  # whose rate rises smoothly with the quality


class CountingEncoder(Encoder):
    """Counts what a search makes it do."""

    analyses = 0
    codings = 0

    def analyse(self, image: NDArray[np.uint8], *, references: bool) -> Analysis:
        self.analyses += 1
        return super().analyse(image, references=references)

    def code(self, analysis: Analysis, quality: float, *, always: bool = False, effort: int = 0) -> CodedImage:
        self.codings += 1
        return super().code(analysis, quality, always=always, effort=effort)


@pytest.fixture(scope="module")
def opened(world: World) -> Codec:
    return open_encoder(world.store, world.model, world.dictionary)[0]


@pytest.fixture
def encoder(opened: Codec) -> CountingEncoder:
    return CountingEncoder(FrozenModel(opened.model, opened.model_id), opened.lookup, opened.retriever)


@pytest.fixture(scope="module")
def photo(world: World) -> NDArray[np.uint8]:
    return read_image(world.test_photos / "photo-100.png")[:256, :256]


def measure(codec: Codec, photo: NDArray[np.uint8], metric: Metric, quality: float, references: bool) -> float:
    data = codec.compress(photo, quality=quality, references=references)
    if metric is Metric.BPP:
        return bits_per_pixel(len(data), *photo.shape[:2])
    return psnr(photo, codec.decompress(data))


def curve(metric: Metric, bend: float) -> Callable[[float], Compressed]:
    """A codec that costs nothing to search: from 0.1 to 4 bpp and 25 to 45 dB, more or less bent, in whole steps."""

    def attempt(quality: float) -> Compressed:
        stored = stored_quality(quality)
        share = ((stored - 1) / 99) ** bend
        psnr = 25.0 + 20.0 * share if metric is Metric.PSNR else None
        return Compressed(b"", stored, bpp=0.1 * 40.0**share, psnr=psnr)

    return attempt


@pytest.mark.parametrize("bend", [0.9, 1.0, 2.5])
@pytest.mark.parametrize("metric", [Metric.BPP, Metric.PSNR])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0])
def test_a_target_within_reach_is_met_in_few_attempts(metric: Metric, share: float, bend: float) -> None:
    codec, tried = curve(metric, bend), []
    lowest, highest = (codec(quality).measured(metric) for quality in (1, 100))
    goal = lowest ** (1 - share) * highest**share

    def attempt(quality: float) -> Compressed:
        tried.append(quality)
        return codec(quality)

    assert abs(search_quality(attempt, Target(metric, goal)).measured(metric) / goal - 1) <= TOLERANCE
    assert len(tried) == len(set(tried)) <= MAX_ATTEMPTS


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("metric", [Metric.BPP, Metric.PSNR])
def test_a_target_out_of_reach_is_refused_with_what_can_be_reached(metric: Metric, factor: float) -> None:
    codec = curve(metric, 1.0)
    lowest, highest = (codec(quality).measured(metric) for quality in (1, 100))
    goal = (lowest if factor < 1 else highest) * factor
    with pytest.raises(ProfileError, match=f"{metric} {goal:g}.* {lowest:.4g} to {highest:.4g} can be reached"):
        search_quality(codec, Target(metric, goal))


def test_a_target_just_out_of_reach_is_met_at_the_end() -> None:
    codec = curve(Metric.BPP, 1.0)
    highest = codec(100).bpp
    assert search_quality(codec, Target(Metric.BPP, highest * (1 + TOLERANCE / 2))).quality == 100


@pytest.mark.medium
@pytest.mark.parametrize(("metric", "references"), [(Metric.BPP, True), (Metric.PSNR, False)])
def test_a_photo_meets_its_target_from_one_analysis(
    opened: Codec, encoder: CountingEncoder, photo: NDArray[np.uint8], metric: Metric, references: bool
) -> None:
    lowest, highest = (measure(opened, photo, metric, quality, references) for quality in (1, 100))
    target = Target(metric, (lowest * highest) ** 0.5)
    result = compress_to(encoder, photo, target, references=references)
    reached = measure(opened, photo, metric, result.quality, references)
    assert reached == result.measured(metric)
    assert abs(reached / target.value - 1) <= TOLERANCE
    assert encoder.codings <= MAX_ATTEMPTS
    assert encoder.analyses == 1


@pytest.mark.medium
def test_a_photo_that_cannot_meet_it_is_refused_with_what_it_can(
    opened: Codec, encoder: CountingEncoder, photo: NDArray[np.uint8]
) -> None:
    lowest, highest = (measure(opened, photo, Metric.BPP, quality, True) for quality in (1, 100))
    with pytest.raises(ProfileError, match=f"{lowest:.4g} to {highest:.4g} can be reached"):
        compress_to(encoder, photo, Target(Metric.BPP, 2 * highest))


def test_the_psnr_is_that_of_the_picture_that_comes_back(
    opened: Codec, encoder: CountingEncoder, photo: NDArray[np.uint8]
) -> None:
    goal = measure(opened, photo, Metric.PSNR, 70, True)
    result = compress_to(encoder, photo, Target.choose(psnr=goal))
    assert result.psnr == psnr(photo, opened.decompress(result.data))


def test_a_quality_is_coded_once_as_by_the_codec_itself(
    opened: Codec, encoder: CountingEncoder, photo: NDArray[np.uint8]
) -> None:
    result = compress_to(encoder, photo, Target.choose(quality=33.3))
    assert (encoder.analyses, encoder.codings, result.quality) == (1, 1, 33.3)
    assert result.data == opened.compress(photo, quality=33.3)


def test_nothing_given_is_quality_50() -> None:
    assert Target.choose() == Target(Metric.QUALITY, 50.0)


@pytest.mark.parametrize("target", [Target(Metric.PSNR, 40.0), Target(Metric.BPP, 3.0)])
def test_a_lossless_picture_is_accepted_where_nothing_is_better(target: Target) -> None:
    def attempt(quality: float) -> Compressed:
        lossless = quality >= 30
        return Compressed(b"", quality, bpp=1.0, psnr=130.0 if lossless else 20.0, lossless=lossless)

    assert search_quality(attempt, target).lossless


def test_a_lossless_picture_larger_than_asked_for_is_refused() -> None:
    with pytest.raises(ProfileError, match="can be reached"):
        search_quality(lambda quality: Compressed(b"", quality, bpp=1.0, lossless=True), Target(Metric.BPP, 0.5))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"quality": 50, "bpp": 1}, "quality and bpp contradict each other"),
        ({"bpp": 1, "psnr": 30}, "bpp and psnr contradict each other"),
        ({"bpp": 0}, "bpp must be a number above 0"),
        ({"psnr": -3}, "psnr must be a number above 0"),
        ({"psnr": math.inf}, "psnr must be a number above 0"),
        ({"bpp": math.nan}, "bpp must be a number above 0"),
        ({"quality": 101}, "between 1 and 100"),
        ({"quality": math.nan}, "between 1 and 100"),
    ],
)
def test_what_no_image_can_be_is_refused(options: dict[str, float], wanted: str) -> None:
    with pytest.raises(ProfileError, match=wanted):
        Target.choose(**options)


def test_the_examples_run_as_written() -> None:
    result = doctest.testmod(targets)
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.fixture
def photo_file(photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture
def clc(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("CLC_STORE", world.store.url)
    return Call(capsys, monkeypatch)


def test_the_command_writes_a_file_of_the_size_asked_for(
    clc: Call, opened: Codec, photo: NDArray[np.uint8], photo_file: Path, tmp_path: Path
) -> None:
    goal = measure(opened, photo, Metric.BPP, 40, True)
    code, out, _ = clc("compress", photo_file, tmp_path / "a.clc", "--bpp", goal)
    size = (tmp_path / "a.clc").stat().st_size
    assert code == 0
    assert abs(bits_per_pixel(size, *photo.shape[:2]) / goal - 1) <= TOLERANCE
    assert f"{size} bytes" in out


def test_the_command_says_the_psnr_that_it_reached(
    clc: Call, opened: Codec, photo: NDArray[np.uint8], photo_file: Path, tmp_path: Path
) -> None:
    goal = measure(opened, photo, Metric.PSNR, 40, True)
    arguments = ("compress", photo_file, tmp_path / "a.clc", "--psnr", goal)
    code, out, _ = clc(*arguments)
    reached = psnr(photo, opened.decompress((tmp_path / "a.clc").read_bytes()))
    assert code == 0
    assert f"{reached:.2f} dB" in out


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(["--bpp", 1000], "can be reached"), (["--bpp", 1, "--quality", 50], "contradict"), (["--psnr", 0], "above 0")],
)
def test_the_command_refuses_in_one_line_and_writes_nothing(
    clc: Call, photo_file: Path, tmp_path: Path, options: list[object], wanted: str
) -> None:
    assert_refused(clc("compress", photo_file, tmp_path / "a.clc", *options), wanted)
    assert list(tmp_path.iterdir()) == []
