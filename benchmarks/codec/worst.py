"""The worst blocks of photos, patterns and searched inputs: none may be destroyed, at any quality.

Patterns are generated (clc/images/patterns.py), alone and over photos. Searched inputs come from gradient ascent,
through the frozen model, on the error of the worst block. Photos are those of all packs in the folder that CLC_DATA
names. Each is coded at every quality, with references and without. Promises:

- ŷ differs from the latent by at most 0.51 quantisation steps, wherever the network has a part in the file;
- PSNR never falls by more than 0.02 dB as the quality rises; pictures above 50 dB count as equal;
- from quality 50 on, no block of 16×16 pixels is more than 6 dB worse than in a JPEG file of the same size (4:2:0,
  optimised tables; the smallest that is not smaller). Errors of less than one level of 255 count as one level.

Rows of a group say how often the safety net acted, and how many bytes its blocks took.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.codec import subject
from benchmarks.codec.search import searched_pictures
from benchmarks.data import pack
from benchmarks.printing import print_table
from clc.codec.codec import Codec
from clc.codec.references.protocols import NO_REFERENCES
from clc.codec.safety.block_errors import block_errors
from clc.images import open_source, read_photos
from clc.images.jpeg import jpeg_file, read_jpeg
from clc.images.patterns import mixed_with, pattern_pictures, stage_picture
from clc.images.psnr import psnr
from clc.runtime.cores import available_cores

_LARGEST_ERROR = 0.51
_FALL = 0.02
_EQUAL_FROM = 50.0
_JPEG_FROM = 50.0
_WORSE = 6.0
_VISIBLE = 1.0
_SIZE = 256
_TOGETHER = 64
_REFERENCES = {"no": (False,), "yes": (True,), "both": (True, False)}
_HEADING = (
    *("pictures", "references", "number", "files", "|ŷ − y|, steps", "PSNR falls by, dB"),
    *("worse than JPEG's block by, dB", "worst block, dB", "mended", "linear", "lossless", "blocks, % of bytes"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --variants, --searched, --packs, --qualities, --references, --processes."""
    subject.add_options(parser)
    parser.add_argument("--variants", type=int, default=4, help="of each pattern, alone and over photos")
    parser.add_argument("--searched", type=int, default=200, help="searched inputs")
    parser.add_argument("--packs", nargs="*", help="packs of photos; default: all in CLC_DATA")
    parser.add_argument("--qualities", type=float, nargs="+", default=[10.0, 30.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0])
    parser.add_argument("--references", choices=_REFERENCES, default="both")
    parser.add_argument("--processes", type=int, default=available_cores())


@dataclass(frozen=True)
class _Picture:
    group: str
    name: str
    pixels: NDArray[np.uint8]


@dataclass
class _Findings:
    """Of some pictures: what was measured, and what broke a promise."""

    pictures: int = 0
    coded: int = 0
    error: float = 0.0
    fall: float = 0.0
    worse: float = -math.inf
    worst_block: float = math.inf
    bytes: int = 0
    block_bytes: int = 0
    acted: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, other: "_Findings") -> None:
        """Take in those of another picture."""
        self.pictures += other.pictures
        self.coded += other.coded
        self.error, self.fall = max(self.error, other.error), max(self.fall, other.fall)
        self.worse, self.worst_block = max(self.worse, other.worse), min(self.worst_block, other.worst_block)
        self.bytes += other.bytes
        self.block_bytes += other.block_bytes
        self.acted += other.acted
        self.broken += other.broken


def run(options: argparse.Namespace) -> int:
    """Print a row per group, with references and without; 1 if a promise is broken."""
    versions = subject.open_subject(options)
    found: dict[tuple[str, bool], _Findings] = {}
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes, _start, (options,)) as pool:
        pictures = _pictures(options, versions.codec())
        # Some at a time: a pool takes all that it can get, and memory with it.
        while some := list(itertools.islice(pictures, _TOGETHER)):
            for group, measured in pool.imap_unordered(_measure, some):
                for references, findings in measured.items():
                    found.setdefault((group, references), _Findings()).add(findings)
                    for line in findings.broken:
                        print(f"BROKEN: {line}", flush=True)
            done = sum(own.pictures for own in found.values())
            print(f"{done} pictures done, promises broken: {_broken(found)}", file=sys.stderr, flush=True)
    print()
    print_table(
        _HEADING,
        [_row(group, references, own) for (group, references), own in sorted(found.items())],
    )
    print(f"promises broken: {_broken(found)}")
    return 1 if _broken(found) else 0


def _broken(found: dict[tuple[str, bool], _Findings]) -> int:
    return sum(len(own.broken) for own in found.values())


def _row(group: str, references: bool, own: _Findings) -> list[object]:
    acted = [own.acted[name] for name in ("mended", "linear", "lossless")]
    share = 100 * own.block_bytes / max(own.bytes, 1)
    measured = [own.error, own.fall, own.worse, own.worst_block]
    return [group, "yes" if references else "no", own.pictures, own.coded, *measured, *acted, share]


