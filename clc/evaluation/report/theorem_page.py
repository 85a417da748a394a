"""The report of a simulation of theorem 1: one HTML page with nothing to load and no script."""

import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from clc.evaluation.report.charts import Chart, Curve, Point, power_chart
from clc.evaluation.report.templates import resource, template
from clc.runtime.files import write_page
from clc.store import Version
from clc.theory.findings import (
    AngleFinding,
    DistanceFinding,
    angle_findings,
    constant,
    distance_findings,
    in_brackets,
    unsupported,
)

_STYLES = ("clc", "bare", "jpeg", "webp", "avif", "jxl", "hevc", "vvc")


def render_theorem(version: Version) -> str:
    """The page as HTML. The same version gives the same page, byte for byte."""
    angles, distances = angle_findings(version), distance_findings(version)
    return template("theorem.html.j2").render(
        version=version,
        attributes=version.attributes,
        style=resource("page.css"),
        angles=angles,
        distances=distances,
        constant=constant(angles),
        unsupported=unsupported(angles, distances),
        styles=_STYLES,
        in_brackets=in_brackets,
        charts=[angle_chart(angles), *distance_charts(distances)],
    )


def write_theorem(version: Version, path: Path, *, overwrite: bool = True) -> None:
    """Write `render_theorem` to a file, whole or not at all. Raises OutputError if the file cannot be written."""
    write_page(path, render_theorem(version), overwrite=overwrite)


def angle_chart(findings: Sequence[AngleFinding]) -> Chart:
    """Measured against the bound's rate, both as shares of √r; dashed, the bound with the smallest C that holds."""
    curves = [
        Curve(
            f"{each.quantity}, {each.fixed}",
            style,
            tuple(
                Point(
                    point.rate / point.cap,
                    point.error / point.cap,
                    f"{each.quantity} = {point.value:.4g}: {point.error:.4f} of at most {point.cap:.2f}",
                )
                for point in each.points
            ),
        )
        for each, style in zip(findings, cycle(_STYLES), strict=False)
    ]
    largest = constant(list(findings))
    places = sorted({1.0, *(point.x for curve in curves for point in curve.points)})
    line = tuple(Point(place, largest * min(1.0, place), "") for place in places)
    bound = Curve(f"the bound, C = {largest:.2f}", "published0", line, measured=False)
    return power_chart("Measured and bound", "rate of the bound / √r", "‖sin Θ‖_F / √r", [*curves, bound])


def distance_charts(findings: Sequence[DistanceFinding]) -> list[Chart]:
    """The distance to the best of K over K, and what a perturbed search loses over log K."""

    def curves(places: Sequence[Sequence[float]], heights: Sequence[Sequence[float]]) -> list[Curve]:
        return [
            Curve(
                each.keys,
                style,
                tuple(
                    Point(x, y, f"{each.keys}, K = {count:,}: {y:.4g}")
                    for x, y, count in zip(across, upward, each.entries, strict=True)
                    if y > 0.0
                ),
            )
            for each, style, across, upward in zip(findings, cycle(_STYLES), places, heights, strict=False)
        ]

    sizes = [each.entries for each in findings]
    return [
        power_chart("Distance to the best of K", "K", "distance", curves(sizes, [each.distances for each in findings])),
        power_chart(
            "Lost by a perturbed search",
            "log K",
            "distance lost",
            curves(
                [[math.log(size) for size in each] for each in sizes],
                [each.excesses for each in findings],
            ),
        ),
    ]
