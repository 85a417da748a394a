"""What a simulation of theorem 1 found: exponents beside the bound's, and what they do not support, in words."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import numpy as np

from clc.store import Version
from clc.theory.exponents import Exponent, exponent, paired_exponent, slope
from clc.theory.sweeps import AngleRow
from clc.theory.theorem1 import angle_rows, distance_rows

_BELOW_CAP = 0.5
"""Points whose mean error is above this share of √r are left out of an exponent: near √r nothing can grow."""

_TOLERANCE = 0.05
"""An exponent whose interval comes this near to the bound's is not told apart from it."""


class Verdict(StrEnum):
    """A measured exponent beside the bound's."""

    AS = "as the bound"
    SLOWER = "slower than the bound"
    FASTER = "faster than the bound"
    NONE = "too few points below half of √r"


@dataclass(frozen=True)
class PointOfSweep:
    """All trials of one setting. error, first_order: their means; reached: what 1 − δ of them do not exceed."""

    value: float
    error: float
    reached: float
    first_order: float
    rate: float
    cap: float

    @property
    def bound(self) -> float:
        """√r ∧ the rate, with C = 1."""
        return min(self.cap, self.rate)


@dataclass(frozen=True)
class AngleFinding:
    """One sweep. measured, first_order, bound: exponents over the sweep's quantity, of the `used` points that count."""

    name: str
    quantity: str
    fixed: str
    note: str
    points: tuple[PointOfSweep, ...]
    used: int
    measured: Exponent | None
    first_order: float
    bound: float

    @property
    def verdict(self) -> Verdict:
        """Slower or faster only if the whole interval is."""
        if self.measured is None:
            return Verdict.NONE
        if self.measured.high < self.bound - _TOLERANCE:
            return Verdict.SLOWER
        return Verdict.FASTER if self.measured.low > self.bound + _TOLERANCE else Verdict.AS


@dataclass(frozen=True)
class DistanceFinding:
    """One set of keys. distances, excesses: means over queries at each K of `entries`.

    over_entries: exponent of the distance over K; over_log: of the excess over log K, None where it is 0.
    """

    keys: str
    queries: int
    entries: tuple[int, ...]
    distances: tuple[float, ...]
    excesses: tuple[float, ...]
    over_entries: Exponent | None
    over_log: Exponent | None


def angle_findings(results: Version) -> list[AngleFinding]:
    """One for each sweep, in the order of the table."""
    delta = results.attributes["delta"]
    rows = {name: list(each) for name, each in groupby(angle_rows(results), key=lambda row: row.sweep)}
    return [_angle_finding(sweep, rows[sweep["name"]], delta) for sweep in results.attributes["sweeps"]]


def distance_findings(results: Version) -> list[DistanceFinding]:
    """One for each set of keys, in the order of the table."""
    found = []
    for keys, group in groupby(distance_rows(results), key=lambda row: row.keys):
        by_size = [list(each) for _, each in groupby(group, key=lambda row: row.entries)]
        entries = [rows[0].entries for rows in by_size]
        distances, excesses = (
            np.array([[getattr(row, what) for row in rows] for rows in by_size]).T for what in ("distance", "excess")
        )
        found.append(
            DistanceFinding(
                keys,
                len(distances),
                tuple(entries),
                tuple(distances.mean(axis=0).tolist()),
                tuple(excesses.mean(axis=0).tolist()),
                paired_exponent(entries, distances),
                paired_exponent(np.log(entries).tolist(), excesses),
            )
        )
    return found


def constant(findings: list[AngleFinding]) -> float:
    """The smallest C with which 1 − δ of the trials of every point stay below the bound."""
    return max(point.reached / point.bound for each in findings for point in each.points)


def unsupported(angles: list[AngleFinding], distances: list[DistanceFinding]) -> list[str]:
    """What the measurements do not support of the theorem and of the abstract, or do not tell: a sentence each, what
    contradicts the bound first.
    """
    order = [Verdict.FASTER, Verdict.SLOWER, Verdict.NONE]
    doubted = [each for verdict in order for each in angles if each.verdict is verdict]
    told = [_doubt(each) for each in doubted]
    told.append('"Scales logarithmically with the dictionary size" (abstract): K is not in theorem 1.')
    return told + [_doubt_of_logarithm(each) for each in distances]


def in_brackets(found: Exponent, decimals: int = 2) -> str:
    """0.51 [0.49, 0.53]."""
    value, low, high = (f"{number:.{decimals}f}" for number in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]".replace("-", "\N{MINUS SIGN}")


def _doubt(found: AngleFinding) -> str:
    where = f"{found.quantity} ({found.fixed})"
    if found.measured is None:
        return f"{where}: nothing is measured, {found.verdict}."
    what = "the bound is not tight" if found.verdict is Verdict.SLOWER else "the error outgrows the bound"
    return (
        f"{where}: {what}; measured exponent {in_brackets(found.measured)}, the bound's {found.bound:.2f}. "
        f"To the first order, {found.note}."
    )


def _doubt_of_logarithm(found: DistanceFinding) -> str:
    distance = "has no exponent"
    if found.over_entries is not None:
        falls = "falls" if found.over_entries.high < 0.0 else "does not fall for certain"
        distance = f"{falls} as a power of K, with exponent {in_brackets(found.over_entries, 3)}"
    lost = f"what a perturbed search loses {_growth(found.over_log)}"
    return f"{found.keys}: the distance to the best of K {distance}; {lost}."


def _growth(over_log: Exponent | None) -> str:
    if over_log is None:
        return "is 0 in some draws: no exponent"
    text = f"has exponent {in_brackets(over_log)} over log K"
    if over_log.low > 1.0:
        return f"{text}, faster than log K"
    return (
        f"{text}, no faster than log K" if over_log.high <= 1.0 else f"{text}, which may be faster or slower than log K"
    )


def _angle_finding(sweep: dict[str, str], rows: list[AngleRow], delta: float) -> AngleFinding:
    groups = [list(each) for _, each in groupby(rows, key=lambda row: row.value)]
    errors = [np.array([row.error for row in each]) for each in groups]
    points = tuple(
        PointOfSweep(
            each[0].value,
            float(error.mean()),
            float(np.quantile(error, 1.0 - delta)),
            float(np.mean([row.first_order for row in each])),
            each[0].rate,
            each[0].cap,
        )
        for each, error in zip(groups, errors, strict=True)
    )
    kept = [index for index, point in enumerate(points) if point.error <= _BELOW_CAP * point.cap]
    values = [points[index].value for index in kept]
    enough = len(kept) > 2
    return AngleFinding(
        **sweep,
        points=points,
        used=len(kept),
        measured=exponent(values, [errors[index] for index in kept]) if enough else None,
        first_order=slope(values, [points[index].first_order for index in kept]) if enough else float("nan"),
        bound=slope(values, [points[index].rate for index in kept]) if enough else float("nan"),
    )