def _pictures(options: argparse.Namespace, codec: Codec) -> Iterator[_Picture]:
    folder = os.environ.get("CLC_DATA")
    packs = options.packs
    if packs is None:
        packs = sorted(path.stem for path in Path(folder).glob("*.parquet")) if folder else []
    photos = [each.pixels for each in itertools.islice(_photos("bundled"), 8)]
    for name, pixels in pattern_pictures(_SIZE, options.variants):
        yield _Picture("patterns", name, pixels)
    for number, (name, pixels) in enumerate(pattern_pictures(_SIZE, options.variants, seed=1)):
        generator = np.random.default_rng(number)
        photo = photos[number % len(photos)][:_SIZE, :_SIZE]
        yield _Picture(
            "patterns over photos", name, mixed_with(photo, pixels[: photo.shape[0], : photo.shape[1]], generator)
        )
    for seed in range(6):
        yield _Picture("patterns over photos", f"stage-{seed}", stage_picture(seed=seed))
    for number, pixels in enumerate(searched_pictures(codec.model, photos, options.searched)):
        yield _Picture("searched", f"searched-{number}", pixels)
    for name in packs:
        for photo in itertools.islice(_photos(pack(name)), options.limit):
            yield _Picture(name, photo.image_id, photo.pixels)


def _photos(source: str) -> Iterator:
    return read_photos(open_source(source), skipped=[])


_codec: Codec | None = None
_options = argparse.Namespace()


def _start(options: argparse.Namespace) -> None:
    """Of each process: its own codec, one thread."""
    global _codec, _options
    torch.set_num_threads(1)
    _codec, _options = subject.open_subject(options, quiet=True).codec(), options


def _measure(picture: _Picture) -> tuple[str, dict[bool, _Findings]]:
    """With references, without, or both: once, where the encoder takes none of those offered at any quality."""
    measured: dict[bool, _Findings] = {}
    taken = True
    for references in _REFERENCES[_options.references]:
        if taken:
            findings, taken = _coded(picture, references)
        measured[references] = findings
    return picture.group, measured


def _coded(picture: _Picture, references: bool) -> tuple[_Findings, bool]:
    """What was found, and whether any reference was taken."""
    assert _codec is not None
    findings = _Findings(pictures=1)
    analysis = _codec.encoder.analyse(picture.pixels, references=references)
    best = -math.inf
    taken = False
    for quality in _options.qualities:
        coded = _codec.encoder.code(analysis, quality)
        taken |= coded.references is not NO_REFERENCES
        stream, shown = coded.stream, coded.picture
        about = f"{picture.group}, {picture.name}, quality {quality:g}, references {references}"
        findings.coded += 1
        findings.bytes += len(coded.data)
        findings.block_bytes += len(stream.blocks or b"")
        if stream.picture is not None:
            findings.acted["lossless"] += 1
        elif stream.blocks is not None:
            findings.acted["linear" if stream.hyper is None else "mended"] += 1
        if stream.hyper is not None:
            latent = _codec.encoder.code_latent(analysis, stream.header.quality, coded.references)
            scaled = _codec.encoder.scaled_latent(analysis, stream.header.quality, coded.references)
            error = float((latent.decoded - scaled.rows()).abs().max())
            findings.error = max(findings.error, error)
            if error > _LARGEST_ERROR:
                findings.broken.append(f"{about}: ŷ is {error:.2f} steps off")
        level = min(psnr(picture.pixels, shown), _EQUAL_FROM)
        findings.fall = max(findings.fall, best - level)
        if best - level > _FALL:
            findings.broken.append(f"{about}: {level:.2f} dB after {best:.2f} dB")
        best = max(best, level)
        if quality >= _JPEG_FROM:
            errors = block_errors(picture.pixels, shown)
            worse = _decibels(errors) - _decibels(
                block_errors(picture.pixels, _jpeg_of_size(picture.pixels, coded.data))
            )
            findings.worse = max(findings.worse, float(worse.max()))
            findings.worst_block = min(findings.worst_block, float(10 * np.log10(255**2 / errors.max().clip(1e-9))))
            if worse.max() > _WORSE:
                findings.broken.append(
                    f"{about}: {(worse > _WORSE).sum()} blocks, {worse.max():.1f} dB worse than JPEG"
                )
    taken |= any(anchor.references is not NO_REFERENCES for anchor in analysis.anchors.values())
    return findings, taken


def _decibels(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(errors, _VISIBLE))
    return decibels


def _jpeg_of_size(image: NDArray[np.uint8], data: bytes) -> NDArray[np.uint8]:
    """The smallest JPEG file that is not smaller, decoded; else the best there is."""
    low, high = 1, 100
    while low < high:
        middle = (low + high) // 2
        if len(jpeg_file(image, middle)) >= len(data):
            high = middle
        else:
            low = middle + 1
    return read_jpeg(jpeg_file(image, low))
