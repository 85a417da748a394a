"""Qualities as a stream's header stores them."""

from clc.errors import ProfileError
from clc.model.gain import QUALITY_MAX, QUALITY_MIN, QUALITY_STEPS


def stored_quality(quality: float) -> float:
    """The quality that a header stores for this one. Raises ProfileError outside 1 to 100."""
    if not QUALITY_MIN <= quality <= QUALITY_MAX:
        raise ProfileError(f"quality must lie between {QUALITY_MIN:g} and {QUALITY_MAX:g}, not {quality:g}")
    return round(quality * QUALITY_STEPS) / QUALITY_STEPS
