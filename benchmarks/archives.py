"""`python -m benchmarks.archives`: all photos of a scene in one archive, every byte counted, against its rivals.

A scene's photos, those of both splits, are packed with `clc pack`'s code at some qualities. Rivals take what they take
at the same mean RGB PSNR: JPEG, WebP, AVIF and JPEG XL each photo by itself (the last where `cjxl` is on PATH), AVIF as
a video (libaom's inter coding), and x265 (where it is on PATH; slow, 4:4:4, every fifth photo a golden frame that
others refer to). `alone` is CLC with every photo by itself. Bytes are those of whole files.

`--pack kodak` packs photos that have nothing in common.
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.data import pack
from benchmarks.printing import print_machine, print_table
from benchmarks.rivals import Pictures, Rival, at_decibels, mean_psnr, rivals
from clc.api import DEFAULT
from clc.archive.album import Album, StoreStreamDecoder
from clc.archive.coding import StoreCoder
from clc.archive.creation import create_archive
from clc.archive.inputs import InputPhoto, Inputs
from clc.archive.writer import open_archive
from clc.codec.decisions.targets import Target
from clc.images import open_source, read_photos

_SCENES = ("museum", "ams", "pond", "handheld")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.archives", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", help="where the model is; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--pack", default="collection-sites", help="pack of photos")
    parser.add_argument("--scenes", nargs="+", default=_SCENES, help="scenes of the pack; - for a pack without scenes")
    parser.add_argument("--split", choices=("reference", "test"), help="photos of one split only")
    parser.add_argument("--limit", type=int, help="the first LIMIT photos of a scene only")
    parser.add_argument("--qualities", type=float, nargs="+", default=(30.0, 55.0))
    parser.add_argument("--effort", type=int, default=0, help="as of `clc pack`")
    parser.add_argument(
        "--alone", action=argparse.BooleanOptionalAction, default=True, help="also with every photo by itself"
    )
    parser.add_argument("--rivals", nargs="*", default=[rival.name for rival in rivals()])
    options = parser.parse_args()
    print_machine()
    chosen = [rival for rival in rivals() if rival.name in options.rivals]
    for scene in options.scenes:
        filters = [f"scene={scene}"] if scene != "-" else []
        filters += [f"split={options.split}"] if options.split else []
        filters += [f"limit={options.limit}"] if options.limit else []
        spec = pack(options.pack) + ("?" + "&".join(filters) if filters else "")
        photos = list(open_source(spec).encoded())
        pictures = [photo.pixels for photo in read_photos(open_source(spec), [])]
        print(f"{scene}: {len(photos)} photos, {sum(len(photo.data) for photo in photos):,} bytes as they come\n")
        inputs = Inputs([InputPhoto(photo.image_id, data=photo.data) for photo in photos])
        names = [photo.image_id for photo in photos]
        rows = [_row(inputs, names, pictures, quality, chosen, options) for quality in options.qualities]
        heading = ("quality", "archive, bytes", "dB", "key", "referring", "index …", "most decodings", "alone, % more")
        print_table((*heading, *(f"% of {rival.name}" for rival in chosen)), rows)


def _row(
    inputs: Inputs,
    names: Sequence[str],
    pictures: Pictures,
    quality: float,
    others: Sequence[Rival],
    options: argparse.Namespace,
) -> tuple[object, ...]:
    size, streams, decoded, parents = _packed(inputs, names, quality, True, options)
    keys = {parent for own in parents for parent in own}
    decibels = mean_psnr(pictures, decoded)
    more = "-"
    if options.alone:
        alone = at_decibels(
            lambda step: _packed(inputs, names, 10.0 * step, False, options)[::2], 1, 10, pictures, decibels
        )
        more = f"{100 * (alone / size - 1):.1f}"
    shares = [
        f"{100 * size / at_decibels(partial(_coded, rival, pictures), rival.worst, rival.best, pictures, decibels):.1f}"
        for rival in others
    ]
    counts = (len(keys), sum(map(bool, parents)), f"{size - streams:,}", 1 + max(map(len, parents)))
    return (f"{quality:g}", f"{size:,}", f"{decibels:.2f}", *counts, more, *shares)


def _packed(
    inputs: Inputs, names: Sequence[str], quality: float, references: bool, options: argparse.Namespace
) -> tuple[int, int, Pictures, list[tuple[int, ...]]]:
    """Bytes of an archive and of its streams, its photos, and what each stream refers to."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "album.clca"
        target = Target.choose(quality)
        create_archive(
            path,
            inputs,
            StoreCoder(options.model, target, references=references, effort=options.effort, store=options.store),
        )
        with Album(open_archive(path), StoreStreamDecoder(options.store)) as album:
            rows = [album.archive.stream_row(name) for name in names]
            decoded = [album.pixels(name) for name in names]
        streams = sum(row.extent.length for row in {row.extent.at: row for row in rows}.values())
        return path.stat().st_size, streams, decoded, [row.parents for row in rows]


def _coded(rival: Rival, pictures: Pictures, quality: int) -> tuple[int, Pictures]:
    return rival.code(quality, pictures)


if __name__ == "__main__":
    main()
