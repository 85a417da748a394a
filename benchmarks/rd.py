"""`python -m benchmarks.rd --model default --dataset parquet:kodak.parquet`: rate and quality beside other codecs.

Every point is a mean over all photos of whole files that were written and decoded again. Rate differences are
Bjøntegaard's, by PCHIP, over the PSNR that both curves reach, with the interval of a bootstrap over photos. Encoders
that are programs are measured if they are installed. `--published kodak` adds curves that others have published.

With `--anchor MODEL`, that model's files without references are all that ours are compared with.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from clc.api import DEFAULT, find_model
from clc.codec.artifacts import open_codec, reference_latents
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.evaluation.codecs.builtin import Avif, Clc, ImageCodec, Jpeg, WebP
from clc.evaluation.codecs.programs import Hevc, JpegXl, ProgramCodec, Vvc, why_missing
from clc.evaluation.compare.interval import Interval, interval
from clc.evaluation.compare.published import PHOTOS, VTM, published_curves, why_other_photos
from clc.evaluation.compare.rate_difference import rate_difference, why_incomparable
from clc.evaluation.compare.summary import SummaryRow, means
from clc.evaluation.measure.evaluate import measure_photo
from clc.evaluation.measure.overlap import refuse_overlap, seen_by
from clc.evaluation.results import ImageRow
from clc.images import PhotoSource, SkippedPhoto, open_source, read_photos
from clc.images.patch import pixels_sha256
from clc.store import Kind, Version
from clc.store.shipped import LayeredStore

_QUALITIES = (1.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 100.0)
_PROGRAMS: tuple[ProgramCodec, ...] = (JpegXl(), Hevc(), Vvc())
_PUBLISHED = ("BPG 0.9.8 (x265, 4:4:4)", VTM)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="benchmarks.rd", description=__doc__)
    parser.add_argument("--model", default=DEFAULT, help="model version; default: as clc.load")
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--dataset", required=True, help="photos, as a source spec")
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument("--published", choices=PHOTOS, help="the photos are this data set: compare with its curves")
    compared.add_argument("--anchor", help="another model version, such as one trained without references")
    parser.add_argument("--qualities", type=float, nargs="+", default=_QUALITIES, help="of CLC")
    options = parser.parse_args()

    store = LayeredStore(options.store)
    model = find_model(store, options.model)
    photos = open_source(options.dataset)
    models = [model, *([find_model(store, options.anchor)] if options.anchor else [])]
    refuse_overlap(photos, seen_by(models))
    qualities = tuple(options.qualities)
    ours = _ours(store, model, photos, qualities)
    others: list[ImageCodec]
    if options.anchor:
        others = [_Anchor(open_codec(store, models[1]), references=False, qualities=qualities)]
    else:
        others = [Jpeg(), WebP(), Avif(), *(each for each in _PROGRAMS if not why_missing(each))]
    codecs = [*ours, *others]
    print(f"model {model.short_id}, {model.attributes['preset']}, {model.statistics['steps']} steps of training")
    skipped: list[SkippedPhoto] = []
    rows: list[ImageRow] = []
    for photo in read_photos(photos, skipped):
        failures: list[dict[str, str]] = []
        measured = measure_photo(photo, codecs, failures)
        if failures:  # a mean is over photos that all have coded
            skipped += [SkippedPhoto(photo.image_id, f"{each['codec']}: {each['reason']}") for each in failures]
        else:
            rows += [row for own in measured.values() for row in own]
    for left_out in skipped:
        print(f"without {left_out.image_id}: {left_out.reason}")
    if options.published:
        sizes = {row.image_id: (row.height, row.width) for row in rows}
        if other := why_other_photos(options.published, list(sizes.values())):
            sys.exit(f"these cannot be compared with what is published: {other}")
    curves = {codec.name: _curve(rows, codec.name) for codec in codecs}
    _print_points(curves)
    by_codec = {codec.name: [row for row in rows if row.codec == codec.name] for codec in codecs}
    for codec in ours:
        test = [(row.bpp, row.psnr) for row in curves[codec.name]]
        for other in others if options.anchor else codecs:
            if other is not codec:
                found = interval(by_codec[other.name], by_codec[codec.name])
                points = [(row.bpp, row.psnr) for row in curves[other.name]]
                _print_difference(codec.name, other.name, points, test, found)
        for curve in published_curves():
            if curve.dataset == options.published and curve.codec in _PUBLISHED:
                _print_difference(codec.name, f"{curve.codec}, published", [*curve.points], test, None)
    for program in () if options.anchor else _PROGRAMS:
        if reason := why_missing(program):
            print(f"{program.name} is not measured: {reason}")


@dataclass(frozen=True)
class _Anchor(Clc):
    """Our codec with another model."""

    @property
    def name(self) -> str:
        return f"clc, model {self.codec.model_id}"


def _ours(
    store: LayeredStore, model: Version, photos: PhotoSource, qualities: tuple[float, ...]
) -> Sequence[ImageCodec]:
    if "dictionary" not in model.attributes:
        return [Clc(open_codec(store, model), references=False, qualities=qualities)]
    dictionary = store.get(Kind.DICTIONARY, model.attributes["dictionary"])
    entries = set(dictionary.table("entries", columns=["photo_sha256"])["photo_sha256"].to_pylist())
    if any(pixels_sha256(photo.pixels) in entries for photo in read_photos(photos, skipped=[])):
        sys.exit("some of these photos went into the model's dictionary; measure on others")
    reference_latents(dictionary, model, store=store)
    codec, _ = open_encoder(store, model, dictionary)
    return [Clc(codec, references, qualities) for references in (True, False)]


def _curve(rows: list[ImageRow], name: str) -> list[SummaryRow]:
    return list(means(sorted((row for row in rows if row.codec == name), key=lambda row: row.quality)))


def _print_points(curves: dict[str, list[SummaryRow]]) -> None:
    print("\n| codec | quality | photos | bpp | PSNR (dB) | MS-SSIM |\n|---|---|---|---|---|---|")
    for name, points in curves.items():
        for row in points:
            print(f"| {name} | {row.quality:g} | {row.images} | {row.bpp:.4f} | {row.psnr:.2f} | {row.ms_ssim:.4f} |")
    print(
        "\n| codec | against | rate at equal PSNR | 95 % interval | at the low end | at the high end | dB in common |"
    )
    print("|---|---|---|---|---|---|---|")


def _print_difference(
    name: str,
    anchor: str,
    anchor_points: list[tuple[float, float]],
    points: list[tuple[float, float]],
    sure: Interval | None,
) -> None:
    found = rate_difference(anchor_points, points)
    if found is None:
        print(f"| {name} | {anchor} | none: {why_incomparable(anchor_points, points)} | | | | |")
        return
    between = f"{100 * sure.low:+.1f} to {100 * sure.high:+.1f} %" if sure else "none"
    ends = f"{100 * found.at_low:+.1f} % | {100 * found.at_high:+.1f} %"
    print(
        f"| {name} | {anchor} | {100 * found.mean:+.1f} % | {between} | {ends} | {found.low:.1f} to {found.high:.1f} |"
    )


if __name__ == "__main__":
    main()
