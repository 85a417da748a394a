"""What a run leaves to look at in Prefect: tables, curves and pictures, as artifacts of the run."""

import base64
import io
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle, groupby, islice

import numpy as np
from PIL import Image
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from clc.evaluation.compare.rate_difference import rate_difference
from clc.evaluation.compare.summary import summary
from clc.evaluation.report.charts import HEIGHT, WIDTH, Chart, Curve, Point, rd_chart
from clc.images.patch import decode_patch
from clc.production.archiving import Packing
from clc.production.drift import Drift
from clc.production.promotion import Promotion
from clc.store import Kind, Store, Version
from clc.store.layout import MANIFEST_NAME
from clc.store.shipped import LayeredStore
from pipelines.runtime.outcome import Outcome
from pipelines.runtime.work import Work

LINKS = "CLC_STORE_LINKS"
"""The environment variable with the URL under which a web server shows the store to those who look at runs."""

_ENTRIES = 64
_COLUMNS = 8
_ENTRY_SIDE = 64  # pixels
_COLOURS = ("#0b7a75", "#7fb7b3", "#d97706", "#7c3aed", "#475569", "#be123c", "#1d4ed8", "#65a30d")


def show_stages(work: Work, outcomes: Sequence[Outcome]) -> None:
    """Stages with version, duration and row counts, and what their manifests say; nothing if all were done before."""
    if all(outcome.skipped for outcome in outcomes):
        return
    create_table_artifact(
        key=_key(work, "stages"),
        table=[
            {
                "stage": outcome.stage,
                "version": outcome.shown,
                "seconds": round(outcome.seconds, 1),
                "skipped": outcome.skipped,
                "rows": ", ".join(f"{name} {rows:,}" for name, rows in outcome.rows.items()),
            }
            for outcome in outcomes
        ],
        description=f"What {_flow()} did for profile {work.profile.name}; versions are in the store {work.store}",
    )
    create_markdown_artifact(
        key=_key(work, "versions"),
        markdown="\n".join(_described(work, outcome) for outcome in outcomes),
        description=f"What the versions of {_flow()} for profile {work.profile.name} were made of",
    )


def show_entries(work: Work, dictionary: Outcome) -> None:
    """Pictures of the first entries, if the dictionary is new."""
    if dictionary.skipped:
        return
    version = Store(work.store).get(Kind.DICTIONARY, dictionary.version)
    create_image_artifact(
        key=_key(work, "entries"),
        image_url=_data_uri("image/webp", _sheet(version)),
        description=f"The first entries of {version}, which has {version.attributes['entries']}",
    )


def show_curve(work: Work, results: Outcome) -> None:
    """The rate-distortion curve of every codec, with how they compare; nothing if it was measured before, or if no
    photo was coded by all of them.
    """
    if results.skipped:
        return
    version = Store(work.store).get(Kind.RESULTS, results.version)
    points = {
        codec: [(row.bpp, row.psnr) for row in rows]
        for codec, rows in groupby(summary(version), key=lambda row: row.codec)
    }
    curves = [
        Curve(codec, colour, tuple(Point(*point, "") for point in curve))
        for (codec, curve), colour in zip(points.items(), cycle(_COLOURS), strict=False)
    ]
    chart = rd_chart("PSNR over rate", "PSNR (dB)", curves)
    if chart is not None:
        create_image_artifact(
            key=_key(work, "rate-distortion"),
            image_url=_data_uri("image/svg+xml", _svg(chart).encode()),
            description=f"PSNR over bits per pixel, mean of the test photos. {headline(points)} ({version})",
        )


