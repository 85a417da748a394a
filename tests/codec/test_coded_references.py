"""References as coded pictures: made of whole photos, found by what a stream names, the same on every machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifacts import find_values, open_codec, read_model, reference_latents
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.references.artifact import ReferencesConfig, references
from clc.codec.references.coded import CodedPhotos, open_coded
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.picture_cache import PictureCache
from clc.codec.references.picture_check import verify_references
from clc.codec.references.picture_folder import PictureFolder
from clc.dictionary.build import build_dictionary
from clc.dictionary.inspect.photos import write_photos
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.dictionary.stages.reduce import ReduceConfig
from clc.errors import (
    BitstreamError,
    CorruptArtifactError,
    DictionaryError,
    MissingArtifactError,
    OutputError,
)
from clc.images import open_source
from clc.images.patch import pixels_sha256
from clc.images.psnr import psnr
from clc.store import Kind, Store, Version, copy_version, import_version
from clc.store.lean_export import export_references
from clc.store.shipped import LayeredStore, shipped_store
from clc.store_decoder import StoreDecoder
from tests.conftest import picture
from tests.dictionary.test_align import WHOLE

pytestmark = pytest.mark.medium

HEIGHT, WIDTH = 288, 544
NAMES = ("one", "two")


def photo_of(seed: int) -> NDArray[np.uint8]:
    """Its right half is nearly flat, so that no patch is cut there."""
    pixels = picture(seed, HEIGHT, WIDTH)
    pixels[:, 256:] = 90 + 20 * seed
    return pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed, name in enumerate(NAMES):
        Image.fromarray(photo_of(seed)).save(folder / f"{name}.png")
    Image.fromarray(picture(7, 50, 50)).save(folder / "too small for a patch.png")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return LayeredStore(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def dictionary(folder: Path, store: Store) -> Version:
    configs = WHOLE | {"reduce_config": ReduceConfig(dim=2)}
    return build_dictionary(open_source(f"folder:{folder}"), store=store, **configs).version


@pytest.fixture(scope="module")
def model(store: Store) -> Version:
    return store.get(Kind.MODEL, "tiny")


@pytest.fixture(scope="module")
def made(dictionary: Version, model: Version, folder: Path, store: Store) -> Version:
    """References at the default quality, made last; there are some of another quality, too."""
    source = open_source(f"folder:{folder}")
    references(dictionary, model, source, config=ReferencesConfig(quality=40), store=store)
    return references(dictionary, model, source, config=ReferencesConfig(), store=store).version


@pytest.fixture(scope="module")
def codec(made: Version, store: Store, model: Version, dictionary: Version) -> Codec:
    return open_encoder(store, model, dictionary)[0]


@pytest.fixture(scope="module")
def decoder(model: Version) -> ExactDecoder:
    return ExactDecoder(read_model(model), model.short_id)


@pytest.fixture(scope="module")
def whole(made: Version, decoder: ExactDecoder) -> CodedPhotos:
    return CodedPhotos(made, decoder)


def related(seed: int) -> NDArray[np.uint8]:
    """The same view once more, with something new in it."""
    pixels = photo_of(seed)
    pixels[100:160, 60:130] = picture(9, 60, 70)
    return pixels


def test_every_photo_is_there_once_and_whole(whole: CodedPhotos, dictionary: Version) -> None:
    assert whole.photo_sha256 == [pixels_sha256(photo_of(seed)) for seed in range(2)]
    assert len(whole) == 2
    assert whole.entries == dictionary.attributes["entries"] > 2
    for seed in range(2):
        shown = whole.picture(seed)
        assert shown.shape == photo_of(seed).shape
        assert psnr(photo_of(seed), shown) > 33
        # No entry shows the right edge.
        assert np.abs(shown[:, -20:].astype(int) - photo_of(seed)[:, -20:]).max() < 12


def test_entries_are_rectangles_of_the_photos_that_they_were_cut_from(whole: CodedPhotos, dictionary: Version) -> None:
    table = dictionary.table("entries", columns=["photo_sha256", "x", "y"]).to_pylist()
    for entry, row in enumerate(table):
        shown = whole.picture(whole.photo_sha256.index(row["photo_sha256"]))
        assert np.array_equal(whole.patch(entry), shown[row["y"] : row["y"] + 256, row["x"] : row["x"] + 256])
        assert np.array_equal(whole.photo(entry), shown)
        assert whole.size(entry) == shown.shape[:2]
    assert whole.shown() == sorted({whole.name(entry) for entry in range(len(table))})
    assert len(whole.shown()) == 2


def test_references_cost_what_coded_photos_cost(made: Version, dictionary: Version, codec: Codec) -> None:
    streams = sum(len(each) for each in made.table("pictures")["stream"].to_pylist())
    assert 0 < made.manifest.files["pictures"].bytes - streams < 4000
    assert made.manifest.files["pictures"].bytes < dictionary.manifest.files["entries"].bytes / 10
    assert codec.lookup.bytes == sum(entry.bytes for entry in made.manifest.files.values())


def test_photos_are_coded_at_the_quality_and_effort_of_the_profile(
    made: Version, dictionary: Version, model: Version, folder: Path, store: Store
) -> None:
    source, config = open_source(f"folder:{folder}"), ReferencesConfig(quality=40)
    coarse = references(dictionary, model, source, config=config, store=store).version
    alone = open_codec(store, model)
    own, lazy = (
        alone.compress(photo_of(0), quality=40, references=False, effort=effort) for effort in (config.effort, 0)
    )
    assert coarse.table("pictures", columns=["stream"])["stream"][0].as_py() == own != lazy
    assert made.manifest.recipe.config == {"quality": 100.0, "effort": 1}


def test_making_them_again_is_skipped(
    made: Version, dictionary: Version, model: Version, folder: Path, store: Store
) -> None:
    again = references(dictionary, model, open_source(f"folder:{folder}"), config=ReferencesConfig(), store=store)
    assert again.skipped
    assert again.version == made


@pytest.mark.parametrize("always", [True, False])
def test_a_stream_names_its_references_and_comes_back(codec: Codec, made: Version, always: bool) -> None:
    data = codec.compress(related(0), quality=30, always=always)
    assert len(data) < 0.7 * len(codec.compress(related(0), quality=30, references=False))
    header = Bitstream.from_bytes(data).header
    assert header.dictionary_id == made.short_id
    assert header.is_aligned
    assert psnr(codec.decompress(data), related(0)) > 24


def with_tiles(codec: Codec) -> bytes:
    """A stream with entries as references, whatever would pay."""
    image = related(0)
    used = codec.lookup.entries(np.array([[0, 1, 2]]), *image.shape[:2])
    return codec.encoder.code_with(codec.encoder.analyse(image, references=False), 30.0, used).data


@pytest.fixture(scope="module")
def streams(codec: Codec) -> dict[str, bytes]:
    return {"tiles": with_tiles(codec), "aligned": codec.compress(related(0), quality=30)}


def test_another_process_needs_model_and_references_only(
    codec: Codec, streams: dict[str, bytes], made: Version, model: Version, tmp_path: Path
) -> None:
    """With other threads and instructions, and nothing in its cache; it compares checksums of the latents."""
    there = Store(tmp_path / "store")
    copy_version(made, there)
    copy_version(model, there)
    for kind, data in streams.items():
        (tmp_path / f"{kind}.clc").write_bytes(data)
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2", "CLC_STORE": there.url}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    command = [sys.executable, "-m", "clc", "decompress", *(f"{kind}.clc" for kind in streams), "-O", "shown"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    for kind, data in streams.items():
        shown = np.asarray(Image.open(tmp_path / "shown" / f"{kind}.png")).astype(int)
        assert np.abs(shown - codec.decompress(data)).max() <= 1


def test_of_several_qualities_a_stream_finds_its_own(
    streams: dict[str, bytes], store: Store, made: Version, dictionary: Version, model: Version
) -> None:
    """Encoders take those that were made last."""
    assert find_values(store, dictionary, model) == made
    [coarse] = [each for each in store.versions(Kind.REFERENCES) if each != made]
    assert coarse.attributes["quality"] == 40
    other = open_codec(store, model, coarse)
    data = with_tiles(other)
    decoder = StoreDecoder(store)
    assert np.array_equal(np.asarray(decoder.decompress(data)), other.decompress(data))
    decoder.decompress(streams["tiles"])
    with pytest.raises(MissingArtifactError, match="needs references"):
        other.decompress(streams["tiles"])


def test_streams_with_stored_latents_decode_beside_references(
    made: Version, store: Store, dictionary: Version, model: Version
) -> None:
    stored = reference_latents(dictionary, model, store=store).version
    older = open_codec(store, model, dictionary, latents=stored)
    data = with_tiles(older)
    assert Bitstream.from_bytes(data).header.dictionary_id == dictionary.short_id
    assert np.array_equal(np.asarray(StoreDecoder(store).decompress(data)), older.decompress(data))


def test_a_stream_whose_references_are_elsewhere_says_what_to_import(
    streams: dict[str, bytes], made: Version, model: Version, tmp_path: Path
) -> None:
    there = Store(tmp_path)
    copy_version(model, there)
    with pytest.raises(MissingArtifactError, match=f"references/{made.short_id} is not in .*references import FILE"):
        StoreDecoder(there).decompress(streams["tiles"])


def test_a_photo_that_the_source_no_longer_has_is_named(
    dictionary: Version, model: Version, folder: Path, store: Store, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "photos")
    Image.fromarray(picture(5, HEIGHT, WIDTH)).save(tmp_path / "photos" / "two.png")
    source = open_source(f"folder:{tmp_path / 'photos'}")
    with pytest.raises(DictionaryError, match=r"no longer has the pixels of photo 'two\.png'"):
        references(dictionary, model, source, config=ReferencesConfig(quality=50), store=store)


def test_a_photo_is_found_by_its_pixels_whatever_it_is_called_now_and_gives_the_same_again(
    made: Version, dictionary: Version, model: Version, store: Store, tmp_path: Path
) -> None:
    for seed, name in enumerate(reversed(NAMES)):
        Image.fromarray(photo_of(seed)).save(tmp_path / f"{name}.webp", lossless=True)
    source = open_source(f"folder:{tmp_path}")
    again = references(dictionary, model, source, config=ReferencesConfig(), store=store, force=True)
    assert again.version == made


def test_pictures_that_were_decoded_while_references_were_made_are_not_decoded_again(
    whole: CodedPhotos, dictionary: Version, model: Version, folder: Path, store: Store
) -> None:
    def never(_: bytes) -> NDArray[np.uint8]:
        raise AssertionError("decoded again")

    source, cache = open_source(f"folder:{folder}"), PictureCache(None)
    references(dictionary, model, source, config=ReferencesConfig(), store=store, force=True, pictures=cache)
    for number in range(len(whole)):
        found = cache.picture(whole.stream(number), model.short_id, never)
        assert np.array_equal(found, whole.picture(number))


def test_references_of_another_model_are_refused(made: Version, codec: Codec) -> None:
    with pytest.raises(MissingArtifactError, match="not for model/0123456789abcdef"):
        open_coded(made, codec.model, "0123456789abcdef")


def changed(
    version: Version, store: Store, *, pictures: Callable[[dict], dict] = dict, entries: Callable[[dict], dict] = dict
) -> Version:
    """A version with other rows: whoever made it had a fault, or means harm."""
    recipe = version.manifest.recipe.model_copy(update={"config": {"quality": -1}})
    with store.draft(Kind.REFERENCES, recipe) as draft:
        for name, change in (("pictures", pictures), ("entries", entries)):
            rows = [change(row) for row in version.table(name).to_pylist()]
            schema = version.schema(name)
            with draft.table(name, schema) as table:
                table.write(pa.Table.from_pylist(rows, schema=schema))
        draft.tensors("exponents", version.tensors("exponents"))
        draft.attributes |= version.attributes
        return draft.publish()


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (lambda row: row | {"stream": row["stream"][:-9]}, "cannot be decoded .*cut short"),
        (lambda row: row | {"stream": row["stream"][:-1] + b"x"}, "cannot be decoded .*checksum"),
        (lambda row: row | {"height": row["height"] + 1}, "has other pixels"),
        (lambda row: row | {"pixels_sha256": "0" * 64}, "has other pixels"),
    ],
)
def test_a_damaged_picture_is_an_error_and_never_a_wrong_image(
    pictures: Callable[[dict], dict],
    message: str,
    made: Version,
    model: Version,
    dictionary: Version,
    decoder: ExactDecoder,
    streams: dict[str, bytes],
    tmp_path: Path,
) -> None:
    there = Store(tmp_path)
    copy_version(model, there)
    copy_version(dictionary, there, emptied=frozenset({"image"}))
    broken = changed(made, there, pictures=pictures)
    with pytest.raises(CorruptArtifactError, match=f"picture 0 {message}"):
        CodedPhotos(broken, decoder).picture(0)
    renamed = replace(
        Bitstream.from_bytes(streams["tiles"]),
        header=replace(Bitstream.from_bytes(streams["tiles"]).header, dictionary_id=broken.short_id),
    ).to_bytes()
    with pytest.raises(CorruptArtifactError, match="picture 0"):
        StoreDecoder(there).decompress(renamed)
    assert [each.what.startswith("picture") for each in verify_references(broken, there)] == [True, True]


@pytest.mark.parametrize(
    "entries",
    [
        lambda row: row | {"x": WIDTH - 255},
        lambda row: row | {"y": HEIGHT - 255},
        lambda row: row | {"x": -1},
        lambda row: row | {"picture": 2},
        lambda row: row | {"picture": -1},
    ],
)
def test_a_rectangle_outside_its_picture_is_refused(
    entries: Callable[[dict], dict], made: Version, decoder: ExactDecoder, tmp_path: Path
) -> None:
    broken = changed(made, Store(tmp_path), entries=entries)
    with pytest.raises(CorruptArtifactError, match="entry 0 lies outside its picture"):
        CodedPhotos(broken, decoder)


def test_other_rectangles_than_the_encoders_are_noticed(
    made: Version, model: Version, streams: dict[str, bytes], tmp_path: Path
) -> None:
    there = Store(tmp_path)
    copy_version(model, there)
    moved = changed(made, there, entries=lambda row: row | {"x": row["x"] ^ 1})
    stream = Bitstream.from_bytes(streams["tiles"])
    renamed = replace(stream, header=replace(stream.header, dictionary_id=moved.short_id))
    with pytest.raises(BitstreamError, match="damaged"):
        StoreDecoder(there).decompress(renamed.to_bytes())


def test_a_picture_that_has_references_itself_is_refused(decoder: ExactDecoder, streams: dict[str, bytes]) -> None:
    with pytest.raises(BitstreamError, match="coded alone"):
        decoder.decompress(streams["tiles"])


def test_the_exact_decoder_shows_what_the_ordinary_one_does(made: Version, decoder: ExactDecoder, codec: Codec) -> None:
    for stream in made.table("pictures")["stream"].to_pylist():
        difference = decoder.decompress(stream).astype(int) - codec.decompress(stream)
        assert np.abs(difference).max() <= 1


def test_pictures_in_an_exchanged_cache_are_decoded_again(
    made: Version, decoder: ExactDecoder, whole: CodedPhotos, tmp_path: Path
) -> None:
    folder = PictureFolder(tmp_path / "pictures")
    first = CodedPhotos(made, decoder, PictureCache(folder)).picture(0)
    kept = next((tmp_path / "pictures").iterdir())
    # Whoever may write there can also write what belongs to it.
    cache = PictureCache(folder)
    stream = whole.stream(0)
    kept.unlink()
    cache.picture(stream, decoder.model_id, lambda _: np.zeros_like(first))
    assert not PictureCache(folder).picture(stream, decoder.model_id, decoder.decompress).any()
    assert np.array_equal(CodedPhotos(made, decoder, PictureCache(folder)).picture(0), first)


@pytest.mark.parametrize("fault", ["full", "unwritable"])
def test_a_cache_that_takes_nothing_changes_nothing(
    fault: str, made: Version, decoder: ExactDecoder, whole: CodedPhotos, tmp_path: Path
) -> None:
    place = tmp_path / "pictures"
    if fault == "unwritable":
        place.write_bytes(b"no folder")
    cache = PictureCache(PictureFolder(place, limit=10 if fault == "full" else 2**31), limit=10)
    assert np.array_equal(CodedPhotos(made, decoder, cache).picture(1), whole.picture(1))


def test_an_export_has_model_dictionary_and_references_and_no_patches(
    made: Version, model: Version, dictionary: Version, store: Store, streams: dict[str, bytes], tmp_path: Path
) -> None:
    file = tmp_path / "references.tar"
    with file.open("xb") as output:
        assert set(export_references(made, store, output)) == {made, model, dictionary}
    taken = sum(entry.bytes for each in (made, model) for entry in each.manifest.files.values())
    assert file.stat().st_size < taken + 200_000
    there = Store(tmp_path / "there")
    assert import_version(there, file) == made
    assert verify_references(made, there) == []
    assert verify_references(there.get(Kind.REFERENCES, made.id), there) == []
    elsewhere = StoreDecoder(there).decompress(streams["tiles"])
    assert np.array_equal(np.asarray(elsewhere), np.asarray(StoreDecoder(store).decompress(streams["tiles"])))
    # It can also be coded with: nothing of what encoding takes was left out.
    opened, retriever = open_encoder(there, model, there.get(Kind.DICTIONARY, dictionary.id))
    assert opened.compress(related(0), quality=30) == streams["aligned"]
    with pytest.raises(MissingArtifactError, match="without its patches"):
        retriever.patch(0)
    with pytest.raises(MissingArtifactError, match="without its patches"):
        reference_latents(there.get(Kind.DICTIONARY, dictionary.id), model, store=there)


def test_photos_come_back_as_files(
    whole: CodedPhotos, dictionary: Version, store: Store, tmp_path: Path, made: Version
) -> None:
    paths = write_photos(dictionary, store, tmp_path / "out")
    assert [path.name for path in paths] == [f"{name}.png" for name in NAMES]
    for number, path in enumerate(paths):
        assert np.array_equal(np.asarray(Image.open(path)), whole.picture(number))
    with pytest.raises(OutputError):
        write_photos(dictionary, store, tmp_path / "out")


def test_a_dictionary_without_references_says_how_to_make_them(world, store: Store, tmp_path: Path) -> None:
    assert shipped_store() is not None
    without = Store(tmp_path / "store")  # other tests give that of the world some
    with pytest.raises(MissingArtifactError, match="clc dictionary references"):
        write_photos(copy_version(world.dictionary, without), without, tmp_path)
    with pytest.raises(MissingArtifactError, match="clc dictionary references"):
        find_values(store, world.dictionary, store.get(Kind.MODEL, "tiny"))
