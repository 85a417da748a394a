"""`clc` as a user runs it: in a process of its own, in a folder, with a profile small enough for tests."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import write_photos

NETWORK = """
[model.transform]
widths = [24, 48, 64]
hidden = [8, 16, 24]
synthesis_hidden = [8, 12, 16]
blocks = [1, 1, 1]
latent_channels = 64
[model.prior]
hyper_channels = 16
hyper_width = 24
slices = [4, 12, 48]
slice_width = 24
"""
"""What makes preset `tiny` about as small as the network of `tests.miniature`: after the other fields of [model]."""

PROFILE = (
    """
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
[model]
preset = "tiny"
"""
    + NETWORK
    + """
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
)


def small_photos(folder: Path, number: int = 6) -> dict[str, Path]:
    """For `PROFILE`. Patches fit into each reference photo, two tiles cover each test photo."""
    return {
        "reference": write_photos(folder / "reference", range(number), height=264, width=300),
        "test": write_photos(folder / "test-photos", range(100, 102), height=104, width=280),
    }


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
