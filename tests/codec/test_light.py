"""Other light on a reference: the right levels; what is written is read, and all else is refused."""

import numpy as np
import pytest

from clc.codec.references.light import LEAST_GAIN, MOST_GAIN, MOST_OFFSET, Light, pack_lights, read_lights
from clc.errors import BitstreamError

LEVELS = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
PLAIN = Light((64, 64, 64), (0, 0, 0))
DARKER = Light((48, 64, 90), (-9, 3, 30))


def test_without_gain_and_offset_nothing_changes() -> None:
    assert np.array_equal(PLAIN.on(LEVELS), LEVELS)


def test_gain_counts_from_the_middle_and_is_rounded_and_bounded() -> None:
    light = Light((128, 32, LEAST_GAIN), (0, 1, MOST_OFFSET))
    exact = (np.arange(256)[:, None] - 128) * np.array([2, 0.5, 0.25]) + np.array([128, 129, 128 + 255])
    assert np.array_equal(light.on(LEVELS)[0], np.floor(exact + 0.5).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "lights",
    [
        (DARKER,),
        (None, DARKER),
        (DARKER, None, Light((MOST_GAIN, LEAST_GAIN, 64), (-MOST_OFFSET, MOST_OFFSET, 0)), None, PLAIN),
    ],
)
def test_what_is_written_is_read(lights: tuple[Light | None, ...]) -> None:
    section = pack_lights(lights)
    assert read_lights(section, len(lights)) == lights
    assert len(section or b"") <= 1 + 11 * sum(light is not None for light in lights)


def test_references_as_they_are_take_no_section() -> None:
    assert pack_lights((None, None)) is None
    assert read_lights(None, 2) == (None, None)


def test_a_small_change_takes_seven_bytes() -> None:
    assert len(pack_lights((Light((62, 63, 64), (-9, -10, -10)),)) or b"") == 7


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (b"", "whose light"),
        (b"\0", "whose light"),
        (b"\4" + 6 * b"\0", "whose light"),  # a third of two
        (b"\1" + 5 * b"\0", "truncated"),
        (b"\1" + 7 * b"\0", "too many"),
        (b"\3" + 6 * b"\0", "truncated"),
        (b"\1\x7f" + 5 * b"\0", r"gain is 0"),
        (b"\1\x82\3" + 5 * b"\0", r"gain is 257"),
        (b"\1" + 5 * b"\0" + b"\x80\4", r"offset is 256"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section: bytes, problem: str) -> None:
    with pytest.raises(BitstreamError, match=problem):
        read_lights(section, 2)


def test_random_bytes_are_lights_or_an_error() -> None:
    generator = np.random.default_rng(0)
    read = 0
    for _ in range(2000):
        section = bytes([generator.integers(0, 4)]) + generator.integers(0, 128, 6, dtype=np.uint8).tobytes()
        try:
            lights = read_lights(section, 2)
        except BitstreamError:
            continue
        read += 1
        assert pack_lights(lights) == section
    assert read > 20
