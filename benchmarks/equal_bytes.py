"""`python -m benchmarks.equal_bytes docs/equal-bytes.png`: one photo at equal bytes, by JPEG, AVIF and CLC.

CLC codes it twice: alone and with a dictionary. The photo is the right view of the bundled stereo pair. The dictionary
is built from the bundled reference photos, the left view among them, and is not in the bytes. Every picture is what
comes back from a file. PSNR is of the whole photo.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import clc
from benchmarks.printing import print_machine, print_table
from clc.dictionary.build import build_dictionary
from clc.errors import ClcError
from clc.evaluation.codecs.builtin import Avif, ImageCodec, Jpeg
from clc.images import open_source, read_photos
from clc.images.psnr import psnr
from clc.production.profile import load_profile
from clc.store import Store

_PHOTO, _REFERENCE = "motorcycle_right", "motorcycle_left"
_CROP = (316, 132, 460, 324)  # left, upper, right, lower: engine, spokes and tank
_ZOOM = 2
_WIDTH, _MARGIN, _LABEL = 1200, 12, 64
_INK, _PAPER, _FRAME = (20, 20, 20), (255, 255, 255), (230, 30, 30)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Shown:
    """A file of the photo, and the pixels [H, W, 3] that come back from it."""

    name: str
    data: bytes
    pixels: Pixels


def main() -> int:
    """0, or 2 if the picture cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal_bytes", description=__doc__)
    parser.add_argument("output", type=Path, metavar="PNG")
    parser.add_argument("--bytes", type=int, help="of each file, at most; default: what CLC takes with the dictionary")
    parser.add_argument("--quality", type=float, default=40.0, help="of CLC with the dictionary, without --bytes")
    parser.add_argument("--model", default="default")
    parser.add_argument("--source", default="bundled?split=reference", help="photos that the dictionary is built from")
    options = parser.parse_args()
    print_machine()
    try:
        bundled = {photo.image_id: photo.pixels for photo in read_photos(open_source("bundled"), [])}
        photo, reference = bundled[_PHOTO], bundled[_REFERENCE]
        with tempfile.TemporaryDirectory() as folder:
            shown = _coded(photo, options, Path(folder))
    except ClcError as error:
        print(error, file=sys.stderr)
        return 2
    rows = [[each.name, len(each.data), f"{psnr(photo, each.pixels):.2f}"] for each in shown]
    print_table(["codec", "bytes", "PSNR, dB"], rows)
    _drawn(photo, reference, shown).save(options.output)
    return 0


def _coded(photo: Pixels, options: argparse.Namespace, folder: Path) -> list[_Shown]:
    """By all four, at no more bytes than asked for."""
    store, profile = Store(folder), load_profile("collection")
    dictionary = build_dictionary(
        open_source(options.source),
        crop_config=profile.crop,
        feature_config=profile.features,
        reduce_config=profile.reduce,
        cluster_config=profile.cluster,
        index_config=profile.index,
        store=store,
    ).version
    codec = clc.load(options.model, store=folder, dictionary=dictionary.id)

    def ours(references: bool) -> Callable[[int], bytes]:
        return lambda hundredths: codec.compress(photo, quality=hundredths / 100, references=references)

    def others(other: ImageCodec) -> Callable[[int], bytes]:
        return lambda quality: other.encode(photo, quality)

    if options.bytes is None:
        with_dictionary = codec.compress(photo, quality=options.quality)
    else:
        with_dictionary = _largest(ours(True), options.bytes, 100, 10_000)
    size = options.bytes or len(with_dictionary)
    jpeg, avif = Jpeg(), Avif()
    files = {
        "JPEG": _largest(others(jpeg), size, 1, 95),
        "AVIF": _largest(others(avif), size, 0, 100),
        "CLC alone": _largest(ours(False), size, 100, 10_000),
        "CLC with a dictionary": with_dictionary,
    }
    decoders: tuple[Callable[[bytes], object], ...] = (jpeg.decode, avif.decode, codec.decompress, codec.decompress)
    return [
        _Shown(name, data, np.asarray(decode(data)))
        for (name, data), decode in zip(files.items(), decoders, strict=True)
    ]


def _largest(encode: Callable[[int], bytes], size: int, lowest: int, highest: int) -> bytes:
    """The file of the highest quality that takes `size` bytes at most; that of the lowest where none does."""
    best = encode(lowest)
    while lowest < highest:
        quality = (lowest + highest + 1) // 2
        data = encode(quality)
        if len(data) <= size:
            best, lowest = data, quality
        else:
            highest = quality - 1
    return best


def _drawn(photo: Pixels, reference: Pixels, shown: list[_Shown]) -> Image.Image:
    """The crop of each in a row; below, the photo with the crop's place, and its reference."""
    column = (_WIDTH - _MARGIN) // len(shown)
    width, height = _ZOOM * (_CROP[2] - _CROP[0]), _ZOOM * (_CROP[3] - _CROP[1])
    half = (_WIDTH - 3 * _MARGIN) // 2
    below = round(half * photo.shape[0] / photo.shape[1])
    second_row = _MARGIN + height + _LABEL
    sheet = Image.new("RGB", (_WIDTH, second_row + below + _LABEL), _PAPER)
    draw = ImageDraw.Draw(sheet)

    def label(x: int, y: int, title: str, text: str) -> None:
        draw.text((x, y + 6), title, _INK, font=ImageFont.load_default(20))
        draw.text((x, y + 32), text, _INK, font=ImageFont.load_default(17))

    for index, each in enumerate(shown):
        left = _MARGIN + index * column
        crop = Image.fromarray(each.pixels).crop(_CROP).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(crop, (left, _MARGIN))
        label(left, _MARGIN + height, each.name, f"{len(each.data):,} bytes, {psnr(photo, each.pixels):.1f} dB")

    framed = Image.fromarray(photo)
    ImageDraw.Draw(framed).rectangle(_CROP, outline=_FRAME, width=3)
    texts = (
        (framed, "The photo", "Framed: what the row above shows"),
        (Image.fromarray(reference), "Its reference, in the dictionary", "Taken from a little further left"),
    )
    for index, (picture, title, text) in enumerate(texts):
        left = _MARGIN + index * (half + _MARGIN)
        sheet.paste(picture.resize((half, below), Image.Resampling.LANCZOS), (left, second_row))
        label(left, second_row + below, title, text)
    return sheet


if __name__ == "__main__":
    sys.exit(main())
