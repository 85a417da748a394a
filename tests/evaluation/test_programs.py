import stat
from pathlib import Path

import numpy as np
import pytest

from clc.errors import ImageError
from clc.evaluation.codecs.programs import Hevc, JpegXl, Vvc, why_missing
from clc.images.psnr import psnr

PROGRAMS = pytest.mark.parametrize("codec", [JpegXl(), Hevc(), Vvc()], ids=["JPEG XL", "HEVC", "VVC"])


@PROGRAMS
def test_a_higher_quality_gives_a_larger_file_and_a_better_picture(codec, picture, needs):
    needs(*codec.programs)
    image = picture(0, height=175, width=191)  # odd sides come back as they were
    files = [codec.encode(image, quality) for quality in (codec.qualities[0], codec.qualities[-1])]
    qualities = [psnr(image, codec.decode(data)) for data in files]

    assert len(files[0]) < len(files[1])
    assert 20 < qualities[0] < qualities[1]


@PROGRAMS
def test_a_damaged_file_is_an_image_error(codec, needs):
    needs(*codec.programs)

    with pytest.raises(ImageError, match=codec.programs[1]):
        codec.decode(b"not an image of any kind")


@PROGRAMS
def test_a_program_that_is_not_installed_is_named_with_what_to_install(codec, monkeypatch):
    monkeypatch.setenv("PATH", "")

    assert f"{codec.programs[0]} and {codec.programs[1]} not on PATH" in why_missing(codec)
    assert codec.package in why_missing(codec)
    with pytest.raises(ImageError, match=codec.programs[0]):
        codec.encode(np.zeros((8, 8, 3), np.uint8), codec.qualities[0])


def install(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@PROGRAMS
def test_an_encoder_that_crashes_or_writes_nothing_is_an_image_error(codec, tmp_path, monkeypatch):
    image = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setenv("PATH", str(tmp_path))

    install(tmp_path, codec.programs[0], "echo first >&2; echo out of tiles >&2; exit 3")
    with pytest.raises(ImageError, match="failed with status 3: out of tiles"):
        codec.encode(image, 30)
    install(tmp_path, codec.programs[0], "exit 0")
    with pytest.raises(ImageError, match="wrote no file"):
        codec.encode(image, 30)


def test_vvc_is_asked_for_the_quantiser_and_gets_even_sides(tmp_path, monkeypatch):
    install(tmp_path, "vvencapp", 'for last; do :; done; echo "$*" > "$last"')
    monkeypatch.setenv("PATH", str(tmp_path))

    data = Vvc().encode(np.zeros((7, 9, 3), np.uint8), 26)

    assert data[:4] == bytes([7, 0, 9, 0])
    assert b"-s 10x8 --format yuv420_10" in data
    assert b"--qp 37" in data
