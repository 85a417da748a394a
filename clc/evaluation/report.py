"""The report: one HTML page that shows a `results` artifact, with nothing to load and nothing to run."""

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path

import jinja2
from PIL import Image

from clc.errors import CorruptArtifactError
from clc.evaluation.charts import Chart, Curve, Point, rd_chart
from clc.evaluation.metrics import ms_ssim_db
from clc.evaluation.panels import DISPLAY_WIDTH
from clc.evaluation.rate_difference import RateDifference, rate_difference
from clc.evaluation.results import PanelRow
from clc.evaluation.summary import SummaryRow, codec_names, common_images, image_rows, summary
from clc.files import write_page
from clc.store import Version, lineage

PICTURE_QUALITY = 90
"""Pictures go into the page as WebP of this quality: lossless ones would make it too heavy to mail."""

_STYLES = {"clc": "clc", "clc, no references": "bare", "JPEG": "jpeg", "WebP": "webp"}


@dataclass(frozen=True)
class Comparison:
    """One codec against another at equal quality; None where the curves do not allow an answer."""

    test: str
    anchor: str
    psnr: RateDifference | None
    ms_ssim: RateDifference | None


@dataclass(frozen=True)
class Figure:
    """One picture of a panel."""

    heading: str
    caption: str
    style: str
    uri: str
    width: int
    height: int


def render_report(version: Version) -> str:
    """The page of a `results` version as HTML. The same version gives the same page, byte for byte.

    Raises CorruptArtifactError if a stored picture cannot be decoded.
    """
    rows = image_rows(version)
    means = summary(version)
    return _template().render(
        version=version,
        attributes=version.attributes,
        statistics=version.statistics,
        codecs=codec_names(version),
        styles=_STYLES,
        common=len(common_images(version)),
        comparisons=comparisons(means),
        charts=_charts(means),
        means=means,
        rows=rows,
        panels=_panels(version),
        picture_quality=PICTURE_QUALITY,
        display_width=DISPLAY_WIDTH,
        lineage=_lineage(version),
    )


def write_report(version: Version, path: Path) -> None:
    """Write `render_report` to a file, whole or not at all. Raises OutputError if the file cannot be written."""
    write_page(path, render_report(version))


def comparisons(means: Sequence[SummaryRow]) -> list[Comparison]:
    """CLC against every other codec, and last against itself without references."""
    curves = {codec: list(group) for codec, group in groupby(means, key=lambda row: row.codec)}
    ours = [codec for codec in ("clc", "clc, no references") if codec in curves]
    if not ours:
        return []
    anchors = [codec for codec in curves if codec not in ours] + ours[1:]
    return [
        Comparison(
            test=ours[0],
            anchor=anchor,
            psnr=rate_difference(_psnr_curve(curves[anchor]), _psnr_curve(curves[ours[0]])),
            ms_ssim=rate_difference(_ms_ssim_curve(curves[anchor]), _ms_ssim_curve(curves[ours[0]])),
        )
        for anchor in anchors
    ]


def _psnr_curve(rows: Sequence[SummaryRow]) -> list[tuple[float, float]]:
    return [(row.bpp, row.psnr) for row in rows]


def _ms_ssim_curve(rows: Sequence[SummaryRow]) -> list[tuple[float, float]]:
    return [(row.bpp, ms_ssim_db(row.ms_ssim)) for row in rows]


def _lineage(version: Version) -> list[tuple[str, str]]:
    """(role, version) of everything the results were made from, nearest first."""
    return [(role, source[: source.index("/") + 17]) for _, role, source in lineage(version).edges()]


def _charts(means: Sequence[SummaryRow]) -> list[Chart]:
    def curves(quality_of: Callable[[SummaryRow], float]) -> list[Curve]:
        return [
            Curve(
                codec,
                _STYLES.get(codec, "other"),
                tuple(
                    Point(
                        row.bpp,
                        quality_of(row),
                        f"{codec}, quality {row.quality:g}: {row.bpp:.3f} bpp, {quality_of(row):.2f} dB",
                    )
                    for row in rows
                ),
            )
            for codec, rows in groupby(means, key=lambda row: row.codec)
        ]

    charts = [
        rd_chart("PSNR over rate", "PSNR (dB)", curves(lambda row: row.psnr)),
        rd_chart("MS-SSIM over rate", "MS-SSIM (dB)", curves(lambda row: ms_ssim_db(row.ms_ssim))),
    ]
    return [chart for chart in charts if chart is not None]


def _panels(version: Version) -> list[tuple[str, list[Figure]]]:
    rows = [PanelRow(**row) for row in version.table("panels").to_pylist()]
    return [(image_id, _figures(list(group))) for image_id, group in groupby(rows, key=lambda row: row.image_id)]


def _figures(rows: list[PanelRow]) -> list[Figure]:
    """image | references | reconstruction, then the other codecs."""
    first = rows[0]
    figures = [_figure("original", "24 bpp, uncompressed", "", first.original)]
    if first.references is not None:
        figures.append(
            _figure(
                "references",
                "nearest dictionary patch of each tile, in its place; below, the next nearest",
                "",
                first.references,
            )
        )
    for row in rows:
        caption = f"{row.bpp:.3f} bpp, {_decibels(row.psnr)}, quality {row.quality:g}"
        figures.append(_figure(row.codec, caption, _STYLES.get(row.codec, "other"), row.reconstruction))
    return figures


def _figure(heading: str, caption: str, style: str, picture: bytes) -> Figure:
    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(picture), formats=["WEBP"]) as image:
            width, height = image.size
            image.save(buffer, "WEBP", quality=PICTURE_QUALITY, method=4)
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"a stored picture cannot be decoded ({error}); verify the artifact") from error
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Figure(heading, caption, style, uri, width, height)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "change": _change,
        "fixed": _fixed,
        "ms_ssim_db": ms_ssim_db,
    }
    return environment.from_string(resources.files(__package__).joinpath("report.html.j2").read_text("utf-8"))


def _change(fraction: float) -> str:
    """-0.123 → "12.3 % smaller"."""
    percent = round(100 * abs(fraction), 1)
    if percent == 0.0:
        return "equal in size"
    return f"{percent}\N{NO-BREAK SPACE}% {'smaller' if fraction < 0 else 'larger'}"


def _decibels(value: float) -> str:
    return "lossless" if math.isinf(value) else f"{_fixed(value, 2)} dB"


def _fixed(value: float, decimals: int) -> str:
    """A number for a table; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:,.{decimals}f}"
