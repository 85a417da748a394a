"""Encoders that are programs of their own: measured where they are installed, a stated gap where they are not.

Their seconds include starting the program and handing pictures over as files.
"""

import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.errors import ImageError
from clc.evaluation.codecs.external_encoder import run_encoder
from clc.evaluation.codecs.yuv import from_yuv420, to_yuv420

JPEG_XL_QUALITIES = (5, 15, 30, 50, 70, 85, 92)
HEVC_QUALITIES = (5, 15, 25, 35, 45, 55, 65)
VVC_QUALITIES = (16, 21, 26, 31, 36, 41)


@dataclass(frozen=True)
class JpegXl:
    """JPEG XL by cjxl at its default effort."""

    qualities: tuple[float, ...] = JPEG_XL_QUALITIES
    name: str = "JPEG XL"
    settings: str = "cjxl, effort 7"
    programs: tuple[str, ...] = ("cjxl", "djxl")
    package: str = "libjxl-tools"

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """Raises ImageError if the program fails."""
        with TemporaryDirectory() as folder:
            source, target = _png(image, folder), Path(folder, "out.jxl")
            run_encoder(["cjxl", str(source), str(target), "-q", f"{quality:g}", "-e", "7"])
            return _read(target)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Raises ImageError if the program fails."""
        return _decoded_png("djxl", data, ".jxl")


@dataclass(frozen=True)
class Hevc:
    """HEVC intra by x265 in a HEIF file: what BPG is, in the container that replaced it."""

    qualities: tuple[float, ...] = HEVC_QUALITIES
    name: str = "HEVC"
    settings: str = "heif-enc (x265), preset slow, tuned for PSNR, 4:4:4"
    programs: tuple[str, ...] = ("heif-enc", "heif-convert")
    package: str = "libheif-examples"

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """Raises ImageError if the program fails."""
        with TemporaryDirectory() as folder:
            source, target = _png(image, folder), Path(folder, "out.heic")
            options = ["-p", "preset=slow", "-p", "tune=psnr", "-p", "chroma=444"]
            run_encoder(["heif-enc", "-q", f"{quality:g}", *options, "-o", str(target), str(source)])
            return _read(target)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Raises ImageError if the program fails."""
        return _decoded_png("heif-convert", data, ".heic")


@dataclass(frozen=True)
class Vvc:
    """VVC intra by VVenC, which codes chroma at half resolution only; a quality is 63 - QP.

    A bare stream knows its size only to the next even number, so height and width are put before it: four bytes more.
    """

    qualities: tuple[float, ...] = VVC_QUALITIES
    name: str = "VVC"
    settings: str = "vvencapp, preset medium, no perceptual adaptation, 4:2:0, 10 bit, QP = 63 − quality"
    programs: tuple[str, ...] = ("vvencapp", "vvdecapp")
    package: str = "vvenc and vvdec of Fraunhofer HHI"

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        """Raises ImageError if the program fails, and for sides beyond 65,535 pixels."""
        height, width = image.shape[:2]
        if max(height, width) > _MAX_SIDE:
            raise ImageError(f"VVC is measured up to {_MAX_SIDE:,} pixels a side; this image has {width}×{height}")
        even = f"{width + width % 2}x{height + height % 2}"
        with TemporaryDirectory() as folder:
            source, target = Path(folder, "in.yuv"), Path(folder, "out.266")
            source.write_bytes(to_yuv420(image))
            options = ["--preset", "medium", "--qp", f"{63 - quality:g}", "--qpa", "0", "--frames", "1"]
            run_encoder(
                ["vvencapp", "-i", str(source), "-s", even, "--format", "yuv420_10", *options, "-o", str(target)]
            )
            return _SIZE.pack(height, width) + _read(target)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Raises ImageError if the program fails."""
        if len(data) < _SIZE.size:
            raise ImageError("a VVC file is truncated: its size is missing")
        height, width = _SIZE.unpack_from(data)
        with TemporaryDirectory() as folder:
            source, target = Path(folder, "in.266"), Path(folder, "out.yuv")
            source.write_bytes(data[_SIZE.size :])
            run_encoder(["vvdecapp", "-b", str(source), "-o", str(target)])
            return from_yuv420(_read(target), height, width)


ProgramCodec = JpegXl | Hevc | Vvc

_SIZE = struct.Struct("<HH")
_MAX_SIDE = 2**16 - 1


def why_missing(codec: ProgramCodec) -> str | None:
    """Which programs of a codec are not on PATH, and how to get them; None if it can be measured."""
    missing = [program for program in codec.programs if shutil.which(program) is None]
    return f"{' and '.join(missing)} not on PATH; install {codec.package} to measure it" if missing else None


def _png(image: NDArray[np.uint8], folder: str) -> Path:
    path = Path(folder, "in.png")
    Image.fromarray(image).save(path, compress_level=1)
    return path


def _decoded_png(program: str, data: bytes, suffix: str) -> NDArray[np.uint8]:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, f"in{suffix}"), Path(folder, "out.png")
        source.write_bytes(data)
        run_encoder([program, str(source), str(target)])
        try:
            with Image.open(target, formats=["PNG"]) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError) as error:
            raise ImageError(f"{program} wrote no picture: {error}") from error


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"the encoder or decoder wrote no file: {error}") from error
    if not data:
        raise ImageError(f"the encoder or decoder wrote an empty file {path.name}")
    return data
