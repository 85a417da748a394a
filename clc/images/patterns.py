"""Generated pictures that photos seldom show: gratings, screens, text, noise, stars, saturated edges.

A codec that learned from photos alone may fail on them, so training draws a share of its crops here, and tests and
benchmarks take them as the pictures that must not come out destroyed.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pattern = Callable[[np.random.Generator, int], NDArray[np.float64]]
"""(generator, s) → values in 0..1, [s, s] for a pattern of two colours or [s, s, 3]."""


def draw_pattern(name: str, generator: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """The pattern of `PATTERNS` with that name in random colours, period, angle and contrast: uint8 [size, size, 3]."""
    values = PATTERNS[name](generator, size)
    if values.ndim == 2:
        dark, light = _two_colours(generator)
        values = dark + values[..., None] * (light - dark)
    return _pixels(values)


def mixed_with(
    photo: NDArray[np.uint8], pattern: NDArray[np.uint8], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """A pattern beside or over a photo of the same size, uint8 [s, s, 3]: in one part of it, opaque or translucent."""
    height, width = photo.shape[:2]
    strength = 1.0 if generator.random() < 0.5 else generator.uniform(0.2, 1.0)
    rows, columns = np.mgrid[:height, :width]
    angle = generator.uniform(0, 2 * math.pi)
    across = (columns - width / 2) * math.cos(angle) + (rows - height / 2) * math.sin(angle)
    inside = across < generator.uniform(-0.25, 0.25) * max(height, width)
    share = (strength * inside)[..., None]
    return _pixels((photo + share * (pattern.astype(np.float64) - photo)) / 255.0)


def pattern_pictures(size: int, variants: int, seed: int = 0) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """`variants` of every pattern, the same whenever asked for: (name, uint8 [size, size, 3])."""
    for number, name in enumerate(PATTERNS):
        for variant in range(variants):
            generator = np.random.default_rng((seed, number, variant))
            yield f"{name}-{variant}", draw_pattern(name, generator, size)


def stage_picture(size: int = 512, seed: int = 5) -> NDArray[np.uint8]:
    """What a photo of a stage may look like: a fine bright mesh with specular spots beside saturated red, uint8
    [size, size, 3].
    """
    generator = np.random.default_rng(seed)
    rows, columns = _grid(size)
    period, angle = generator.uniform(2.2, 5), generator.uniform(0, math.pi)
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = rows * math.cos(angle) - columns * math.sin(angle)
    wires = np.maximum(np.cos(2 * math.pi * along / period), np.cos(2 * math.pi * across / period))
    light = 0.4 + 0.6 * np.sin(columns / 57) ** 2
    bright = 0.15 + 0.85 * np.clip(wires, 0, 1) ** 4 * light
    mesh = bright[..., None] * [0.9, 1.0, 0.95]
    mesh[generator.random((size, size)) < 0.01] = 1.0
    red = (0.5 + 0.5 * np.sin(columns / 23 + rows / 91))[..., None] * [1.0, 0.0, 0.0] + [0.0, 0.0, 0.02]
    return _pixels(np.where(columns[..., None] < size * 5 // 8, mesh, red))


def _pixels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


def _two_colours(generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Black and white, saturated ones, or any."""
    kind = generator.integers(3)
    if kind == 0:
        return np.zeros(3), np.ones(3)
    dark, light = generator.random((2, 3))
    return (np.round(dark), 1.0 - np.round(dark)) if kind == 1 else (dark, light)


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column numbers, [s, s] each."""
    rows, columns = np.mgrid[:size, :size]
    return rows.astype(np.float64), columns.astype(np.float64)


def _wave(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A sine of any angle and of a period from 2 to 32 pixels: -1..1."""
    rows, columns = _grid(size)
    angle = 0.0 if generator.random() < 0.3 else generator.uniform(0, math.pi)
    period = 2.0 * 16.0 ** generator.random()
    return np.sin(
        2 * math.pi / period * (columns * math.cos(angle) + rows * math.sin(angle)) + generator.uniform(0, 2 * math.pi)
    )


