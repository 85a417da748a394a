"""The flow, run as a user runs it: a real process, a real embedded Prefect, real files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_photos

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


def run(folder: Path, module: bool, profile: str = "profile.toml") -> subprocess.CompletedProcess[str]:
    command = (
        [sys.executable, "-m", "pipelines.rebuild"] if module else [sys.executable, "-m", "clc", "pipeline", "run"]
    )
    return subprocess.run(
        [*command, "--profile", profile],
        cwd=folder,
        env=clean_environment(),
        check=False,
        capture_output=True,
        text=True,
    )


def clean_environment() -> dict[str, str]:
    """Without what the machine that runs the tests has set up for itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CLC_"))}


@pytest.mark.slow
def test_a_rebuild_that_stops_is_finished_by_the_next_one_and_the_third_has_nothing_to_do(
    photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "profile.toml"
    above = f'{PROFILE}\n[drift]\nrebuild = "above"\n'
    path.write_text(above.format(reference=photos, test=photos))
    stopped = run(tmp_path, module=True)
    assert stopped.returncode == 2
    [line] = [line for line in stopped.stderr.splitlines() if line.startswith("clc: ")]
    assert "is the same as" in line  # a test photo that was trained on
    assert "Traceback" not in stopped.stderr

    # The photos are those of the last dictionary, but nothing that was made of it is in production.
    test = write_photos(tmp_path / "test-photos", range(100, 102))
    path.write_text(above.format(reference=photos, test=test))
    first = run(tmp_path, module=True)
    assert first.returncode == 0, first.stderr
    versions = dict(line.split() for line in first.stdout.splitlines())
    assert list(versions) == ["dictionary", "assignments", "model", "latents", "results", "report", "production"]
    assert versions["production"] == versions["model"]
    assert "JPEG" in (tmp_path / versions["report"]).read_text()
    for kind in ("dictionary", "model", "results"):
        manifest = json.loads((tmp_path / "artifacts" / versions[kind] / "manifest.json").read_text())
        assert manifest["id"].startswith(versions[kind].split("/")[1])

    path.write_text(PROFILE.format(reference=photos, test=test))
    second = run(tmp_path, module=False)
    assert second.returncode == 0, second.stderr
    assert dict(line.split() for line in second.stdout.splitlines()) == versions
    stages = [line for line in second.stderr.splitlines() if "stage=" in line]
    stages = [line for line in stages if not re.search("stage=(drift|report|promote) ", line)]  # never skipped
    assert len(stages) == 9, "\n".join(stages)
    assert all("skipped" in line for line in stages)
    assert "nothing to do" in second.stderr
