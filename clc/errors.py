"""The exceptions that CLC raises for mistakes and faults outside its own code.

Every message says what is wrong and what to do next. The command line prints it as one line and exits with 2;
anything that is not a `ClcError` is a bug and keeps its traceback.
"""


class ClcError(Exception):
    """Base of everything a caller may want to catch."""


class ProfileError(ClcError):
    """A profile or option has an unknown key or a value out of range."""


class TargetError(ProfileError):
    """No quality gives this image the rate or the PSNR that was asked for."""


class SourceError(ClcError):
    """A photo source cannot be opened or holds nothing usable."""


class ImageError(ClcError):
    """One image cannot be decoded (corrupt, truncated, not an image) or is refused."""


class OutputError(ClcError):
    """An output file cannot be written."""


class FetchError(ClcError):
    """A download failed, or what arrived is not what the manifest promises."""


class BadDownloadError(FetchError):
    """A downloaded archive is hostile or damaged: foreign paths, bombs, links."""


class StoreError(ClcError):
    """The artifact store cannot be read or written."""


class MissingArtifactError(StoreError):
    """A version, alias or recipe result is not in the store."""


class CorruptArtifactError(StoreError):
    """A published version does not match its own manifest."""


class AliasConflictError(StoreError):
    """An alias moved while it was being set."""


class DictionaryError(ClcError):
    """A dictionary cannot be built or queried as asked."""


class TooFewPatchesError(DictionaryError):
    """Fewer patches than the requested number of entries."""


class TrainingError(ClcError):
    """Training cannot start or cannot go on (bad data, divergence, foreign checkpoint)."""


class TrainingStoppedError(ClcError):
    """A signal stopped training after a checkpoint was written."""

    def __init__(self, step: int, signal: int) -> None:
        super().__init__(f"training stopped at step {step}, checkpoint written; the same command continues it")
        self.signal = signal


class OverlapError(ClcError):
    """A photo to evaluate on was used to build what is evaluated."""


class BitstreamError(ClcError):
    """A `.clc` stream is malformed, truncated, damaged or of an unknown format version."""


class ArchiveError(ClcError):
    """A `.clca` archive is malformed, cut short or damaged, cannot be read, or cannot be added to now."""


class ClusterError(ClcError):
    """The Dask workers that were asked for cannot be had, or were lost."""


class ServerError(ClcError):
    """The Prefect server that was asked for does not answer."""
