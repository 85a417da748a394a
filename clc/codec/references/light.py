"""A reference photo in other light, or at another exposure: a gain and an offset for each channel of its pixels.

sRGB values are nearly a power of what a sensor counts, so another exposure multiplies them. An affine map for each
channel leaves as much as a free curve does. All of it is arithmetic on integers, the same on every machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.codec.packing import check_range, pack_signed, read_signed
from clc.errors import BitstreamError

GAIN_STEPS = 64
"""Gains are in steps of 1/GAIN_STEPS."""
LEAST_GAIN, MOST_GAIN = GAIN_STEPS // 4, GAIN_STEPS * 4
MOST_OFFSET = 255
_MIDDLE = 128  # the level that a gain alone leaves as it is
_CHANNELS = 3
_LEVELS = np.arange(256)


@dataclass(frozen=True)
class Light:
    """gains: of red, green and blue, in steps; offsets: levels.

    >>> brighter = Light((128, 64, 64), (0, 0, -8))
    >>> brighter.on(np.array([[[100, 100, 100], [200, 0, 5]]], dtype=np.uint8)).tolist()
    [[[72, 100, 92], [255, 0, 0]]]
    """

    gains: tuple[int, int, int]
    offsets: tuple[int, int, int]

    def on(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 [H, W, 3], as this light shows them."""
        shown = np.empty_like(pixels)
        for channel, (gain, offset) in enumerate(zip(self.gains, self.offsets, strict=True)):
            middle = GAIN_STEPS * (_MIDDLE + offset) + GAIN_STEPS // 2
            levels = ((_LEVELS - _MIDDLE) * gain + middle) // GAIN_STEPS
            shown[..., channel] = levels.clip(0, 255).astype(np.uint8)[pixels[..., channel]]
        return shown


Lights = tuple[Light | None, ...]
"""One for each reference; None where it is seen as it is."""


def pack_lights(lights: Lights) -> bytes | None:
    """The section light of a stream; None if every reference is seen as it is."""
    if not any(lights):
        return None
    has = sum(1 << place for place, light in enumerate(lights) if light is not None)
    numbers = ((*(gain - GAIN_STEPS for gain in each.gains), *each.offsets) for each in lights if each is not None)
    return bytes([has]) + b"".join(pack_signed(value) for each in numbers for value in each)


def read_lights(section: bytes | None, references: int) -> Lights:
    """One for each reference. Raises BitstreamError for a section that makes no sense."""
    if section is None:
        return (None,) * references
    if not section or not 0 < section[0] < 1 << references:
        raise BitstreamError("section light does not say whose light it is")
    lights: list[Light | None] = []
    position = 1
    for place in range(references):
        if not section[0] >> place & 1:
            lights.append(None)
            continue
        values = []
        for _ in range(2 * _CHANNELS):
            value, position = read_signed(section, position)
            values.append(value)
        gains = [GAIN_STEPS + value for value in values[:_CHANNELS]]
        for gain, offset in zip(gains, values[_CHANNELS:], strict=True):
            check_range("a reference's gain", gain, LEAST_GAIN, MOST_GAIN)
            check_range("a reference's offset", offset, -MOST_OFFSET, MOST_OFFSET)
        lights.append(Light((gains[0], gains[1], gains[2]), (values[3], values[4], values[5])))
    if position != len(section):
        raise BitstreamError(f"section light has {len(section) - position} bytes too many")
    return tuple(lights)
