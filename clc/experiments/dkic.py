"""The rows of experiment `dkic`: the network with each of its parts replaced by the plainest thing in its place."""

from collections.abc import Iterator, Mapping
from typing import Any

from clc.experiments.budgets import Budget

Sizes = Mapping[str, Any]

# A ninth of the preset's work, so that two CPU cores get through.
_NARROW: Sizes = {
    "widths": [48, 96, 192],
    "hidden": [48, 64, 96],
    "groups": [4, 8, 8],
    "blocks": [1, 1, 1],
    "hyper_hidden": 32,
    "hyper_groups": 4,
    "hyper_blocks": 1,
    "latent_channels": 192,
}
_NARROW_PRIOR: Sizes = {"hyper_channels": 32, "hyper_width": 48, "slices": [4, 12, 32, 56, 88], "slice_width": 64}

# Residual blocks of two 3×3 convolutions that take as many multiplications, to 1 %.
_CONVOLUTIONS: Sizes = {
    "kind": "convolutional",
    "widths": [128, 256, 448],
    "hidden": [64, 112, 208],
    "blocks": [2, 3, 3],
    "latent_channels": 448,
}
_NARROW_CONVOLUTIONS: Sizes = {
    "kind": "convolutional",
    "widths": [48, 96, 192],
    "hidden": [36, 60, 128],
    "blocks": [1, 1, 1],
    "latent_channels": 192,
}

DKIC = "DKIC"
"""The row with all of it."""
_SLICES = 5
_NETWORK_ALONE: Sizes = {"always_references": True}  # what is hardly trained is not coded in another way instead
_CROP, _NARROW_CROP = 256, 128  # pixels along each side


def networks(budget: Budget) -> str:
    """What all rows train, for the head of a table."""
    if budget.narrow:
        return f"preset dkic narrowed to a ninth of its work, crops of {_NARROW_CROP}×{_NARROW_CROP}"
    return f"preset dkic, crops of {_CROP}×{_CROP}"


def changes(budget: Budget) -> Iterator[tuple[str, Mapping[str, Mapping[str, Any]]]]:
    """Rows and what they change in a profile; none knows references."""
    sizes, prior = (_NARROW, _NARROW_PRIOR) if budget.narrow else ({}, {})

    def row(transform: Sizes | None = None, **other: Any) -> Mapping[str, Mapping[str, Any]]:
        model = {"preset": "dkic", "conditioning": "none", "transform": transform or sizes, "prior": {**prior, **other}}
        training = {"crop": _NARROW_CROP if budget.narrow else _CROP}
        return {"model": model, "training": training, "evaluation": _NETWORK_ALONE}

    yield DKIC, row()
    yield "fixed kernels in g_a and g_s", row({**sizes, "kernels": "fixed"})
    yield "fixed kernels in h_a", row({**sizes, "hyper_kernels": "fixed"})
    yield "fixed kernels everywhere", row({**sizes, "kernels": "fixed", "hyper_kernels": "fixed"})
    yield "ordinary convolutions", row(_NARROW_CONVOLUTIONS if budget.narrow else _CONVOLUTIONS)
    yield "four stages in all slices", row(stages=[4] * _SLICES)
    yield "two stages in all slices", row(stages=[2] * _SLICES)
    yield "one stage in all slices", row(stages=[1] * _SLICES)
    yield "no stages", row(stages=None)
