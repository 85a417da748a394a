"""`clc evaluate`: the tables it prints are of what it stores, and photos that were seen before are refused."""

from pathlib import Path

import pytest
from PIL import Image

from clc.evaluation.compare.rate_difference import rate_difference
from clc.evaluation.report.text import MeasuredCurve, measured_curves
from clc.store import Kind, Store
from tests.commands.conftest import Call, assert_refused
from tests.conftest import World, picture


@pytest.fixture
def clc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, network_only: None) -> Call:
    return Call(capsys, monkeypatch)


@pytest.fixture(scope="module")
def store(world: World, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A copy of the world's that results may go to."""
    import shutil

    return Store(shutil.copytree(world.store.url, tmp_path_factory.mktemp("evaluate") / "store"))


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small photos."""
    folder = tmp_path_factory.mktemp("unseen")
    for seed in (200, 201):
        Image.fromarray(picture(seed, 128, 176)).save(folder / f"{seed}.png")
    return folder


def rows(out: str, first: str) -> list[list[str]]:
    """The cells of a table's rows whose first cell is this."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line.startswith("|")]
    return [cells for cells in lines if cells[0] == first]


def curve_of(store: Store, name: str) -> MeasuredCurve:
    results = store.get(Kind.RESULTS, "latest")
    [found] = [curve for curve in measured_curves(results, {"200.png", "201.png"}) if curve.name == name]
    return found


@pytest.mark.medium
def test_the_tables_are_of_the_results_that_are_stored(clc: Call, store: Store, unseen: Path) -> None:
    options = ("--dataset", f"folder:{unseen}", "--qualities", "10,50,90", "--store", store.url)
    code, out, err = clc("evaluate", *options)
    assert code == 0, err
    points = rows(out, "JPEG")
    means = curve_of(store, "JPEG").summary
    assert [(row[1], row[2], row[3]) for row in points] == [(f"{m.quality:g}", "2", f"{m.bpp:.4f}") for m in means]
    assert [row[1] for row in rows(out, "clc, no references")[:3]] == ["10", "50", "90"]
    [(_, _, rate, sure, *_)] = [row for row in rows(out, "clc, no references") if row[1] == "JPEG"]
    found = rate_difference(curve_of(store, "JPEG").points, curve_of(store, "clc, no references").points)
    assert (rate if found is None else f"{100 * found.mean:+.1f} %") == rate
    assert sure in ("none", "")  # two photos are too few for an interval
    results = store.get(Kind.RESULTS, "latest")
    assert out.splitlines()[-1].startswith(f"{results}; alias latest")

    again = clc("evaluate", *options)
    assert again[1] == out
    assert "stage=evaluate photo" not in again[2]  # measured once


@pytest.mark.medium
def test_each_effort_has_rows_and_seconds_and_is_compared_with_none(clc: Call, store: Store, unseen: Path) -> None:
    options = ("--dataset", f"folder:{unseen}", "--qualities", "20,80", "--store", store.url, "--alias", "efforts")
    code, out, err = clc("evaluate", *options, "--effort", "0,1", "--anchor", "latest")
    assert code == 0, err
    for name in ("clc", "clc, no references"):
        usual, searched = rows(out, name), rows(out, f"{name}, effort 1")
        assert [row[1] for row in searched] == ["20", "80", name]  # the points, and the difference
        assert [row[3:] for row in searched[:2]] != [row[3:] for row in usual[:2]]
        for quality in (20, 80):
            [(_, encode, before, times, _)] = rows(out, f"{name}, effort 1, quality {quality}")
            half = 0.005  # seconds are shown with two digits behind the point, multiples with one
            least, most = (
                (float(encode) - half) / (float(before) + half),
                (float(encode) + half) / (float(before) - half),
            )
            assert least - 0.05 <= float(times) <= most + 0.05


@pytest.mark.medium
def test_an_anchor_is_another_model_without_references(clc: Call, store: Store, unseen: Path) -> None:
    options = ("--dataset", f"folder:{unseen}", "--qualities", "20,80", "--store", store.url)
    code, out, err = clc("evaluate", *options, "--anchor", "latest", "--alias", "anchored")
    assert code == 0, err
    anchor = f"clc, model {store.get(Kind.MODEL, 'latest').short_id}"
    assert [row[1] for row in rows(out, anchor)] == ["20", "80"]
    assert [row[1] for row in rows(out, "clc") if row[1].startswith("clc")] == [anchor]
    assert not rows(out, "JPEG")
    # The same model without references: nothing is gained or lost.
    [(_, _, rate, *_)] = [row for row in rows(out, "clc, no references") if row[1] == anchor]
    assert rate == "+0.0 %" or rate.startswith("none")


def test_photos_of_the_dictionary_or_the_training_are_refused(clc: Call, store: Store, world: World) -> None:
    refused = clc("evaluate", "--dataset", f"folder:{world.photos}", "--store", store.url)
    assert_refused(refused, "photo-", "evaluate on photos")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--published", "kodak"), "kodak has 24 photos, these are 2"),
        (("--published", "none"), "use one of kodak"),
        (("--published", "kodak", "--anchor", "latest"), "give one of them"),
        (("--qualities", "10;50"), "with commas"),
        (("--qualities", "50,10"), "ascend"),
        (("--effort", "3"), "ascend from 0"),
        (("--effort", "0,10"), "less than or equal to 9"),
        (("--model", "nowhere"), "nowhere"),
        (("--dataset", "kodak"), "clc data fetch kodak"),
    ],
)
def test_mistakes_are_one_line(
    clc: Call,
    store: Store,
    unseen: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    wanted: str,
) -> None:
    monkeypatch.setenv("CLC_DATASETS", str(tmp_path))
    given = ("--dataset", f"folder:{unseen}", "--qualities", "20,80", "--store", store.url)
    code, _, err = clc("evaluate", *given, *options)
    assert code == 2
    assert wanted in err.splitlines()[-1]  # after the log of what was measured
