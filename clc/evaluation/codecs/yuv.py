"""RGB pictures as raw video of one frame and back: 4:2:0 in 10 bit, or 4:4:4 in 8; full range, coefficients of BT.601
as in JPEG.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.errors import ImageError

_PEAK = 1023.0
_TO_YUV = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], np.float64
)
_TO_RGB = np.linalg.inv(_TO_YUV)
_OFFSET = np.array([0.0, 0.5, 0.5])


def to_yuv420(image: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W, 3] → planes Y, U, V of 16-bit little-endian samples; odd sides are extended by their last row."""
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    planes = even / 255.0 @ _TO_YUV.T + _OFFSET
    chroma = planes[..., 1:].reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 2).mean(axis=(1, 3))
    return b"".join(_samples(plane) for plane in (planes[..., 0], chroma[..., 0], chroma[..., 1]))


def from_yuv420(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The picture uint8 [height, width, 3] of such a frame. Raises ImageError for data of another size."""
    rows, columns = height + height % 2, width + width % 2
    samples = np.frombuffer(data, "<u2", count=len(data) // 2).astype(np.float64) / _PEAK
    if 2 * len(samples) != len(data) or len(samples) != rows * columns * 3 // 2:
        raise ImageError(f"a decoded frame has {len(data):,} bytes, which is not {columns}×{rows} in 4:2:0 and 10 bit")
    luma, *chroma = np.split(samples, [rows * columns, rows * columns * 5 // 4])
    planes = [luma.reshape(rows, columns)]
    for plane in chroma:
        half = Image.fromarray(plane.reshape(rows // 2, columns // 2).astype(np.float32))
        planes.append(np.asarray(half.resize((columns, rows), Image.Resampling.BICUBIC), np.float64))
    rgb = (np.stack(planes, axis=2) - _OFFSET) @ _TO_RGB.T
    return np.clip(np.rint(255.0 * rgb), 0, 255).astype(np.uint8)[:height, :width]


def to_yuv444(image: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W, 3] → planes Y, U, V of 8-bit samples."""
    planes = image.astype(np.float64) @ _TO_YUV.T + 256.0 * _OFFSET
    return np.clip(np.rint(planes), 0, 255).astype(np.uint8).transpose(2, 0, 1).tobytes()


def from_yuv444(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The picture uint8 [height, width, 3] of such a frame. Raises ImageError for data of another size."""
    if len(data) != 3 * height * width:
        raise ImageError(f"a decoded frame has {len(data):,} bytes, which is not {width}×{height} in 4:4:4 and 8 bit")
    planes = np.frombuffer(data, np.uint8).reshape(3, height, width).transpose(1, 2, 0)
    rgb = (planes.astype(np.float64) - 256.0 * _OFFSET) @ _TO_RGB.T
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _samples(plane: NDArray[np.float64]) -> bytes:
    return np.clip(np.rint(_PEAK * plane), 0, _PEAK).astype("<u2").tobytes()
