"""Results as text: the points of every codec, and the rate of ours against the others', as Markdown tables."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from clc.errors import SourceError
from clc.evaluation.codecs.builtin import OURS, without_effort
from clc.evaluation.compare.interval import interval
from clc.evaluation.compare.published import COMPARED, PHOTOS, published_curves
from clc.evaluation.compare.rate_difference import rate_difference, why_incomparable
from clc.evaluation.compare.summary import SummaryRow, codec_names, common_images, image_rows, means
from clc.evaluation.results import ImageRow
from clc.store import Version

Points = Sequence[tuple[float, float]]
"""Of a curve: bits per pixel and dB."""


@dataclass(frozen=True)
class MeasuredCurve:
    """One codec's rows of all photos. name: what the tables call it."""

    name: str
    rows: Sequence[ImageRow]

    @property
    def summary(self) -> list[SummaryRow]:
        """Its means, by ascending quality."""
        return list(means(sorted(self.rows, key=lambda row: row.quality)))

    @property
    def points(self) -> Points:
        """Its mean curve."""
        return [(row.bpp, row.psnr) for row in self.summary]


@dataclass(frozen=True)
class FixedCurve:
    """A curve that others have published: there are no photos of it to draw from."""

    name: str
    points: Points


def comparison(results: Version, *, anchor: Version | None = None, published: str | None = None) -> str:
    """Both tables of a model's `results`, over the photos that every codec coded; before them, what was left out.

    anchor: results of a model without references, which ours are compared with instead of the other codecs.
    published: the data set that the photos are: ours are compared with `COMPARED` as published, too.
    Raises SourceError if there is no such photo, or if some of the data set are missing.
    """
    versions = [results, *([anchor] if anchor is not None else [])]
    photos = set.intersection(*(set(common_images(version)) for version in versions))
    if not photos:
        raise SourceError(f"no photo was coded by every codec; `clc results show {results.short_id}` says why")
    if published is not None and len(photos) != PHOTOS[published]:
        raise SourceError(f"only {len(photos)} photos of {published} were coded by every codec, too few to compare")
    curves = measured_curves(results, photos)
    ours = [curve for curve in curves if curve.name in OURS]
    by_name = {curve.name: curve for curve in ours}
    searched = [(curve, by_name[usual]) for curve in curves if (usual := without_effort(curve.name)) is not None]
    others: list[MeasuredCurve | FixedCurve] = [
        curve for curve in curves if curve not in ours[:1] and without_effort(curve.name) is None
    ]
    if anchor is not None:
        anchors = [
            replace(curve, name=f"clc, model {anchor.attributes['model']}") for curve in measured_curves(anchor, photos)
        ]
        curves, others = [*curves, *anchors], [*anchors]
    others += [
        FixedCurve(f"{curve.codec}, published", curve.points)
        for curve in published_curves()
        if curve.dataset == published and curve.codec in COMPARED
    ]
    pairs = [(own, other) for own in ours for other in others if other is not own]
    tables = [points_table(curves), differences_table([*searched, *pairs])]
    if searched:
        tables.append(efforts_table(searched))
    return "\n".join([*_left_out(results), *(line for table in tables for line in ("", table))])


def measured_curves(version: Version, photos: Set[str]) -> list[MeasuredCurve]:
    """The codecs of a `results` version in the order of its tables, over these photos; those without a row left out."""
    rows = [row for row in image_rows(version) if row.image_id in photos]
    curves = [MeasuredCurve(name, [row for row in rows if row.codec == name]) for name in codec_names(version)]
    return [curve for curve in curves if curve.rows]


def points_table(curves: Iterable[MeasuredCurve]) -> str:
    """A row for each codec and quality: means over the photos."""
    lines = ["| codec | quality | photos | bpp | PSNR (dB) | MS-SSIM |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {curve.name} | {row.quality:g} | {row.images} | {row.bpp:.4f} | {row.psnr:.2f} | {row.ms_ssim:.4f} |"
        for curve in curves
        for row in curve.summary
    ]
    return "\n".join(lines)


def differences_table(pairs: Iterable[tuple[MeasuredCurve, MeasuredCurve | FixedCurve]]) -> str:
    """A row for each codec and what it is compared with: the rate at equal PSNR, and how sure that is."""
    lines = [
        "| codec | against | rate at equal PSNR | 95 % interval | at the low end | at the high end | dB in common |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_difference(*pair) for pair in pairs)])


def efforts_table(searched: Iterable[tuple[MeasuredCurve, MeasuredCurve]]) -> str:
    """A row for each codec that searches: its seconds for a photo at each quality, and times those of effort 0."""
    lines = ["| codec | encode, s | without effort, s | times | decode, s |", "|---|---|---|---|---|"]
    for curve, usual in searched:
        for row, before in zip(curve.summary, usual.summary, strict=True):
            lines.append(
                f"| {curve.name}, quality {row.quality:g} | {row.encode_seconds:.2f} | {before.encode_seconds:.2f} "
                f"| {row.encode_seconds / before.encode_seconds:.1f} | {row.decode_seconds:.2f} |"
            )
    return "\n".join(lines)


def _difference(test: MeasuredCurve, anchor: MeasuredCurve | FixedCurve) -> str:
    named = f"| {test.name} | {anchor.name} |"
    found = rate_difference(anchor.points, test.points)
    if found is None:
        return f"{named} none: {why_incomparable(anchor.points, test.points)} | | | | |"
    sure = interval(anchor.rows, test.rows) if isinstance(anchor, MeasuredCurve) else None
    between = f"{100 * sure.low:+.1f} to {100 * sure.high:+.1f} %" if sure else "none"
    ends = f"{100 * found.at_low:+.1f} % | {100 * found.at_high:+.1f} %"
    return f"{named} {100 * found.mean:+.1f} % | {between} | {ends} | {found.low:.1f} to {found.high:.1f} |"


def _left_out(results: Version) -> list[str]:
    statistics = results.statistics
    photos = [f"without {each['image_id']}: {each['reason']}" for each in statistics["skipped"]]
    failed = [f"{each['codec']} failed on {each['image_id']}: {each['reason']}" for each in statistics["failures"]]
    return photos + failed + [f"{each['codec']} is not measured: {each['reason']}" for each in statistics["missing"]]
