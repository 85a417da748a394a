"""An experiment against video codecs: their rows stand beside ours, whoever is missing is named, and it runs once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from clc.errors import ProfileError
from clc.evaluation.codecs.video import Picture
from clc.evaluation.compare.summary import codec_names
from clc.evaluation.report.page import render_report
from clc.experiments.catalogue import EXPERIMENTS
from clc.experiments.data_sets import DataSet
from clc.experiments.frames import FRAMES_ANCHOR, check_frames, with_frames
from clc.experiments.variant import variant_profile
from clc.experiments.variants_table import combined, markdown, table
from clc.images import open_source, read_photos
from clc.production.profile import PhotoSources
from clc.store import Store, Version
from tests.conftest import write_photos
from tests.experiments.test_experiments import TINY, results

VIDEO = EXPERIMENTS["video"]


@dataclass(frozen=True)
class Frames:
    """A codec that takes so many bytes, fewer after others, and shows the photo somewhat darker."""

    size: int
    name: str = FRAMES_ANCHOR
    qualities: tuple[float, ...] = (1, 2, 3)
    settings: str = "for tests"
    gone: str | None = None

    def code(self, photo: Picture, before: Sequence[Picture], quality: float) -> tuple[int, Picture]:
        darker = np.where(photo > 9, photo - round(9 / quality), photo).astype(np.uint8)
        return round(self.size * quality / (1 + len(before))), darker

    def why_missing(self) -> str | None:
        return self.gone


@pytest.fixture
def related(tmp_path: Path) -> DataSet:
    shown, tested = write_photos(tmp_path / "shown", range(3)), write_photos(tmp_path / "tested", range(3, 9))
    sources = PhotoSources(reference=f"folder:{shown}", training=f"folder:{shown}", test=f"folder:{tested}")
    return DataSet("related", sources, elsewhere=f"folder:{tested}")


def of_photos(store: Store, data: DataSet, saving: float) -> Version:
    """Results of our codec whose rows are of the data set's test photos."""
    names = [photo.image_id for photo in read_photos(open_source(data.sources.test), [])]
    return results(store, f"ours {saving}", saving, names=names)


@pytest.mark.medium
def test_video_codecs_stand_beside_ours_and_are_what_is_compared_with(tmp_path: Path, related: DataSet) -> None:
    store = Store(str(tmp_path / "store"))
    budget = TINY.model_copy(update={"test_photos": 6, "collection_photos": 3})
    profile = variant_profile(VIDEO, VIDEO.variants(budget, related)[0], related, budget, 0)
    ours = of_photos(store, related, 0.0)
    codecs = [Frames(40_000), Frames(30_000, name="another"), Frames(1, name="gone", gone="install it")]
    added = with_frames(ours, profile, store=store, codecs=codecs)
    assert codec_names(added) == ["clc", FRAMES_ANCHOR, "another"]
    rows = [row for row in added.table("images").to_pylist() if row["codec"] == FRAMES_ANCHOR]
    assert len(rows) == 6 * 3
    assert {row["bytes"] for row in rows if row["quality"] == 1} == {10_000}, "after all three reference photos"
    assert {"codec": "gone", "reason": "install it"} in added.statistics["missing"]
    assert with_frames(ours, profile, store=store, codecs=codecs) == added

    runs = {("no references", 0): added, ("references", 0): of_photos(store, related, 0.5)}
    version = combined(VIDEO, related, budget, runs, store=store)
    found = {row.variant: row.psnr[0].rate for row in table(VIDEO, related, budget, version)}
    assert found["another"] is not None
    assert found["another"].mean == pytest.approx(-0.25, abs=1e-6)
    assert f"against {FRAMES_ANCHOR}" in markdown(VIDEO, related, budget, version)
    assert FRAMES_ANCHOR in render_report(version)


def test_it_is_refused_where_the_codec_to_compare_with_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ProfileError, match="install x265"):
        check_frames()
