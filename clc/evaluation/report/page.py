"""The report: one HTML page that shows a `results` artifact, with nothing to load."""

import base64
import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from clc.errors import CorruptArtifactError, ProfileError
from clc.evaluation.codecs.builtin import OURS, without_effort
from clc.evaluation.compare.paired import Comparison, compare
from clc.evaluation.compare.published import PHOTOS, VTM, PublishedCurve, published_curves, why_other_photos
from clc.evaluation.compare.rate_difference import RateDifference, rate_difference, why_incomparable
from clc.evaluation.compare.summary import SummaryRow, codec_names, common_images, image_rows, summary
from clc.evaluation.measure.metrics import ms_ssim_db
from clc.evaluation.report.charts import Chart, Curve, Point, rd_chart
from clc.evaluation.report.headline import headline, whether_references_help
from clc.evaluation.report.lineage_chart import lineage_columns
from clc.evaluation.report.panels import DISPLAY_WIDTH
from clc.evaluation.report.templates import fixed, resource, template
from clc.evaluation.results import ImageRow, PanelRow
from clc.runtime.files import write_page
from clc.store import Version

PICTURE_QUALITY = 90
"""Pictures go into the page as WebP of this quality: lossless ones would make it too heavy to mail."""

_STYLES = {
    "clc": "clc",
    "clc, no references": "bare",
    "JPEG": "jpeg",
    "WebP": "webp",
    "AVIF": "avif",
    "JPEG XL": "jxl",
    "HEVC": "hevc",
    "VVC": "vvc",
}
_BOX = 96  # pixels of the picture as shown
_ENLARGED = 3
_SHOWN_PUBLISHED = (VTM, "BPG 0.9.8 (x265, 4:4:4)", "TCM-large 2023", "DCAE 2025")


@dataclass(frozen=True)
class PublishedComparison:
    """The mean PSNR curve of one of our codecs against points that others have published; rate: None for the reason in
    `gap`.
    """

    test: str
    anchor: str
    source: str
    rate: RateDifference | None
    gap: str | None


@dataclass(frozen=True)
class Box:
    """A square of a picture, in its pixels."""

    left: int
    top: int
    size: int


@dataclass(frozen=True)
class Detail:
    """The box of a picture, enlarged."""

    box: Box
    uri: str


@dataclass(frozen=True)
class Figure:
    """One picture of a panel. choice: what the slider calls it, None for what cannot be laid over the photo."""

    heading: str
    caption: str
    style: str
    uri: str
    width: int
    height: int
    choice: str | None
    detail: Detail | None


@dataclass(frozen=True)
class Panel:
    """The pictures of one photo. no_references: why none of the dictionary are among them, "" if they are."""

    image_id: str
    no_references: str
    figures: list[Figure]


