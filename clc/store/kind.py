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
    ASSIGNMENTS = "assignments"
    MODEL = "model"
    RESULTS = "results"
