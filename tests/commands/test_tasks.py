"""Names of outputs: none is another's on any file system, whatever the order of the inputs."""

import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from clc.commands.tasks import Task, check, plan
from clc.errors import OutputError
from clc.runtime.remarks import Summary

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def files_in(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def planned(*arguments: str, folder: str | None = None) -> list[Task]:
    return plan(
        arguments,
        folder=None if folder is None else Path(folder),
        suffix=".clc",
        names_output=lambda _: False,
        inside=files_in,
    )


def outputs(*arguments: str, folder: str | None = None) -> dict[str, str]:
    return {task.source: task.output for task in planned(*arguments, folder=folder)}


def write(names: Iterable[str]) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def said(*arguments: str, folder: str | None = None) -> list[str]:
    with Summary() as summary:
        check(planned(*arguments, folder=folder), folder=None if folder is None else Path(folder), overwrite=False)
    return summary.lines()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "a.png", "b.jpg"], ["a.jpg.clc", "a.png.clc", "b.clc"]),
        (["a", "a.jpg"], ["a.clc", "a.jpg.clc"]),
        (["A.JPG", "a.png"], ["A.JPG.clc", "a.png.clc"]),
        (["A.JPG", "a.jpg"], ["A.JPG.clc", "a.jpg (2).clc"]),
        (["A.jpg", "a.jpg", "a.jpg (2).png"], ["A.jpg.clc", "a.jpg (3).clc", "a.jpg (2).clc"]),
        ([f"{COMPOSED}.jpg", f"{DECOMPOSED}.png"], [f"{COMPOSED}.jpg.clc", f"{DECOMPOSED}.png.clc"]),
        (["STRASSE.jpg", "stra\u00dfe.png"], ["STRASSE.jpg.clc", "stra\u00dfe.png.clc"]),
        (["a.jpg", "a.jpg.tif", "a.png"], ["a.jpg (2).clc", "a.jpg.clc", "a.png.clc"]),
    ],
    ids=lambda names: " ".join(names),
)
def test_outputs_that_would_be_one_keep_their_suffix_in_any_order(names: list[str], expected: list[str]) -> None:
    write(names)
    for order in itertools.permutations(names):
        assert outputs(*order) == dict(zip(names, expected, strict=True))
        together = {name: f"out/{output}" for name, output in zip(names, expected, strict=True)}
        assert outputs(*order, folder="out") == together


def test_a_folder_is_treated_as_its_files_are_and_each_folder_alone() -> None:
    write(["in/a.jpg", "in/a.png", "in/inner/a.jpg", "in/inner/b.png", "in/other/b.jpg"])
    expected = {
        "in/a.jpg": "a.jpg.clc",
        "in/a.png": "a.png.clc",
        "in/inner/a.jpg": "inner/a.clc",
        "in/inner/b.png": "inner/b.clc",
        "in/other/b.jpg": "other/b.clc",
    }
    assert outputs("in", folder="out") == {name: f"out/{output}" for name, output in expected.items()}
    assert outputs("in") == {name: f"in/{output}" for name, output in expected.items()}


def test_photos_of_several_folders_that_go_to_one_keep_their_suffix() -> None:
    write(["x/a.jpg", "y/a.png"])
    for order in (["x", "y"], ["y", "x"], ["x/a.jpg", "y"]):
        assert outputs(*order, folder="out") == {"x/a.jpg": "out/a.jpg.clc", "y/a.png": "out/a.png.clc"}
    assert outputs("x/a.jpg", "y/a.png") == {"x/a.jpg": "x/a.clc", "y/a.png": "y/a.clc"}


def test_a_folder_of_several_names_is_one_folder() -> None:
    write(["in/a.jpg", "in/a.png"])
    Path("link").symlink_to("in")
    assert outputs("in/a.jpg", "link/a.png") == {"in/a.jpg": "in/a.jpg.clc", "link/a.png": "link/a.png.clc"}


def test_folders_that_differ_in_case_alone_are_told_apart_where_they_are_made() -> None:
    """In the folder of the outputs, which may be on a file system that takes them for one."""
    write(["in/X/a.jpg", "in/x/a.jpg"])
    assert outputs("in") == {"in/X/a.jpg": "in/X/a.clc", "in/x/a.jpg": "in/x/a.clc"}
    expected = {"in/X/a.jpg": "out/X/a.jpg.clc", "in/x/a.jpg": "out/x/a.jpg (2).clc"}
    assert outputs("in", folder="out") == expected


def test_an_output_does_not_get_the_name_of_a_folder_of_outputs() -> None:
    write(["in/a.jpg", "in/a.clc/b.jpg"])
    assert outputs("in", folder="out") == {"in/a.jpg": "out/a.jpg.clc", "in/a.clc/b.jpg": "out/a.clc/b.clc"}


def test_no_two_of_many_are_one_on_any_file_system() -> None:
    chance = random.Random(5)
    stems = ["a", "A", "a.jpg", "a (2)", "a.jpg (2)", COMPOSED, DECOMPOSED, COMPOSED.upper()]
    suffixes = ["", ".jpg", ".JPG", ".png", ".clc"]
    every = sorted({f"in/{stem}{suffix}" for stem in stems for suffix in suffixes})
    write(every)
    for _ in range(50):
        names = chance.sample(every, 12)
        made = outputs(*names, folder="out")
        assert len({name.casefold().replace(DECOMPOSED, COMPOSED) for name in made.values()}) == len(names)
        assert outputs(*reversed(names), folder="out") == made


def test_one_line_says_which_outputs_keep_their_whole_names() -> None:
    write(["in/a.jpg", "in/a.png", "in/b.jpg"])
    line = "its output keeps its whole name, as another would have the same: 2 files (in/a.jpg, in/a.png)"
    assert said("in", folder="out") == [line]
    assert said("in/b.jpg", "in/a.jpg", folder="out") == []


def test_what_is_refused_says_nothing_of_names() -> None:
    write(["a.jpg", "a.png", "a.jpg.clc"])
    with Summary() as summary, pytest.raises(OutputError, match=r"a\.jpg\.clc is there already"):
        check(planned("a.jpg", "a.png"), folder=None, overwrite=False)
    assert summary.lines() == []


def test_a_file_that_is_named_twice_is_refused_also_among_others_of_its_name() -> None:
    write(["in/a.jpg", "in/a.png"])
    for twice in ("./in/a.jpg", str(Path("in/a.jpg").absolute())):
        with pytest.raises(OutputError, match="is named twice; name it once"):
            check(planned("in/a.jpg", "in/a.png", twice), folder=None, overwrite=False)
