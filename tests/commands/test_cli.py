"""`clc` as it is typed: what it prints, its exit codes, and that nothing half-made is left behind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clc as clc_package
from tests.archive.test_planning import again, scene
from tests.commands.conftest import Call, assert_refused
from tests.conftest import World, picture
from tests.processes import clean_environment


@pytest.fixture
def store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLC_STORE", world.store.url)


@pytest.fixture
def stream(clc: Call, store: None, network_only: None, world: World, tmp_path: Path) -> Path:
    path = tmp_path / "a.clc"
    assert clc("compress", world.test_photos / "photo-100.png", path)[0] == 0
    return path


def test_a_photo_goes_to_a_file_and_back(clc: Call, stream: Path, tmp_path: Path) -> None:
    code, out, _ = clc("decompress", stream, tmp_path / "a.png")
    assert (code, out) == (0, f"{tmp_path / 'a.png'}: 420x360\n")
    assert Image.open(tmp_path / "a.png").size == (420, 360)


def test_compressing_says_which_model_and_dictionary_were_used(
    clc: Call, store: None, network_only: None, world: World, tmp_path: Path
) -> None:
    photo = world.test_photos / "photo-100.png"
    with_references = clc("compress", photo, tmp_path / "a.clc")[1]
    assert f"model {world.model.short_id}, dictionary {world.dictionary.short_id}" in with_references
    alone = clc("compress", photo, tmp_path / "b.clc", "--no-references")[1]
    assert f"model {world.model.short_id}, no references" in alone


def test_models_that_come_with_clc_are_listed_as_such(clc: Call, store: None, world: World) -> None:
    lines = clc("model", "list")[1].splitlines()
    assert lines[1].startswith(world.model.short_id)
    [shipped] = [line for line in lines[2:] if line.endswith("default (comes with CLC)")]
    assert json.loads(clc("model", "show", "default")[1])["id"].startswith(shipped.split()[0])


def test_the_version_is_that_of_the_package(clc: Call) -> None:
    assert clc("--version")[:2] == (0, f"clc {clc_package.__version__}\n")


def test_help_shows_the_commands_in_groups(clc: Call) -> None:
    code, out, _ = clc("--help")
    places = [out.index(title) for title in ("Photos", "Dictionaries and models", "Measuring", "Artifacts and data")]
    assert code == 0
    assert places == sorted(places)
    assert places[2] < out.index(" evaluate ") < places[3]


def test_the_shell_completes_commands(tmp_path: Path) -> None:
    environment = clean_environment() | {"_CLC_COMPLETE": "complete_bash", "COMP_WORDS": "clc comp", "COMP_CWORD": "1"}
    code = "import sys; sys.argv[0] = 'clc'; from clc.cli import program; program()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.stdout.split() == ["compress"]


def test_info_is_json_with_ids_and_section_sizes(clc: Call, stream: Path, world: World) -> None:
    code, out, _ = clc("info", stream)
    description = json.loads(out)
    assert code == 0
    assert description["model"] == world.model.short_id
    assert description["dictionary"] == world.dictionary.short_id
    assert description["bytes"]["total"] == stream.stat().st_size
    assert {"header", "references", "z", "y"} < set(description["bytes"])


def test_a_flipped_bit_is_one_line_and_no_file(clc: Call, stream: Path, tmp_path: Path) -> None:
    data = bytearray(stream.read_bytes())
    data[len(data) // 2] ^= 4
    stream.write_bytes(data)
    assert_refused(clc("decompress", stream, tmp_path / "out.png"), "damaged")
    assert_refused(clc("info", stream), "damaged")
    assert list(tmp_path.iterdir()) == [stream]


def test_a_truncated_file_is_one_line_and_no_file(clc: Call, stream: Path, tmp_path: Path) -> None:
    stream.write_bytes(stream.read_bytes()[:-20])
    assert_refused(clc("decompress", stream, tmp_path / "out.png"), "damaged or cut short")
    assert list(tmp_path.iterdir()) == [stream]


def test_an_unknown_dictionary_is_named_with_what_to_do(clc: Call, stream: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from clc.codec.bitstream import Bitstream

    parsed = Bitstream.from_bytes(stream.read_bytes())
    foreign = replace(parsed, header=replace(parsed.header, dictionary_id="ab" * 8))
    stream.write_bytes(foreign.to_bytes())
    assert_refused(clc("decompress", stream, tmp_path / "out.png"), "abababababababab", "clc references import")
    assert list(tmp_path.iterdir()) == [stream]


def test_a_text_file_named_png_is_one_line_and_no_file(clc: Call, store: None, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("this is not a picture")
    assert_refused(clc("compress", tmp_path / "text.png", tmp_path / "out.clc"), "text.png")
    assert [path.name for path in tmp_path.iterdir()] == ["text.png"]


def test_missing_files_are_one_line(clc: Call, store: None, tmp_path: Path) -> None:
    assert_refused(clc("compress", tmp_path / "none.png", tmp_path / "out.clc"), "none.png")
    assert_refused(clc("decompress", tmp_path / "none.clc", tmp_path / "out.png"), "none.clc")


def test_an_unwritable_output_is_one_line(clc: Call, store: None, world: World, tmp_path: Path) -> None:
    photo = world.test_photos / "photo-100.png"
    assert_refused(clc("compress", photo, tmp_path / "no" / "such" / "out.clc"), "cannot be written")


@pytest.mark.parametrize("output", [".", "/", "photo-100.png/out.clc", "x" * 300 + ".clc"])
def test_an_impossible_output_is_one_line(
    clc: Call, store: None, world: World, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(world.test_photos)
    before = sorted(world.test_photos.iterdir())
    assert_refused(clc("compress", world.test_photos / "photo-100.png", output), "cannot be written")
    assert sorted(world.test_photos.iterdir()) == before


@pytest.mark.medium
def test_a_dictionary_that_is_new_to_the_model_can_be_used(
    clc: Call, world: World, network_only: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLC_STORE", str(shutil.copytree(world.store.url, tmp_path / "store")))
    options = ("--entries", 5, "--dim", 4, "--backbone", "hog", "--alias", "other")
    assert clc("dictionary", "build", "--source", f"folder:{photos}", *options)[0] == 0
    stream = tmp_path / "a.clc"
    assert clc("compress", world.test_photos / "photo-100.png", stream, "--dictionary", "other")[0] == 0
    assert clc("decompress", stream, tmp_path / "a.png")[0] == 0


@pytest.mark.medium
def test_an_empty_store_has_the_model_that_comes_with_clc(clc: Call, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(picture(100, 64, 80)).save(photo)
    stream, store = tmp_path / "o.clc", ("--store", tmp_path / "empty")
    assert clc("compress", photo, stream, *store)[0] == 0
    assert clc("decompress", stream, tmp_path / "o.png", *store)[0] == 0


def test_without_references_the_stream_names_no_dictionary(
    clc: Call, store: None, network_only: None, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "b.clc"
    assert clc("compress", world.test_photos / "photo-101.png", path, "--no-references", "--quality", 20)[0] == 0
    assert json.loads(clc("info", path)[1])["dictionary"] is None
    assert clc("decompress", path, tmp_path / "b.png")[0] == 0


def test_dictionaries_are_listed_shown_and_verified(clc: Call, store: None, world: World) -> None:
    assert world.dictionary.short_id in clc("dictionary", "list")[1]
    assert json.loads(clc("dictionary", "show", "latest")[1])["id"] == world.dictionary.id
    code, out, _ = clc("dictionary", "verify", "latest")
    assert (code, "is whole" in out) == (0, True)
    assert_refused(clc("dictionary", "verify", "nothing"), "nothing")


@pytest.mark.medium
def test_a_profile_that_chooses_photos_can_be_told_to_keep_all(clc: Call, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(4):  # of one scene: two of them say nearly all
        Image.fromarray(again(scene(1), number)).resize((512, 384)).save(tmp_path / f"photos/{number}.png")
    build = "dictionary", "build", "--profile", "collection", "--source", f"folder:{tmp_path / 'photos'}"
    options = "--no-references", "--store", tmp_path / "store"
    assert clc(*build, *options)[0] == clc(*build, *options, "--meant-for", 0, "--alias", "all")[0] == 0
    chosen, every = (json.loads(clc("dictionary", "show", of, *options[1:])[1]) for of in ("latest", "all"))
    assert every["attributes"]["entries"] == 4 * 6
    assert chosen["attributes"]["entries"] < every["attributes"]["entries"]


@pytest.mark.medium
def test_build_publishes_a_dictionary_and_moves_its_alias(clc: Call, photos: Path, tmp_path: Path) -> None:
    options = ("--entries", 8, "--dim", 4, "--backbone", "hog", "--store", tmp_path, "--alias", "mine")
    code, out, _ = clc("dictionary", "build", "--source", f"folder:{photos}", "--limit", 1, "--model", "tiny", *options)
    assert code == 0
    assert "8 entries" in out
    name, id = clc("dictionary", "alias", "mine", "--store", tmp_path)[1].split()
    assert name == "mine"
    assert id in out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["dictionary", "build"], "--source"),
        (["dictionary", "build", "--source", "folder:/does/not/exist", "--backbone", "hog"], "/does/not/exist"),
        (["dictionary", "build", "--source", "bundled", "--backbone", "vgg"], "vgg"),
        (["dictionary", "build", "--profile", "none"], "demo"),
        (["data", "fetch", "imagenet"], "kodak"),
    ],
)
def test_mistakes_are_one_line(
    clc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], wanted: str
) -> None:
    monkeypatch.setenv("CLC_STORE", str(tmp_path))
    assert_refused(clc(*arguments), wanted)


def test_an_unknown_profile_key_is_named(clc: Call, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('name = "p"\n[crop]\nsizes = 3\n')
    assert_refused(clc("dictionary", "build", "--profile", tmp_path / "p.toml"), "crop.sizes")


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    code = "import clc.cli, clc.commands.data as d; d.app.command('boom')(lambda: 1 / 0); clc.cli.main()"
    result = subprocess.run([sys.executable, "-c", code, "data", "boom"], check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError" in result.stderr


@pytest.mark.medium
def test_without_references_even_a_hardly_trained_model_shows_the_photo(
    clc: Call, store: None, world: World, tmp_path: Path
) -> None:
    stream = tmp_path / "a.clc"
    assert clc("compress", world.test_photos / "photo-100.png", stream, "--no-references", "--quality", 90)[0] == 0
    assert clc("decompress", stream, tmp_path / "a.png")[0] == 0
    decoded = np.asarray(Image.open(tmp_path / "a.png")).astype(float)
    assert np.mean((decoded - picture(100)) ** 2) < 400


def test_datasets_are_listed_with_whole_names(clc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLC_DATASETS", str(tmp_path))
    code, out, _ = clc("data", "list")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["name", "clic2020-professional-validation", "flickr2k", "flickr2w", "kodak"]


def test_two_dictionaries_are_compared_as_text_and_as_json(clc: Call, store: None, world: World, photos: Path) -> None:
    code, out, _ = clc("dictionary", "diff", "latest", "latest", "--probes", f"folder:{photos}?limit=1")
    assert code == 0
    assert "no entry changed" in out.lower()
    assert json.loads(clc("dictionary", "diff", "latest", "latest", "--json")[1])


def test_a_dictionary_is_explored_on_one_page(clc: Call, store: None, world: World, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    query = world.test_photos / "photo-100.png"
    assert clc("dictionary", "explore", "latest", "--out", page, "--query", query)[0] == 0
    assert "photo-100.png" in page.read_text()


def test_latents_carry_a_decoder_to_another_machine(
    clc: Call, stream: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "latents.tar"
    assert clc("latents", "export", world.latents.short_id, archive)[0] == 0
    monkeypatch.setenv("CLC_STORE", str(tmp_path / "elsewhere"))
    assert_refused(clc("decompress", stream, tmp_path / "a.png"), "import")
    assert clc("latents", "import", archive)[0] == 0
    assert clc("decompress", stream, tmp_path / "a.png")[0] == 0


@pytest.mark.medium
def test_references_are_made_exported_imported_and_decoded_again(
    clc: Call, world: World, network_only: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLC_STORE", str(shutil.copytree(world.store.url, tmp_path / "store")))
    monkeypatch.chdir(tmp_path)
    code, out, _ = clc("dictionary", "references", "latest", "--source", f"folder:{world.photos}", "--quality", 20)
    assert code == 0
    assert "6 photos" in out
    version = out.split(":")[0].removeprefix("references/")
    assert version in clc("references", "list")[1]
    assert "is whole" in clc("references", "verify", version)[1]
    assert clc("compress", world.test_photos / "photo-100.png", "a.clc")[0] == 0
    assert json.loads(clc("info", "a.clc")[1])["dictionary"] == version

    assert clc("references", "export", version, "all.tar", "--with-build-inputs")[0] == 0
    assert clc("references", "export", version, "lean.tar")[0] == 0
    assert Path("lean.tar").stat().st_size < Path("all.tar").stat().st_size - 2_000_000  # of patches

    monkeypatch.setenv("CLC_STORE", "elsewhere")
    assert_refused(clc("decompress", "a.clc", "a.png"), "import")
    assert clc("references", "import", "lean.tar")[0] == 0
    assert clc("decompress", "a.clc", "a.png")[0] == 0
    assert "is whole" in clc("references", "verify", version)[1]
    assert clc("dictionary", "verify", world.dictionary.short_id)[0] == 0
    assert clc("dictionary", "explore", world.dictionary.short_id, "--out", "page.html")[0] == 0
    assert "6 photos" in clc("dictionary", "photos", world.dictionary.short_id, "--out", "photos")[1]
    assert sorted(path.name for path in Path("photos").iterdir()) == [f"photo-{seed}.png" for seed in range(6)]
    assert_refused(clc("dictionary", "photos", world.dictionary.short_id, "--out", "photos"), "--force")


def test_a_photo_of_a_dictionary_that_is_gone_is_named(clc: Call, store: None, world: World, tmp_path: Path) -> None:
    shutil.copy(world.photos / "photo-0.png", tmp_path)
    result = clc("dictionary", "references", "latest", "--source", f"folder:{tmp_path}")
    assert_refused(result, "no longer has the pixels of photo 'photo-1.png' and 4 others")


def test_collecting_garbage_says_what_it_would_do(clc: Call, store: None, world: World) -> None:
    code, out, _ = clc("gc", "--keep-last", 0, "--keep-days", 0, "--dry-run")
    assert code == 0
    assert f"keep    {world.model}" in out
    assert "would remove" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", 2, "--minutes", 1), "in steps or in minutes, not both"),
        (("--dictionary", "nowhere"), "nowhere"),
        (("--data", "folder:nowhere"), "there is no such folder"),
        (("--conditioning", "some"), "conditioning"),
        (("--runs", "file", "--steps", 4), "name another folder for runs"),
        (("--from", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_in_training_are_one_line_before_it_starts(
    clc: Call,
    store: None,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("short.toml").write_text('name = "short"\n[training]\nsteps = 3\n')
    assert_refused(clc("train", "--profile", "short.toml", "--data", f"folder:{world.photos}", *options), message)
