"""`clc experiment`, run as a user runs it."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.experiments.data_sets import DATA
from clc.store import Kind, Store
from clc.store.shipped import LayeredStore
from tests.conftest import picture
from tests.processes import our_line, run_module

pytestmark = pytest.mark.slow


def write_pack(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """A Parquet file of photos."""
    files = [io.BytesIO() for _ in pictures]
    for file, each in zip(files, pictures, strict=True):
        Image.fromarray(each).save(file, "PNG")
    pq.write_table(pa.table({"image": [file.getvalue() for file in files]}), path)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A folder of photo packs; what the test photos show, some reference photos show, too."""
    photos = [picture(seed, height=264, width=300) for seed in range(8)]
    for name in ("dictionary", "train-0"):
        write_pack(tmp_path / f"{name}.parquet", photos)
    write_pack(tmp_path / "kodak.parquet", [photo[60:164, 10:290] for photo in photos[:2]])
    return tmp_path


def test_an_experiment_leaves_its_table_under_an_alias_and_does_nothing_twice(
    packs: Path, prefect_home: str, tmp_path: Path
) -> None:
    store = LayeredStore(tmp_path / "artifacts")
    store.aliases.set(Kind.MODEL, "production", store.get(Kind.MODEL, "tiny"))  # quicker than the default
    environment = {DATA: str(packs), "PREFECT_HOME": prefect_home}
    first = run_module(tmp_path, "clc", "experiment", "figure2c", **environment)
    assert first.returncode == 0, first.stderr
    results = Store(tmp_path / "artifacts").aliases.resolve(Kind.RESULTS, "figure2c-kodak")
    assert f"{results}: `clc report {results.short_id}`" in first.stdout
    assert "| references |" in first.stdout
    again = run_module(tmp_path, "clc", "experiment", "figure2c", **environment)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "published" not in again.stderr


def test_an_experiment_without_its_server_ends_in_one_line(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/api"
    refused = run_module(tmp_path, "clc", "experiment", "figure2c", PREFECT_API_URL=url)
    assert f"the Prefect server at {url} does not answer" in our_line(refused)
