"""What a `results` artifact holds.

Table `images` has one row for each photo, codec and quality; table `panels` the pictures of a few photos, one row for
each codec. Rates and qualities are the identity of the artifact. Timings and memory differ from run to run, and
pictures follow from the rest, so they stay outside it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from clc.store import DERIVED


@dataclass(frozen=True)
class ImageRow:
    """One photo, coded and decoded once.

    height, width: pixels; bytes: the whole file; bpp: bits per pixel; psnr: dB, inf if lossless; ms_ssim: nan if the
    photo is too small for it; encode_seconds, decode_seconds: wall clock; peak_memory: bytes that both took at most
    (`clc.evaluation.measure.memory`), None where that is not known.
    """

    image_id: str
    codec: str
    quality: float
    height: int
    width: int
    bytes: int
    bpp: float
    psnr: float
    ms_ssim: float
    encode_seconds: float
    decode_seconds: float
    peak_memory: int | None = None


@dataclass(frozen=True)
class PanelRow:
    """One photo beside what a codec makes of it; pictures are lossless WebP at display size.

    references: a sheet of what was used of the dictionary, None where nothing was or can be shown; trust: how much
    of each place came from them, black to white; referred: whether references were used, None where that was not noted.
    """

    image_id: str
    codec: str
    quality: float
    bpp: float
    psnr: float
    original: bytes
    reconstruction: bytes
    references: bytes | None
    trust: bytes | None = None
    referred: bool | None = None


IMAGES_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("codec", pa.string()),
        ("quality", pa.float64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("bytes", pa.int64()),
        ("bpp", pa.float64()),
        ("psnr", pa.float64()),
        ("ms_ssim", pa.float64()),
        pa.field("encode_seconds", pa.float64(), metadata=DERIVED),
        pa.field("decode_seconds", pa.float64(), metadata=DERIVED),
        pa.field("peak_memory", pa.int64(), metadata=DERIVED),
    ]
)

PANELS_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("codec", pa.string()),
        ("quality", pa.float64()),
        ("bpp", pa.float64()),
        ("psnr", pa.float64()),
        pa.field("original", pa.binary(), metadata=DERIVED),
        pa.field("reconstruction", pa.binary(), metadata=DERIVED),
        pa.field("references", pa.binary(), metadata=DERIVED),
        pa.field("trust", pa.binary(), metadata=DERIVED),
        pa.field("referred", pa.bool_(), metadata=DERIVED),
    ]
)


def to_table(rows: Sequence[ImageRow | PanelRow], schema: pa.Schema) -> pa.Table:
    """The rows as an Arrow table of the given schema."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
