"""A `.clc` stream as a file. Apart from the decoder, so that looking at one does not wait for PyTorch."""

from pathlib import Path

from clc.errors import BitstreamError


def read_stream(path: Path) -> bytes:
    """The bytes of a `.clc` file. Raises BitstreamError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BitstreamError(f"{path} cannot be read: {error.strerror or error}") from error