def _sharpened(wave: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """From a sine to a rectangle: 0..1."""
    return 0.5 + 0.5 * np.tanh(wave * 20.0 ** generator.random())


def _grating(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    return _sharpened(_wave(generator, size), generator)


def _mesh(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Two gratings across each other, with bright spots as metal has."""
    mesh = _sharpened(_wave(generator, size) * _wave(generator, size), generator)
    return np.maximum(mesh, generator.random((size, size)) < 0.02 * generator.random())


def _moire(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Circles whose distance falls below two pixels."""
    rows, columns = _grid(size)
    y, x = generator.uniform(-0.5, 1.5, 2) * size
    squared = (rows - y) ** 2 + (columns - x) ** 2
    return _sharpened(np.sin(squared * generator.uniform(0.2, 3.0) * math.pi / size), generator)


def _checkerboard(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    rows, columns = _grid(size)
    height, width = generator.choice([1, 1, 1, 2, 3, 5, 8, 16], 2)
    return (rows // height + columns // width) % 2


def _lines(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Alternating columns or rows, and lines one pixel wide at larger distances."""
    along = _grid(size)[generator.integers(2)]
    return (along % generator.choice([2, 2, 3, 4, 6, 9, 13]) == 0).astype(np.float64)


def _ramp(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A gradient of any angle: 0..1."""
    rows, columns = _grid(size)
    angle = generator.uniform(0, 2 * math.pi)
    along = columns * math.cos(angle) + rows * math.sin(angle)
    return (along - along.min()) / np.ptp(along)


def _gradient(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    return np.stack([_ramp(generator, size) * generator.random() + generator.random() * 0.3 for _ in range(3)], axis=2)


def _dithered(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Ordered dithering of a gradient with a Bayer matrix of 4×4 or 8×8."""
    matrix = np.zeros((1, 1))
    for _ in range(generator.integers(2, 4)):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    repeated = np.tile((matrix + 0.5) / matrix.size, (size // len(matrix) + 1,) * 2)[:size, :size]
    return (_ramp(generator, size) > repeated).astype(np.float64)


def _halftone(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Dots of a printing screen, one screen a colour."""
    rows, columns = _grid(size)
    period = generator.uniform(2.5, 9.0)
    screens = []
    for angle in np.radians([15.0, 75.0, 0.0]):
        u, v = columns * math.cos(angle) + rows * math.sin(angle), rows * math.cos(angle) - columns * math.sin(angle)
        dots = 0.25 * (2 + np.cos(2 * math.pi * u / period) + np.cos(2 * math.pi * v / period))
        screens.append(dots > _ramp(generator, size))
    return np.stack(screens, axis=2).astype(np.float64)


def _text(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    canvas = Image.new("L", (size, size))
    painter = ImageDraw.Draw(canvas)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ 0123456789 .,;:/()[]{}#%&+- "))
    top = 0
    while top < size:
        height = int(generator.integers(7, 24))
        line = "".join(generator.choice(letters, size))
        painter.text((int(generator.integers(-8, 8)), top), line, fill=255, font=ImageFont.load_default(height))
        top += height + int(generator.integers(0, 6))
    return np.asarray(canvas) / 255.0


def _modules(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Random squares with three finder marks: what a QR code looks like."""
    module = int(generator.integers(1, 9))
    side = -(-size // module)
    code = generator.integers(0, 2, (side, side))
    ring = np.ones((7, 7), dtype=int)
    ring[1:6, 1:6] = 0
    ring[2:5, 2:5] = 1
    if side >= 14:
        code[:7, :7] = code[:7, -7:] = code[-7:, :7] = ring
    return np.kron(code, np.ones((module, module)))[:size, :size]


def _noise(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Gaussian, uniform, binary or impulse noise, in grey or in colour."""
    shape = (size, size, 3) if generator.random() < 0.5 else (size, size)
    kind = generator.integers(4)
    if kind == 0:
        return 0.5 + generator.normal(size=shape) * generator.uniform(0.02, 0.5)
    if kind == 1:
        return generator.random(shape)
    binary = (generator.random(shape) < generator.uniform(0.02, 0.5)).astype(np.float64)
    return binary if kind == 2 else np.where(generator.random(shape) < 0.1, binary, 0.5)


def _stars(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Points of light on black, most of one pixel."""
    sky = np.zeros((size, size, 3))
    for y, x in generator.integers(0, size, (int(size * size * generator.uniform(0.001, 0.03)), 2)):
        reach = int(generator.integers(1, 3)) if generator.random() < 0.2 else 1
        sky[y : y + reach, x : x + reach] = 0.5 + 0.5 * generator.random(3)
    return sky


def _leds(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A wall of lights in red, green and blue, side by side."""
    rows, columns = _grid(size)
    pitch = int(generator.integers(3, 10))
    lit = (rows % pitch < max(1, pitch - 2)).astype(np.float64)
    phase = (columns % pitch * 3 // pitch).astype(int)
    brightness = _ramp(generator, size)
    return np.stack([lit * (phase == colour) * brightness for colour in range(3)], axis=2)


def _saturated_edges(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Patches of pure colours with straight sharp edges."""
    rows, columns = _grid(size)
    regions = np.zeros((size, size), dtype=int)
    for bit in range(4):
        angle = generator.uniform(0, 2 * math.pi)
        across = (columns - size / 2) * math.cos(angle) + (rows - size / 2) * math.sin(angle)
        regions |= (across > generator.uniform(-0.3, 0.3) * size).astype(int) << bit
    return generator.integers(0, 2, (16, 3)).astype(np.float64)[regions]


def _line_art(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Lines of one pixel in any direction."""
    canvas = Image.new("L", (size, size))
    painter = ImageDraw.Draw(canvas)
    for ends in generator.integers(0, size, (int(generator.integers(5, 200)), 4)).tolist():
        painter.line(ends, fill=255)
    return np.asarray(canvas) / 255.0


PATTERNS: dict[str, Pattern] = {
    "grating": _grating,
    "mesh": _mesh,
    "moire": _moire,
    "checkerboard": _checkerboard,
    "lines": _lines,
    "dithered": _dithered,
    "halftone": _halftone,
    "text": _text,
    "modules": _modules,
    "noise": _noise,
    "stars": _stars,
    "leds": _leds,
    "saturated-edges": _saturated_edges,
    "line-art": _line_art,
    "gradient": _gradient,
}
