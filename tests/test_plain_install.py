"""`pip install clc` without an extra: it compresses and decompresses, and says which extra anything else needs.

The environment is new, and CLC in it is the wheel of this checkout. What that requires, and no more, is linked into
it from where these tests run: downloading PyTorch for every run would take minutes and gigabytes.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import Image

from tests.conftest import picture
from tests.processes import clean_environment

ROOT = Path(__file__).parents[1]
MEGABYTES_BESIDE_PYTORCH = 350

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="an installed package has no checkout"),
]


@dataclass(frozen=True)
class Plain:
    """The environment. requirements: what is in it beside CLC, by name."""

    python: Path
    requirements: dict[str, Distribution]

    def run(self, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
        environment = clean_environment()
        environment.pop("PYTHONPATH", None)
        command = [str(self.python), *map(str, arguments)]
        return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)

    def clc(self, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
        return self.run(self.python.with_name("clc"), *arguments, folder=folder)


def required_by(texts: Iterable[str]) -> dict[str, Distribution]:
    """The distributions that requirements name, and those that these require, by name."""
    found: dict[str, Distribution] = {}
    visited: set[tuple[str, str]] = set()
    wanted = [requirement for requirement in map(Requirement, texts) if applies(requirement, "")]
    while wanted:
        requirement = wanted.pop()
        name = requirement.name.lower().replace("_", "-")
        each = found.setdefault(name, distribution(name))
        for extra in {"", *requirement.extras}:
            if (name, extra) not in visited:
                visited.add((name, extra))
                wanted += [own for own in map(Requirement, each.requires or []) if applies(own, extra)]
    return found


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def megabytes(distributions: Iterable[Distribution]) -> float:
    return sum(file.size or 0 for each in distributions for file in each.files or []) / 1e6


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    root = tmp_path_factory.mktemp("plain")
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", root, ROOT], check=True)
    [wheel] = root.glob("clc-*.whl")
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    target = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    [metadata] = target.glob("clc-*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    required = required_by(line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: "))
    for each in required.values():
        inside = {target / file: file.locate() for file in each.files or [] if ".." not in file.parts}  # no scripts
        for link, file in inside.items():  # some packages list a file twice
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return Plain(python, required)


def test_it_is_small_beside_pytorch(plain: Plain) -> None:
    pytorch = required_by(["torch"])
    beside = megabytes(each for name, each in plain.requirements.items() if name not in pytorch)
    print(f"PyTorch and what it needs: {megabytes(pytorch.values()):.0f} MB; all else: {beside:.0f} MB")
    assert beside < MEGABYTES_BESIDE_PYTORCH
    absent = {"scikit-learn", "faiss-cpu", "scikit-image", "scipy", "torchvision", "compressai", "prefect", "httpx"}
    assert not absent & plain.requirements.keys()


def test_a_photo_goes_to_a_file_and_back(plain: Plain, tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "photo.png")
    coded = plain.clc("compress", "photo.png", "photo.clc", folder=tmp_path)
    assert coded.returncode == 0, coded.stderr
    assert plain.clc("decompress", "photo.clc", "again.png", folder=tmp_path).returncode == 0
    assert Image.open(tmp_path / "again.png").size == (420, 360)
    command = [sys.executable, "-m", "clc", "compress", "photo.png", "full.clc"]
    subprocess.run(command, cwd=tmp_path, env=clean_environment() | {"PYTHONPATH": str(ROOT)}, check=True)
    assert (tmp_path / "full.clc").read_bytes() == (tmp_path / "photo.clc").read_bytes()


def test_golden_streams_decode(plain: Plain, tmp_path: Path) -> None:
    """With references, too: this small model aligns them as in the paper."""
    code = f"""
import sys, clc
assert "site-packages" in clc.__file__
sys.path.append({str(ROOT)!r})  # for the golden files alone: clc is there already
import numpy as np
from clc.images import read_image
from tests.codec.golden_files import FOLDER, VERSION_6, golden_codec
for folder, name in (FOLDER, "image"), (FOLDER, "alone"), (VERSION_6, "alone"), (VERSION_6, "blocks-beside"):
    decoded = golden_codec().decompress((folder / f"{{name}}.clc").read_bytes())
    assert np.abs(decoded.astype(int) - read_image(folder / f"{{name}}.png")).max() <= 1
"""
    done = plain.run("-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "options", "extra"),
    [
        ("dictionary build", "--source folder:.", "build"),
        ("train", "--profile tiny --data folder:.", "build"),
        ("evaluate", "--dataset folder:.", "build"),
        ("data fetch", "kodak", "build"),
        ("pipeline run", "--profile demo", "pipelines"),
        ("experiment", "table1", "pipelines"),
    ],
)
def test_what_is_missing_is_one_line(plain: Plain, tmp_path: Path, command: str, options: str, extra: str) -> None:
    done = plain.clc(*command.split(), *options.split(), folder=tmp_path)
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith(f"clc: clc {command} needs ")
    assert line.endswith(f": pip install 'clc[{extra}]'")
    assert not list(tmp_path.iterdir())
