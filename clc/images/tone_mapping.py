"""HDR pictures (ITU-R BT.2100, PQ or HLG) → sRGB.

Reference white (203 cd/m², ITU-R BT.2408) is as bright as sRGB's white; from a knee below it on, light rolls off by the
curve of ITU-R BT.2390, section 5.4.1, on the largest of R, G and B, so that hues stay.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from clc.images.icc_profile import SRGB, Chromaticities

_REFERENCE_WHITE = 203.0  # cd/m²
_NOMINAL_PEAK = 1000.0  # of HLG's display, and of what is mastered in PQ unless it is brighter
_ROWS = 256  # converted at a time


class Transfer(IntEnum):
    """H.273's TransferCharacteristics of HDR."""

    PQ = 16
    HLG = 18


def tone_mapped(pixels: NDArray[np.uint8], transfer: Transfer, colours: Chromaticities) -> NDArray[np.uint8]:
    """HDR numbers uint8 [H, W, 3] of these primaries → sRGB uint8 [H, W, 3]."""
    to_srgb = np.linalg.inv(SRGB.to_xyz()) @ colours.to_xyz()
    levels = np.arange(256) / 255
    light = _pq_light(levels) if transfer is Transfer.PQ else _hlg_scene(levels)
    peak = max(_NOMINAL_PEAK, float(light[pixels.max(initial=0)])) if transfer is Transfer.PQ else _NOMINAL_PEAK
    result = np.empty_like(pixels)
    for top in range(0, len(pixels), _ROWS):
        linear = light[pixels[top : top + _ROWS]]
        if transfer is Transfer.HLG:
            luminance = linear @ colours.to_xyz()[1]
            linear *= (_NOMINAL_PEAK * np.maximum(luminance, 1e-6) ** 0.2)[..., None]
        linear *= _roll_off(linear.max(axis=-1), peak)[..., None]
        result[top : top + _ROWS] = _srgb_numbers(linear @ to_srgb.T)
    return result


def _roll_off(brightest: NDArray[np.float64], peak: float) -> NDArray[np.float64]:
    """What light in cd/m² is multiplied by, so that `peak` becomes 1."""
    light = np.linspace(0.0, 1.0, 1025) ** 3 * peak
    target, source = _pq_number(np.array([_REFERENCE_WHITE, peak]))
    limit = target / source
    knee = 1.5 * limit - 0.5
    number = _pq_number(light) / source
    t = np.clip((number - knee) / (1 - knee), 0.0, 1.0)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * limit
    shown = _pq_light(np.where(number < knee, number, spline) * source)
    factor = np.full_like(light, 1 / _REFERENCE_WHITE)
    np.divide(shown / _REFERENCE_WHITE, light, out=factor, where=light > 1e-4)
    return np.interp(brightest, light, factor)


def _pq_light(number: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084: 0 … 1 → cd/m²."""
    root = np.maximum(number, 0.0) ** (32 / 2523)
    return 10_000 * (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)


def _pq_number(light: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (light / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def _hlg_scene(number: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.2100: 0 … 1 → scene light 0 … 1."""
    return np.where(number <= 0.5, number**2 / 3, (np.exp((number - 0.55991073) / 0.17883277) + 0.28466892) / 12)


def _srgb_numbers(linear: NDArray[np.float64]) -> NDArray[np.uint8]:
    clipped = np.clip(linear, 0.0, 1.0)
    curve = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)
