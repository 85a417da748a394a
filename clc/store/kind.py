"""The kinds of artifact that a store holds: one per stage of the pipeline."""

from enum import StrEnum


class Kind(StrEnum):
    """What a version is; also the name of its directory in the store.

    >>> Kind("patches") is Kind.PATCHES, str(Kind.MODEL)
    (True, 'model')
    """

    PATCHES = "patches"
    FEATURES = "features"
    REDUCED = "reduced"
    CLUSTERS = "clusters"
    DICTIONARY = "dictionary"
    LATENTS = "latents"
    REFERENCES = "references"
    ASSIGNMENTS = "assignments"
    MODEL = "model"
    RESULTS = "results"


BUILD_INPUTS = frozenset({Kind.PATCHES, Kind.FEATURES, Kind.REDUCED, Kind.CLUSTERS})
"""What a dictionary is built from and no longer needed to code with it."""
