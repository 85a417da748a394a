"""Running an encoder or a decoder that is a program of its own."""

import subprocess
from collections.abc import Sequence

from clc.errors import ImageError

_TIMEOUT = 600.0  # seconds; no picture should take one longer


def run_encoder(command: Sequence[str]) -> None:
    """Run it to its end. Raises ImageError, with its last words, if that fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise ImageError(f"{command[0]} failed with status {done.returncode}: {said[-1] if said else 'no message'}")
