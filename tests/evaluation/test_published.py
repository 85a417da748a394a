"""The published curves give the rate differences that were published with them."""

import pytest

from clc.evaluation.compare.published import VTM, published_curve, published_curves
from clc.evaluation.compare.rate_difference import rate_difference

CLIC = "clic2020-professional-valid41"


@pytest.mark.parametrize(
    ("codec", "dataset", "percent"),
    [
        ("TCM-large 2023", "kodak", -11.7),
        ("TCM-large 2023", CLIC, -9.1),
        ("ELIC 2022 (MSE)", "kodak", -7.0),
        ("DCAE 2025", "kodak", -17.0),
        ("DCAE 2025", "tecnick", -20.1),
        ("HPCM-large 2025", "kodak", -20.0),
    ],
)
def test_rate_differences_are_the_published_ones(codec: str, dataset: str, percent: float) -> None:
    anchor, test = published_curve(VTM, dataset), published_curve(codec, dataset)
    difference = rate_difference(anchor.points, test.points)
    assert difference is not None
    assert 100 * difference.mean == pytest.approx(percent, abs=0.2)


def test_every_curve_has_a_source_and_rises() -> None:
    for curve in published_curves():
        assert curve.source
        assert list(curve.points) == sorted(curve.points)
        assert [psnr for _, psnr in curve.points] == sorted(psnr for _, psnr in curve.points)


def test_an_unknown_curve_is_an_error() -> None:
    with pytest.raises(KeyError, match="no published curve"):
        published_curve("JPEG", "nowhere")
