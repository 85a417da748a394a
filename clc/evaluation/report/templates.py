"""The templates of this package's pages, and how numbers are written in them."""

import math
from importlib import resources

import jinja2

from clc.evaluation.measure.metrics import ms_ssim_db


def template(name: str) -> jinja2.Template:
    """A template of this package, with the filters that pages use. A name that is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("clc.evaluation.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "change": _change,
        "fixed": fixed,
        "key": _key,
        "ms_ssim_db": ms_ssim_db,
        "percent": _percent,
        "seconds": _seconds,
    }
    return environment.get_template(name)


def resource(name: str) -> str:
    """A text file of this package."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def fixed(value: float, decimals: int) -> str:
    """A number for a table; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:,.{decimals}f}"


def _change(fraction: float) -> str:
    """-0.123 → "12.3 % smaller"."""
    percent = round(100 * abs(fraction), 1)
    if percent == 0.0:
        return "equal in size"
    return f"{percent}\N{NO-BREAK SPACE}% {'smaller' if fraction < 0 else 'larger'}"


def _percent(fraction: float) -> str:
    """-0.123 → "−12.3"."""
    return f"{100 * fraction:+.1f}".replace("-", "\N{MINUS SIGN}")


def _key(value: float) -> str:
    """A number as the page's script sorts by it; empty for one that is unknown."""
    if math.isnan(value):
        return ""
    return "Infinity" if math.isinf(value) else repr(value)


def _seconds(value: float) -> str:
    """With two decimals, or as many as show two digits that are not 0: JPEG takes thousandths.

    >>> [_seconds(value) for value in (2.0, 0.125, 0.00423)]
    ['2.00', '0.12', '0.0042']
    """
    return fixed(value, 2) if value == 0.0 or value >= 0.095 else fixed(value, 1 - math.floor(math.log10(value)))
