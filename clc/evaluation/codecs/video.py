"""Photos as frames of a video: what one more frame takes after frames that a decoder has.

x265 as its users would set it for that: the frames before it are coded finer, by four quantiser steps, and nothing
refers to the last. libaom comes with Pillow, which sets one quality for all frames of an AVIF sequence.
Seconds include those frames, which a decoder decodes, too.
"""

import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from clc.errors import ImageError
from clc.evaluation.codecs.external_encoder import run_encoder
from clc.evaluation.codecs.yuv import from_yuv444, to_yuv444

MAX_REFERENCES = 15
"""Frames that one of HEVC can refer to."""
_FINER = 4  # quantiser steps between the frames before and the last
_START_CODE = re.compile(rb"\x00?\x00\x00\x01")

Picture = NDArray[np.uint8]


class FrameCodec(Protocol):
    """A video codec, with the qualities that it is measured at."""

    @property
    def name(self) -> str:
        """What tables and legends call it."""

    @property
    def qualities(self) -> tuple[float, ...]:
        """In the codec's own unit, ascending in quality."""

    @property
    def settings(self) -> str:
        """Which encoder it is and how it is set, for people."""

    def code(self, photo: Picture, before: Sequence[Picture], quality: float) -> tuple[int, Picture]:
        """uint8 [H, W, 3], and at most `MAX_REFERENCES` others of that size → bytes of its frame alone, and what is
        decoded. Raises ImageError if the encoder fails.
        """

    def why_missing(self) -> str | None:
        """Why it cannot be measured here, and what to do about it; None if it can."""


@dataclass(frozen=True)
class X265Frame:
    """HEVC by x265; a quality is 51 − QP."""

    qualities: tuple[float, ...] = (8, 14, 20, 26)
    name: str = "x265 inter"
    settings: str = "preset slow, 4:4:4, 8 bit, all references in the stream at QP − 4, bytes of the last frame alone"

    def code(self, photo: Picture, before: Sequence[Picture], quality: float) -> tuple[int, Picture]:
        """As `FrameCodec.code`."""
        height, width = photo.shape[:2]
        quantiser = round(51 - quality)
        kinds = ["I", *"P" * len(before)]
        finer = [max(quantiser - _FINER, 0)] * len(before)
        with TemporaryDirectory() as folder:
            source, coded, shown, plan = (Path(folder, name) for name in ("in.yuv", "out.hevc", "out.yuv", "qp.txt"))
            source.write_bytes(b"".join(map(to_yuv444, [*before, photo])))
            rows = enumerate(zip(kinds, [*finer, quantiser], strict=True))
            plan.write_text("".join(f"{number} {kind} {qp}\n" for number, (kind, qp) in rows))
            options = ["--input-res", f"{width}x{height}", "--fps", "1", "--input-csp", "i444", "--preset", "slow"]
            options += ["--bframes", "0", "--keyint", "-1", "--no-scenecut", "--ref", str(max(len(before), 1))]
            options += ["--no-info", "--pools", "1", "--frame-threads", "1", "--slices", "1", "--qpfile", str(plan)]
            options += ["--qp", str(quantiser), "--no-open-gop", "--allow-non-conformance"]  # more than 8 references
            run_encoder(["x265", "--input", str(source), *options, "--output", str(coded), "--recon", str(shown)])
            return _last_frame_bytes(coded.read_bytes()), from_yuv444(_last(shown, photo.size), height, width)

    def why_missing(self) -> str | None:
        """As `FrameCodec.why_missing`."""
        return None if shutil.which("x265") else "x265 not on PATH; install x265 to measure it"


@dataclass(frozen=True)
class AomFrame:
    """AV1 by libaom: what an AVIF sequence takes more with the photo at its end."""

    qualities: tuple[float, ...] = (10, 30, 50, 70)
    name: str = "libaom inter"
    settings: str = "Pillow's AVIF sequences, speed 4, 4:4:4, one quality, bytes that the last frame adds"

    def code(self, photo: Picture, before: Sequence[Picture], quality: float) -> tuple[int, Picture]:
        """As `FrameCodec.code`."""
        whole = _sequence([*before, photo], quality)
        others = len(_sequence(before, quality)) if before else 0
        with Image.open(io.BytesIO(whole), formats=["AVIF"]) as image:
            image.seek(len(before))
            return max(1, len(whole) - others), np.asarray(image.convert("RGB"))

    def why_missing(self) -> str | None:
        """As `FrameCodec.why_missing`."""
        return None if features.check("avif") else "this Pillow has no AVIF; install one that has, to measure it"


def frame_codecs() -> list[FrameCodec]:
    """Those that are compared, here or not."""
    return [X265Frame(), AomFrame()]


def nearest(photo: Picture, others: Sequence[Picture], number: int) -> list[Picture]:
    """The `number` pictures that look most like a photo, by squared error, the most alike last: encoders look there
    first. Pictures of another size cannot be frames of its video.
    """
    alike = [other for other in others if other.shape == photo.shape]
    return sorted(alike, key=lambda other: _distance(photo, other))[:number][::-1]


def _distance(photo: Picture, other: Picture) -> float:
    return float(np.square(np.subtract(photo, other, dtype=np.float32)).mean())


def _last_frame_bytes(stream: bytes) -> int:
    """Bytes of the last frame's slices in an HEVC byte stream, start code included."""
    starts = [found.start() for found in _START_CODE.finditer(stream)]
    if not starts:
        raise ImageError("x265 wrote a stream without a frame; measure without it")
    return len(stream) - starts[-1]


def _last(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(-size, io.SEEK_END)
        return file.read()


def _sequence(pictures: Sequence[Picture], quality: float) -> bytes:
    file = io.BytesIO()
    first, *others = map(Image.fromarray, pictures)
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(file, "AVIF", quality=round(quality), subsampling="4:4:4", speed=4, max_threads=1, **more)
    return file.getvalue()
