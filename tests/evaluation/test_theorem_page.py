"""The page of a simulation of theorem 1."""

import re

import pytest

from clc.commands.report import report as report_command
from clc.errors import ProfileError
from clc.evaluation.report.theorem_page import angle_chart, distance_charts, render_theorem
from clc.store import Store
from clc.theory.findings import angle_findings, distance_findings, unsupported
from tests.theory.made_up import made_up

GROWTHS = {"same": 0.5, "fast": 0.9, "slow": 0.1}


@pytest.fixture
def results(tmp_path):
    return made_up(Store(tmp_path / "store"), GROWTHS)


def test_the_page_says_what_is_not_supported_and_what_is_measured(results):
    page = render_theorem(results)

    angles, distances = angle_findings(results), distance_findings(results)
    warning = page.partition('class="card warning"')[2].partition("</section>")[0]
    assert len(re.findall("<li>", warning)) == len(unsupported(angles, distances)) == 4
    table = page.partition('<table id="exponents"')[2].partition("</table>")[0]
    assert re.findall("<td>([0-9.]+)</td><td>[0-9.]+ to", table) == ["0.50", "0.90", "0.10"]
    assert [verdict in table for verdict in ("as the bound", "faster than the bound", "slower than the bound")] == [
        True
    ] * 3
    assert page.count('<svg viewBox="0 0 480 360"') == 3
    assert render_theorem(results) == page


def test_it_loads_nothing_and_runs_nothing(results):
    page = render_theorem(results)

    assert "<script" not in page
    assert "script-src" not in page
    assert "default-src 'none'" in page


def slopes(chart):
    """Of each curve between its ends, in pixels."""
    return [
        (curve.points[0].y - curve.points[-1].y) / (curve.points[-1].x - curve.points[0].x) for curve in chart.curves
    ]


def test_on_the_chart_a_curve_that_grows_as_the_bound_is_parallel_to_it(results):
    same, fast, slow, bound = slopes(angle_chart(angle_findings(results)))

    assert same == pytest.approx(bound)
    assert fast / bound == pytest.approx(0.9 / 0.5)
    assert slow / bound == pytest.approx(0.1 / 0.5)


def test_the_bound_touches_the_curve_that_needs_the_largest_constant(results):
    *curves, bound = angle_chart(angle_findings(results)).curves
    heights = {point.x: point.y for point in bound.points}

    gaps = [point.y - heights[point.x] for curve in curves for point in curve.points]
    assert min(gaps) == pytest.approx(0.0, abs=1e-6)


def test_distances_fall_and_losses_rise(results):
    over_size, over_log = distance_charts(distance_findings(results))

    assert slopes(over_size)[0] < 0 < slopes(over_log)[0]


def test_the_command_knows_which_page_to_write(results, tmp_path, capsys):
    out = tmp_path / "page.html"
    report_command(results.short_id, out=out, published=None, store=str(tmp_path / "store"))

    assert out.read_text("utf-8") == render_theorem(results)
    with pytest.raises(ProfileError, match="is a simulation, of which nothing is published"):
        report_command(results.short_id, out=out, published="kodak", force=True, store=str(tmp_path / "store"))
