"""Whole rebuilds whose store is an object store, over the S3 protocol, by two machines at once.

Needs `pip install 'moto[server]' s3fs`; without them these tests are skipped.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from clc.images.decode import read_image
from clc.images.psnr import psnr
from clc.store import Kind, Store, verify_store
from tests.processes import PROFILE, clean_environment, run_module, small_photos
from tests.s3_server import needs_s3, new_bucket, s3_server

pytestmark = [needs_s3, pytest.mark.slow]


def test_two_machines_rebuild_at_once_and_a_third_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = small_photos(tmp_path)
    folders = [tmp_path / f"machine-{number}" for number in range(3)]
    for folder in folders:
        folder.mkdir()
        (folder / "profile.toml").write_text(PROFILE.format(**photos))
    with s3_server() as environment:
        url = new_bucket(environment, monkeypatch)
        command = ("pipelines.rebuild", "--profile", "profile.toml", "--store", url)
        running = [
            subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder,
                env=clean_environment() | environment,
                stdout=subprocess.PIPE,
                stderr=(folder / "log").open("x"),
                text=True,
            )
            for folder in folders[:2]
        ]
        printed = [process.communicate()[0] for process in running]
        logs = [(folder / "log").read_text() for folder in folders[:2]]
        assert [process.returncode for process in running] == [0, 0], "\n".join(logs)
        made = [dict(line.split() for line in each.splitlines()) for each in printed]
        kinds = ("dictionary", "assignments", "model", "references", "results", "production")
        assert [made[0][kind] for kind in kinds] == [made[1][kind] for kind in kinds]

        store = Store(url)
        assert verify_store(store) == []
        assert {version.id for version in store.versions(Kind.MODEL)} == {store.get(Kind.MODEL, "production").id}

        third = run_module(folders[2], *command, **environment)
        assert third.returncode == 0, third.stderr
        assert "nothing to do" in third.stderr
        assert not any((folder / "artifacts").exists() for folder in folders)

        (photo,) = sorted(photos["test"].iterdir())[:1]
        for arguments in (("compress", str(photo), "photo.clc"), ("decompress", "photo.clc", "photo.png")):
            done = run_module(folders[2], "clc", *arguments, "--store", url, **environment)
            assert done.returncode == 0, done.stderr
        assert psnr(read_image(photo), read_image(folders[2] / "photo.png")) > 10