def headline(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """How the files of the first codec compare with the others' at equal PSNR. curves: (bpp, dB) points by codec.

    >>> headline({"clc": [(0.5, 30.0), (1.0, 35.0)], "JPEG": [(1.0, 30.0), (2.0, 35.0)]})
    'clc at equal PSNR: -50 % against JPEG.'
    """
    ours, *others = curves
    found = {other: rate_difference(curves[other], curves[ours]) for other in others}
    compared = [f"{100 * each.mean:+.0f} % against {other}" for other, each in found.items() if each is not None]
    return f"{ours} at equal PSNR: {', '.join(compared) or 'not comparable with the others'}."


def show_promotion(work: Work, promotion: Promotion) -> None:
    """What the gate decided, and why; nothing if that is no news."""
    if not (promotion.moved or promotion.refused):
        return
    reasons = "".join(f"\n- {reason}" for reason in promotion.verdict.reasons)
    create_markdown_artifact(
        key=_key(work, "promotion"),
        markdown=f"{escape(str(promotion), quote=False)}\n{reasons}",
        description=f"What the gate of profile {work.profile.name} decided on {promotion.model}",
    )


def show_drift(work: Work, dictionary: Version, drift: Drift) -> None:
    """How far the new photos are from the dictionary in use; nothing if there are none."""
    if drift.photos == 0:
        return
    config = work.profile.drift
    create_table_artifact(
        key=_key(work, "drift"),
        table=[
            {
                "dictionary": str(dictionary),
                "drift": drift.ratio,
                "threshold": config.threshold,
                "rebuild": config.rebuild,
                "new photos": drift.photos,
                "windows": drift.windows,
                "distances of new windows (10, 50, 90 %)": _quantiles(drift.new),
                "distances of its own patches": _quantiles(drift.own),
            }
        ],
        description="1: new photos are as near to the entries as the dictionary's own photos are to each other's",
    )


def show_packing(work: Work, packing: Packing) -> None:
    """What was added to which archive, and what could not be."""
    summary = packing.summary
    failed = "".join(f"\n- {name}: {reason}" for name, reason in summary.failed)
    create_markdown_artifact(
        key=_key(work, "packing"),
        markdown=f"{escape(str(packing), quote=False)}\n{escape(failed, quote=False)}",
        description=f"What the flow pack added for profile {work.profile.name}",
    )


def _key(work: Work, what: str) -> str:
    """Of the flow that is on. Prefect allows lower-case letters, digits and dashes."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in work.profile.name.lower())
    return f"{name}-{_flow()}-{what}"


def _flow() -> str:
    return str(flow_run.flow_name)


def _described(work: Work, outcome: Outcome) -> str:
    """The fields of a manifest that matter, with a link to it where the store is served (`CLC_STORE_LINKS`)."""
    kind, _, id = outcome.version.partition("/")
    manifest = LayeredStore(work.store).get(Kind(kind), id).manifest
    inputs = [f"{role} {reference.partition('/')[2][:16]}" for role, reference in manifest.recipe.inputs.items()]
    base = os.environ.get(LINKS, "").rstrip("/")
    shown = f"[{outcome.shown}]({base}/{outcome.shown}/{MANIFEST_NAME})" if base else f"`{outcome.shown}`"
    when = manifest.built.created_at[:16]
    return f"- {shown}, {when}: made of {', '.join(inputs) or 'nothing'}; recipe {manifest.recipe_hash[:16]}"


def _quantiles(values: tuple[float, ...] | None) -> str:
    return "" if values is None else " ".join(f"{value:.3g}" for value in values)


def _sheet(dictionary: Version) -> bytes:
    """A grid of entries as one WebP."""
    rows = (
        image.as_py()
        for batch in dictionary.batches("entries", columns=["image"], batch_rows=_ENTRIES)
        for image in batch.column("image")
    )
    patches = [decode_patch(data) for data in islice(rows, _ENTRIES)]
    side = _ENTRY_SIDE
    sheet = np.zeros((math.ceil(len(patches) / _COLUMNS) * side, _COLUMNS * side, 3), np.uint8)
    for i, patch in enumerate(patches):
        y, x = side * (i // _COLUMNS), side * (i % _COLUMNS)
        sheet[y : y + side, x : x + side] = np.asarray(Image.fromarray(patch).resize((side, side)))
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def _svg(chart: Chart) -> str:
    """The chart as a picture of its own: a page's styles do not reach into an artifact."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{chart.left} {chart.top}V{chart.bottom}H{chart.right}" stroke="#888" fill="none"/>',
        f'<text x="{chart.right}" y="{HEIGHT - 8}" text-anchor="end">{chart.x_title}</text>',
        f'<text x="4" y="11">{chart.y_title}</text>',
    ]
    parts += [
        f'<text x="{tick.position:.1f}" y="{chart.bottom + 16}" text-anchor="middle">{tick.label}</text>'
        for tick in chart.x_ticks
    ]
    parts += [
        f'<text x="{chart.left - 6}" y="{tick.position + 4:.1f}" text-anchor="end">{tick.label}</text>'
        for tick in chart.y_ticks
    ]
    for number, curve in enumerate(chart.curves):
        y = chart.bottom - 14 * (len(chart.curves) - number)
        parts += [
            f'<polyline points="{curve.path}" fill="none" stroke="{curve.style}" stroke-width="2"/>',
            *(f'<circle cx="{p.x:.1f}" cy="{p.y:.1f}" r="3" fill="{curve.style}"/>' for p in curve.points),
            f'<text x="{chart.right - 4}" y="{y}" text-anchor="end" fill="{curve.style}">{escape(curve.name)}</text>',
        ]
    return "".join([*parts, "</svg>"])


def _data_uri(type: str, data: bytes) -> str:
    return f"data:{type};base64,{base64.b64encode(data).decode()}"
