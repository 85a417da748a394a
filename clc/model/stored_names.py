"""Names of parameters in model files of earlier releases, and what they are called now.

Old files say nothing of which names they use, but they have some that no new file has.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Stored = TypeVar("Stored")

_OLD = "prior.deviation"  # every old file has it, no new one
_GONE = re.compile(r"gaussian\.|hyper_prior\.(quantiles|target|likelihood_lower_bound|_)")


def current_names(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """The same arrays under today's names; what no network has any longer is left out."""
    if _OLD not in stored:
        return dict(stored)
    renamed = _renamings(stored)
    names = {name: name for name in stored if not _GONE.match(name)}
    for name in names:
        for old, new in renamed:
            if name.startswith(old):
                names[name] = new + name.removeprefix(old)
                break
    return {new: stored[old] for old, new in names.items()}


def _renamings(stored: Iterable[str]) -> list[tuple[str, str]]:
    """Prefixes, old and new. What codes with references was named as what codes in a model without any."""
    conditioned = any(name.startswith("prior.matches.") for name in stored)
    usual = "prior.conditioned." if conditioned else "prior.plain."
    return [
        ("prior.deviation", "prior.scale.deviation"),
        ("prior.matches.", "prior.conditioned.matches."),
        ("prior.unmatched.", "prior.plain.slices."),
        ("prior.slices.", f"{usual}slices."),
        ("h_a_unmatched.", "prior.plain.h_a."),
        ("h_a.", f"{usual}h_a."),
    ]