def render_report(version: Version, published: str | None = None) -> str:
    """The page of a `results` version as HTML. The same version gives the same page, byte for byte,
    unless its store gains results of the model that ships on the same photos.

    published: the data set whose published curves are drawn beside the measured ones, dashed.
    Raises ProfileError if there is no such data set or the results are not of all its photos, CorruptArtifactError if
    a stored picture cannot be decoded.
    """
    rows = image_rows(version)
    means = summary(version)
    curves = _published_curves(version, published) if published else []
    script = resource("downloads.js") + resource("page.js")
    styles = _styles(codec_names(version))
    return template("page.html.j2").render(
        version=version,
        attributes=version.attributes,
        statistics=version.statistics,
        codecs=codec_names(version),
        styles=styles,
        common=len(common_images(version)),
        comparisons=comparisons(rows, codec_names(version), version.attributes.get("anchor")),
        dataset=published,
        published=curves,
        published_comparisons=_published_comparisons(means, _ours(version), curves),
        charts=_charts(means, curves, styles),
        means=means,
        rows=rows,
        panels=_panels(version, rows, styles),
        headline=None if "experiment" in version.attributes else headline(version),
        whether_references_help=whether_references_help,
        box=_BOX,
        picture_quality=PICTURE_QUALITY,
        display_width=DISPLAY_WIDTH,
        lineage=lineage_columns(version),
        style=resource("page.css"),
        script=script,
        # Only this script runs: not one that a photo's name might smuggle in.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def write_report(version: Version, path: Path, published: str | None = None, *, overwrite: bool = True) -> None:
    """Write `render_report` to a file, whole or not at all.

    overwrite: replace a file that is there.
    Raises OutputError if the file cannot be written.
    """
    write_page(path, render_report(version, published), overwrite=overwrite)


def comparisons(rows: Sequence[ImageRow], codecs: Sequence[str], anchor: str | None = None) -> list[Comparison]:
    """CLC against every other codec, and last against itself without references.

    anchor: of an experiment, whose codecs are its variants: all others are compared with it instead.
    """
    by_codec: dict[str, list[ImageRow]] = {codec: [] for codec in codecs}
    for row in rows:
        by_codec[row.codec].append(row)
    if anchor is not None:
        others = [codec for codec in codecs if codec != anchor]
        return [compare(by_codec[anchor], by_codec[codec], names=(anchor, codec)) for codec in others]
    ours = [codec for codec in OURS if by_codec.get(codec)]
    if not ours:
        return []
    searched = [(codec, usual) for codec in codecs if (usual := without_effort(codec)) in ours]
    anchors = [codec for codec in codecs if codec not in OURS and without_effort(codec) is None] + ours[1:]
    pairs = [*((ours[0], anchor) for anchor in anchors), *searched]
    return [compare(by_codec[anchor], by_codec[test], names=(anchor, test)) for test, anchor in pairs if anchor]


def _published_curves(version: Version, dataset: str) -> list[PublishedCurve]:
    """Raises ProfileError unless the results can be of the data set's photos."""
    if dataset not in PHOTOS:
        raise ProfileError(f"nothing is published of data set {dataset!r}; there are curves of {', '.join(PHOTOS)}")
    sizes = {row.image_id: (row.height, row.width) for row in image_rows(version)}
    if other := why_other_photos(dataset, [sizes[image_id] for image_id in common_images(version)]):
        raise ProfileError(
            f"the means of {version} cannot be compared with what is published: {other}; "
            f"evaluate on all of {dataset}, or leave --published out"
        )
    curves = {curve.codec: curve for curve in published_curves() if curve.dataset == dataset}
    return [curves[codec] for codec in _SHOWN_PUBLISHED if codec in curves]


def _ours(version: Version) -> list[str]:
    """The codecs of these results that are ours: the variants of an experiment, else CLC as it is used."""
    codecs = codec_names(version)
    if "anchor" in version.attributes:
        return [codec for codec in codecs if codec in version.attributes["models"]]
    return [codec for codec in OURS if codec in codecs][:1]


def _published_comparisons(
    means: Sequence[SummaryRow], ours: Sequence[str], curves: Sequence[PublishedCurve]
) -> list[PublishedComparison]:
    comparisons = []
    for codec in ours:
        test = [(row.bpp, row.psnr) for row in means if row.codec == codec]
        for curve in curves:
            found, gap = rate_difference(curve.points, test), why_incomparable(curve.points, test)
            comparisons.append(PublishedComparison(codec, curve.codec, curve.source, found, gap))
    return comparisons


def _styles(codecs: Sequence[str]) -> dict[str, str]:
    """A style for each codec; variants of an experiment get those that are left, in order."""
    free = [style for name, style in _STYLES.items() if name not in codecs]
    return {codec: _STYLES.get(codec) or (free.pop(0) if free else "other") for codec in codecs}


def _charts(means: Sequence[SummaryRow], published: Sequence[PublishedCurve], styles: Mapping[str, str]) -> list[Chart]:
    def curves(rate_of: Callable[[SummaryRow], float], quality_of: Callable[[SummaryRow], float]) -> list[Curve]:
        return [
            Curve(
                codec,
                styles[codec],
                tuple(
                    Point(
                        rate_of(row),
                        quality_of(row),
                        f"{codec}, quality {row.quality:g}: {rate_of(row):.3f} bpp, {quality_of(row):.2f} dB",
                    )
                    for row in rows
                ),
            )
            for codec, rows in groupby(means, key=lambda row: row.codec)
        ]

    dashed = [
        Curve(
            curve.codec,
            f"published{number}",
            tuple(
                Point(bpp, psnr, f"{curve.codec}, published: {bpp:.3f} bpp, {psnr:.2f} dB")
                for bpp, psnr in curve.points
            ),
            measured=False,
        )
        for number, curve in enumerate(published)
    ]
    charts = [
        rd_chart("PSNR over rate", "PSNR (dB)", [*curves(lambda row: row.bpp, lambda row: row.psnr), *dashed]),
        rd_chart(
            "MS-SSIM over rate",
            "MS-SSIM (dB)",
            curves(lambda row: row.ms_ssim_bpp, lambda row: ms_ssim_db(row.ms_ssim)),
        ),
    ]
    return [chart for chart in charts if chart is not None]


def _panels(version: Version, rows: Sequence[ImageRow], styles: Mapping[str, str]) -> list[Panel]:
    panels = [PanelRow(**row) for row in version.table("panels").to_pylist()]
    pixels = {row.image_id: row.height * row.width for row in rows}
    return [
        Panel(image_id, _why_no_references(version, group), _figures(group, pixels[image_id], styles))
        for image_id, found in groupby(panels, key=lambda row: row.image_id)
        for group in [list(found)]
    ]


def _why_no_references(version: Version, rows: Sequence[PanelRow]) -> str:
    """Empty if they are shown, or if there is no dictionary."""
    first = rows[0]
    if any(row.references is not None for row in rows) or not version.attributes.get("dictionary"):
        return ""
    if first.referred is None:
        return "they did not pay for this photo, or the dictionary is here without pictures of its entries"
    if first.referred:
        return "the dictionary is here without pictures of its entries"
    return "they did not pay for this photo"


def _figures(rows: list[PanelRow], pixels: int, styles: Mapping[str, str]) -> list[Figure]:
    """image | references | reconstruction, then the other codecs."""
    first = next((row for row in rows if row.references is not None), rows[0])
    box = busiest(_decoded(first.original))
    raw = f"{3 * pixels:,} bytes, uncompressed"
    figures = [_figure("original", raw, "", first.original, choice="original", box=box)]
    if first.references is not None:
        figures.append(
            _figure(
                "references",
                "from the dictionary, as they were used; below, smaller, the second and third",
                "",
                first.references,
                choice=None,
            )
        )
    if first.trust is not None:
        share = float(np.asarray(_decoded(first.trust), dtype=np.float64).mean()) / 255.0
        caption = (
            f"white where the latent is predicted from the references alone, black where not at all; mean {share:.2f}"
        )
        figures.append(_figure("trust in references", caption, "", first.trust, choice=None))
    for row in rows:
        size = f"{round(row.bpp * pixels / 8):,} bytes"
        caption = f"{size}, {row.bpp:.3f} bpp, {_decibels(row.psnr)}, quality {row.quality:g}"
        choice = f"{row.codec}: {size}, {_decibels(row.psnr)}"
        figures.append(_figure(row.codec, caption, styles[row.codec], row.reconstruction, choice=choice, box=box))
    return figures


def _figure(
    heading: str, caption: str, style: str, picture: bytes, *, choice: str | None, box: Box | None = None
) -> Figure:
    image = _decoded(picture)
    detail = None
    if box is not None:
        corners = (box.left, box.top, box.left + box.size, box.top + box.size)
        side = box.size * _ENLARGED
        detail = Detail(box, _uri(image.crop(corners).resize((side, side), Image.Resampling.NEAREST)))
    return Figure(heading, caption, style, _uri(image), image.width, image.height, choice, detail)


def busiest(image: Image.Image) -> Box | None:
    """Where a picture has most to show: the square with the largest variance of luma, on a grid of quarter squares.

    None for pictures that are hardly larger than it.
    """
    if min(image.size) < 2 * _BOX:
        return None
    luma = np.asarray(image.convert("L"), dtype=np.float64)
    windows = sliding_window_view(luma, (_BOX, _BOX))[:: _BOX // 4, :: _BOX // 4]
    row, column = np.unravel_index(windows.var(axis=(2, 3)).argmax(), windows.shape[:2])
    return Box(int(column) * (_BOX // 4), int(row) * (_BOX // 4), _BOX)


def _decoded(picture: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(picture), formats=["WEBP"]) as image:
            image.load()
            return image
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"a stored picture cannot be decoded ({error}); verify the artifact") from error


def _uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=PICTURE_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _decibels(value: float) -> str:
    return "lossless" if math.isinf(value) else f"{fixed(value, 2)} dB"
