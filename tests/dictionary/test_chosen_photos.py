"""Which photos of a source are worth being references."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.dictionary.retrieval.resemblance import BlockCosts
from clc.dictionary.stages import patches
from clc.dictionary.stages.chosen_photos import worth_keeping
from clc.dictionary.stages.patches import CropConfig, crop
from clc.images import open_source
from clc.runtime.remarks import Summary
from clc.store import Store
from tests.archive.test_planning import again, scene


def compared(left: list[list[list[float]]]) -> BlockCosts:
    """Of photos with blocks in a row; left[i][k]: of those of photo i, with photo k; left[i][i]: alone."""
    costs = np.array(left)[:, :, None]
    others = np.array([[other for other in range(len(costs)) if other != photo] for photo in range(len(costs))])
    given = [costs[photo, others[photo]].astype(np.float16) for photo in range(len(costs))]
    return BlockCosts([costs[photo, photo] for photo in range(len(costs))], others, given)


# Of three photos that explain each other, one serves two of three that are coded, which saves 12.5 of 10 · 2.1 each. It
# takes 10 · 2.57^(40/30) = 35.2. A second serves the one photo that the first cannot: itself. And two average the noise
# of the third: that saves 10 · 1.1 · 10^-0.23 · 0.15 / 2 = 0.49. A third saves twice 0.49.
@pytest.mark.parametrize(("meant_for", "number"), [(4, 0), (5, 1), (8, 1), (9, 2), (108, 2), (110, 3), (10_000, 3)])
def test_a_photo_is_worth_it_if_enough_are_coded(meant_for: int, number: int) -> None:
    seen = compared([[[10.0] if photo == other else [0.0] for other in range(3)] for photo in range(3)])
    assert len(worth_keeping(seen, meant_for)) == number


def test_photos_that_explain_different_parts_are_worth_it_together_and_strangers_never() -> None:
    alone, first, second, stranger = [5.0, 5.0], [0.0, 5.0], [5.0, 0.0], [5.0, 5.0]
    rows = [[alone, stranger, stranger, stranger], [stranger, alone, stranger, stranger]]
    rows += [[first, second, alone, stranger], [stranger, stranger, stranger, alone]]
    assert worth_keeping(compared(rows), 1000) == [0, 1]
    rows[2][1] = stranger
    assert worth_keeping(compared(rows), 1000) == [0]


def test_as_many_are_coded_as_there_are() -> None:
    seen = compared([[[10.0] if photo == other else [0.0] for other in range(8)] for photo in range(8)])
    assert worth_keeping(seen, 1) == worth_keeping(seen, 8) != []


def large(picture: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(picture).resize((512, 384), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(4):
        large(again(scene(1), number)).save(tmp_path / f"photos/same-{number}.png")
    large(scene(2)).save(tmp_path / "photos/stranger.png")
    large(again(scene(1), 9)).resize((200, 150)).save(tmp_path / "photos/too small.png")
    (tmp_path / "photos/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    return tmp_path / "photos"


def test_patches_are_cut_from_what_is_worth_it(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    config, source = CropConfig(stride=128, meant_for=12), open_source(f"folder:{folder}")
    first = crop(source, config=config, store=store)
    names = {row["image_id"] for row in first.version.table("patches").to_pylist()}
    assert len(names) == 1
    assert all(name.startswith("same-") for name in names)
    assert first.version.statistics["photos_not_chosen"] == 4

    def never(*_: object) -> frozenset[str]:
        raise AssertionError("chosen again")

    monkeypatch.setattr(patches, "chosen_photos", never)
    with Summary() as summary:
        assert crop(source, config=config, store=store).skipped
    assert any("4 of 6 photos are no references" in line and "12 photos are coded" in line for line in summary.lines())


def test_where_none_is_worth_it_all_are_kept_and_that_is_said(folder: Path, store: Store) -> None:
    for number in range(1, 4):
        (folder / f"same-{number}.png").unlink()
    with Summary() as summary:
        version = crop(
            open_source(f"folder:{folder}"), config=CropConfig(stride=128, meant_for=1000), store=store
        ).version
    assert len({row["image_id"] for row in version.table("patches").to_pylist()}) == 2
    assert any("no photo saves more than it takes" in line for line in summary.lines())
