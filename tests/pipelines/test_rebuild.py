"""The flow, run as a user runs it: a real process, a real embedded Prefect, real files."""

import json
import re
from pathlib import Path

import pytest

from tests.processes import PROFILE, our_line, run_module, small_photos


@pytest.mark.slow
def test_a_rebuild_that_stops_is_finished_by_the_next_one_and_the_third_has_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    above = f'{PROFILE}\n[drift]\nrebuild = "above"\n'
    photos = small_photos(tmp_path)
    path.write_text(above.format(**photos | {"test": photos["reference"]}))
    rebuild = ("pipelines.rebuild", "--profile", "profile.toml")
    assert "is the same as" in our_line(run_module(tmp_path, *rebuild))  # a test photo that was trained on

    # The photos are those of the last dictionary, but nothing that was made of it is in production.
    path.write_text(above.format(**photos))
    first = run_module(tmp_path, *rebuild)
    assert first.returncode == 0, first.stderr
    versions = dict(line.split() for line in first.stdout.splitlines())
    assert list(versions) == ["dictionary", "assignments", "model", "references", "results", "report", "production"]
    assert versions["production"] == versions["model"]
    assert "JPEG" in (tmp_path / versions["report"]).read_text()
    for kind in ("dictionary", "model", "results"):
        manifest = json.loads((tmp_path / "artifacts" / versions[kind] / "manifest.json").read_text())
        assert manifest["id"].startswith(versions[kind].split("/")[1])

    path.write_text(PROFILE.format(**photos))
    second = run_module(tmp_path, "clc", "pipeline", "run", "--profile", "profile.toml")
    assert second.returncode == 0, second.stderr
    assert dict(line.split() for line in second.stdout.splitlines()) == versions
    stages = [line for line in second.stderr.splitlines() if "stage=" in line]
    stages = [line for line in stages if not re.search("stage=(drift|report|promote) ", line)]  # never skipped
    assert len(stages) == 9, "\n".join(stages)
    assert all("skipped" in line for line in stages)
    assert "nothing to do" in second.stderr
