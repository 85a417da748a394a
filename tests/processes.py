"""`clc` as a user runs it: in a process of its own, in a folder, with a profile small enough for tests."""

import os
import subprocess
import sys
from pathlib import Path

PROFILE = """
name = "small-test"

[photos]
reference = "folder:{reference}"
training = "folder:{reference}"
test = "folder:{test}"

[crop]
per_photo = 4
[features]
backbone = "hog"
[reduce]
dim = 4
[cluster]
entries = 8
[training]
steps = 2
batch = 2
crop = 64
refresh_every = 1
log_every = 1
[evaluation]
clc_qualities = [20, 80]
jpeg_qualities = [30, 60]
webp_qualities = [30, 60]
avif_qualities = []
jpeg_xl_qualities = []
hevc_qualities = []
vvc_qualities = []
panel_images = 1
"""


def clean_environment() -> dict[str, str]:
    """Without what the machine that runs the tests has set up for itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CLC_"))}


def run_module(folder: Path, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m module arguments` in a folder, with what it printed."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=clean_environment() | environment,
        check=False,
        capture_output=True,
        text=True,
    )


def our_line(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line in which a command says why it ended with 2."""
    assert finished.returncode == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    [line] = [line for line in finished.stderr.splitlines() if line.startswith("clc: ")]
    return line
