"""`clc.load` as a program meets it: names in, bytes and pictures out."""

import copy
import doctest
import multiprocessing
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import clc
from clc import api
from clc.api import StoreCodec, find_model
from clc.codec.artifacts import find_latents, open_codec, other_latents, read_model, write_model
from clc.codec.bitstream import describe
from clc.codec.codec import Codec
from clc.codec.stream_header import tile_count
from clc.errors import (
    BitstreamError,
    CorruptArtifactError,
    ImageError,
    MissingArtifactError,
    OutputError,
    ProfileError,
)
from clc.images import PictureFormat, read_image
from clc.model.config import Conditioning
from clc.model.network import CalibrationCrop, CompressionModel
from clc.store import Kind, Recipe, Store, Version
from clc.store.shipped import LayeredStore
from clc.store_decoder import StoreDecoder
from tests.conftest import World
from tests.miniature import MINIATURE

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def codec(world: World) -> StoreCodec:
    return clc.load(store=world.store)


@pytest.fixture(scope="module")
def path(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of two tiles, one of them narrow."""
    path = tmp_path_factory.mktemp("api") / "photo.png"
    Image.open(world.test_photos / "photo-100.png").crop((0, 0, 280, 130)).save(path)
    return path


@pytest.fixture
def photo(path: Path) -> NDArray[np.uint8]:
    return read_image(path)


@pytest.fixture
def desk(world: World, codec: StoreCodec, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with photo.png and photo.clc, and the world's store as the default one: where the examples run."""
    monkeypatch.setenv("CLC_STORE", world.store.url)
    monkeypatch.chdir(tmp_path)
    shutil.copy(path, "photo.png")
    codec.compress_file("photo.png", "photo.clc")


@pytest.mark.usefixtures("network_only")
def test_the_examples_run_as_written(desk: None) -> None:
    result = doctest.testmod(api)
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.mark.usefixtures("network_only")
def test_the_readmes_example_runs_as_written(desk: None, photo: NDArray[np.uint8]) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec("\n".join(code), names)
    assert isinstance(names["picture"], Image.Image)
    assert names["picture"].size == photo.shape[1::-1]


def test_what_clc_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="laod"):
        clc.laod  # noqa: B018


def test_the_default_is_production_else_what_comes_with_clc(tmp_path: Path) -> None:
    store = LayeredStore(tmp_path)
    shipped = find_model(store)
    assert shipped.storage.display() != store.url
    own = another_model(store, 1)
    store.aliases.set(Kind.MODEL, "latest", own)
    assert find_model(store) == shipped
    store.aliases.set(Kind.MODEL, "production", own)
    assert find_model(store) == find_model(store, "latest") == own


@pytest.mark.medium
def test_the_models_that_come_with_clc_code_photos(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    sizes = set()
    for name in ("default", "tiny"):
        codec = clc.load(name, store=str(tmp_path))
        data = codec.compress(photo, quality=30.0, references=False)
        assert codec.decompress(data).size == photo.shape[1::-1]
        sizes.add(len(data))
    assert len(sizes) == 2  # they are not the same


def another_model(store: Store, seed: int) -> Version:
    """A version without a network, to be named only."""
    with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1, config={"seed": seed})) as draft:
        draft.tensors("weights", {"bias": np.full(1, seed)})
        return draft.publish()


def test_a_model_of_another_release_is_refused(photo: NDArray[np.uint8]) -> None:
    store = Store("memory://foreign-model")
    foreign = another_model(store, 3)
    with pytest.raises(CorruptArtifactError, match="not a model of this release"):
        clc.load(foreign.id, store=store).compress(photo)


def test_a_model_that_takes_no_references_needs_no_dictionary(photo: NDArray[np.uint8]) -> None:
    network = CompressionModel(MINIATURE.model_copy(update={"conditioning": Conditioning.NONE}))
    network.freeze([CalibrationCrop(torch.rand(1, 3, 64, 64), None, 50.0)])
    store = Store("memory://model-alone")
    with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1, config={})) as draft:
        write_model(draft, network)
        model = draft.publish()
    codec = clc.load(model.id, store=store)
    assert codec.decompress(codec.compress(photo)).size == photo.shape[1::-1]


@pytest.mark.parametrize("name", ["latest", "id", "prefix"])
def test_a_model_can_be_named_in_every_way_of_the_store(world: World, name: str) -> None:
    names = {"latest": "latest", "id": world.model.id, "prefix": world.model.id[:9]}
    assert clc.load(names[name], store=world.store.url).model == world.model


@pytest.mark.parametrize("names", [{"model": "none"}, {"dictionary": "none"}])
def test_unknown_names_are_refused_at_once(world: World, names: dict[str, str]) -> None:
    with pytest.raises(MissingArtifactError, match="none"):
        clc.load(store=world.store, **names)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:one", "mps", ""])
def test_a_device_that_is_not_there_is_refused_at_once(world: World, device: str) -> None:
    with pytest.raises(ProfileError, match="cpu"):
        clc.load(store=world.store, device=device)


@pytest.mark.medium
def test_a_path_a_picture_and_its_pixels_give_the_same_stream(
    codec: StoreCodec, path: Path, photo: NDArray[np.uint8]
) -> None:
    streams = {codec.compress(form) for form in (path, str(path), photo, Image.fromarray(photo), Image.open(path))}
    assert len(streams) == 1


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_pictures_are_converted_as_files_are(codec: StoreCodec, photo: NDArray[np.uint8], tmp_path: Path, mode: str):
    picture = Image.fromarray(photo[:40, :50]).convert(mode)
    if mode == "RGBA":
        picture.putalpha(100)
    picture.save(tmp_path / "a.tiff")
    quick = {"quality": 20, "references": False}
    assert codec.compress(picture, **quick) == codec.compress(tmp_path / "a.tiff", **quick)


def test_a_picture_whose_file_is_truncated_is_an_image_error(codec: StoreCodec, path: Path, tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ImageError, match="cannot be decoded"):
        codec.compress(Image.open(tmp_path / "half.png"))


@pytest.mark.usefixtures("network_only")
def test_what_comes_back_is_what_the_models_codec_decodes(
    codec: StoreCodec, world: World, photo: NDArray[np.uint8]
) -> None:
    data = codec.compress(photo, quality=30)
    assert describe(data)["dictionary"] == world.dictionary.short_id
    plain = open_codec(world.store, world.model, world.dictionary)
    assert np.array_equal(np.asarray(codec.decompress(data)), plain.decompress(data))


def test_without_references_the_stream_needs_no_dictionary(codec: StoreCodec, photo: NDArray[np.uint8]) -> None:
    data = codec.compress(photo, references=False)
    assert describe(data)["dictionary"] is None
    assert codec.decompress(data).size == photo.shape[1::-1]


@pytest.mark.medium
def test_a_rate_and_a_psnr_can_be_asked_for(codec: StoreCodec, photo: NDArray[np.uint8]) -> None:
    wanted = describe(codec.compress(photo, quality=60))["bpp"]
    assert isinstance(wanted, float)
    assert describe(codec.compress(photo, bpp=wanted))["bpp"] == pytest.approx(wanted, rel=0.02)
    with pytest.raises(ProfileError, match="can be reached"):
        codec.compress(photo, psnr=90)
    with pytest.raises(ProfileError, match="contradict"):
        codec.compress(photo, quality=50, psnr=30)


@pytest.mark.usefixtures("network_only")
def test_streams_of_other_models_of_the_store_are_decoded(
    world: World, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    store = Store(shutil.copytree(world.store.url, tmp_path / "store"))
    network = read_model(world.model)
    for bias in list(network.g_s.parameters())[-1:]:
        bias += 0.25
    with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1, config={"brighter": 0.25})) as draft:
        write_model(draft, network)
        brighter = draft.publish()
    data = Codec(network, brighter.short_id).compress(photo, references=False)
    loaded = clc.load("latest", store=store)
    assert loaded.model != brighter
    own = loaded.decompress(loaded.compress(photo, references=False))
    assert np.asarray(loaded.decompress(data)).mean() > np.asarray(own).mean() + 10


def test_a_stream_of_an_unknown_model_says_what_to_import(
    world: World, photo: NDArray[np.uint8], codec: StoreCodec
) -> None:
    data = Codec(read_model(world.model), "ab" * 8).compress(photo[:9, :9], references=False)
    with pytest.raises(MissingArtifactError, match=r"abababababababab.*import"):
        codec.decompress(data)


def test_a_stream_coded_with_what_another_machine_made_of_the_dictionary_decodes(
    world: World, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    store = Store(shutil.copytree(world.store.url, tmp_path / "store"))
    model = find_model(store)
    dictionary = store.get(Kind.DICTIONARY, model.attributes["dictionary"])
    other = latents_of_another_machine(store, find_latents(store, dictionary, model))
    coder = open_codec(store, model, dictionary, latents=other)
    tiles, number = tile_count(*photo.shape[:2]), coder.model.config.references
    used = coder.lookup.entries(np.tile(np.arange(number), (tiles, 1)), *photo.shape[:2])
    data = coder.encoder.code_with(coder.encoder.analyse(photo, references=False), 50.0, used).data
    assert np.array_equal(np.asarray(StoreDecoder(store).decompress(data)), coder.decompress(data))
    with pytest.raises(BitstreamError):
        StoreDecoder(world.store).decompress(data)


def test_latents_of_another_machine_do_not_hide_those_that_are_shipped(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """World's store is the shipped one; the user's own has the same model, and latents that another machine made."""
    model = find_model(world.store)
    dictionary = world.store.get(Kind.DICTIONARY, model.attributes["dictionary"])
    shipped = find_latents(world.store, dictionary, model)
    monkeypatch.setattr("clc.store.shipped.shipped_store", lambda: world.store)
    own = LayeredStore(tmp_path / "own")
    other = latents_of_another_machine(own, shipped)
    assert {version.id for version in own.versions(Kind.LATENTS)} >= {shipped.id, other.id}
    assert [version.id for version in other_latents(own, dictionary, model)] == [other.id]


def test_larger_images_than_were_asked_for_are_refused_both_ways(world: World, photo: NDArray[np.uint8]) -> None:
    height, width = 20, 30
    small = clc.load(store=world.store, max_pixels=height * width)
    data = small.compress(photo[:height, :width], references=False)
    assert small.decompress(data).size == (width, height)
    with pytest.raises(ImageError, match="max_pixels"):
        small.compress(photo[: height + 1, :width], references=False)
    with pytest.raises(BitstreamError, match="max_pixels"):
        StoreDecoder(world.store, max_pixels=height * width - 1).decompress(data)


def test_a_damaged_file_that_pillow_reads_only_now_is_an_image_error(codec: StoreCodec, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(tmp_path / "whole.png")
    data = bytearray((tmp_path / "whole.png").read_bytes())
    data[data.rindex(b"IDAT")] ^= 0xFF  # the second: opening a file reads no further than the first
    (tmp_path / "damaged.png").write_bytes(data)
    with Image.open(tmp_path / "damaged.png") as lazy, pytest.raises(ImageError, match="cannot be decoded"):
        codec.compress(lazy)


def latents_of_another_machine(store: Store, own: Version) -> Version:
    """A version that differs from `own` in every value, as if rounding had been that different."""
    recipe = own.manifest.recipe.model_copy(update={"config": {"machine": "another"}})
    with store.draft(Kind.LATENTS, recipe) as draft:
        column = own.table("latents")["latent"].combine_chunks()
        changed = pa.array(np.roll(column.flatten().to_numpy(), 1))
        schema = pa.schema([pa.field("latent", column.type)])
        with draft.table("latents", schema) as table:
            table.write(pa.table([pa.FixedSizeListArray.from_arrays(changed, column.type.list_size)], schema=schema))
        draft.tensors("exponents", own.tensors("exponents"))
        draft.attributes |= own.attributes
        return draft.publish()


def test_a_decoder_needs_no_alias_and_reads_a_model_once(
    world: World, codec: StoreCodec, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    store = Store(shutil.copytree(world.store.url, tmp_path / "store"))
    shutil.rmtree(tmp_path / "store" / "model" / "aliases")
    decoder = StoreDecoder(store)
    first = decoder.decompress(codec.compress(photo, quality=20))
    shutil.rmtree(tmp_path / "store")
    again = decoder.decompress(codec.compress(photo, quality=20))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda own: pickle.loads(pickle.dumps(own))])
def test_a_copy_codes_alike_and_reads_the_weights_again(
    world: World, photo: NDArray[np.uint8], copied: Callable[[StoreCodec], StoreCodec]
) -> None:
    own = clc.load("latest", store=LayeredStore(world.store.url), dictionary="latest", max_pixels=photo.size)
    data = own.compress(photo)
    other = copied(own)
    assert isinstance(other.store, LayeredStore)
    assert (other.store.url, other.model, other.dictionary) == (own.store.url, own.model, own.dictionary)
    assert (other.device, other.max_pixels) == (own.device, own.max_pixels)
    assert other.compress(photo) == data
    assert other.decompress(data) == own.decompress(data)
    assert other._encoder(True) is not own._encoder(True)


def test_what_is_pickled_is_small_whatever_was_opened(codec: StoreCodec, photo: NDArray[np.uint8]) -> None:
    codec.compress(photo)
    assert len(pickle.dumps(codec)) < 2000


@pytest.mark.medium
def test_a_decoder_can_be_sent_to_another_process(world: World, codec: StoreCodec, photo: NDArray[np.uint8]) -> None:
    data = codec.compress(photo)
    decoder = StoreDecoder(world.store)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = np.asarray(pool.submit(decoder.decompress, data).result()).astype(int)
    assert np.abs(there - np.asarray(decoder.decompress(data))).max() <= 1


def test_a_copy_is_refused_where_its_model_is_gone(world: World, tmp_path: Path) -> None:
    store = Store(shutil.copytree(world.store.url, tmp_path / "store"))
    sent = pickle.dumps(clc.load("latest", store=store))
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(MissingArtifactError, match=world.model.short_id):
        pickle.loads(sent)


def test_a_codec_says_its_model_its_dictionary_and_its_size(world: World, codec: StoreCodec) -> None:
    size = sum(path.stat().st_size for path in Path(world.model.directory).iterdir() if path.name != "manifest.json")
    assert repr(codec) == f"StoreCodec({world.model} of {size / 1e6:.1f} MB, {world.dictionary}, cpu)"
    assert repr(StoreDecoder(world.store)) == f"StoreDecoder({world.store}, cpu)"


def test_many_come_back_in_order(codec: StoreCodec, photo: NDArray[np.uint8]) -> None:
    sizes = [(30, 40), (64, 20), (5, 5)]
    streams = codec.compress_many((photo[:height, :width] for height, width in sizes), quality=20, references=False)
    assert [picture.size[::-1] for picture in codec.decompress_many(streams)] == sizes


def test_many_are_coded_as_they_are_taken_and_fail_where_one_fails(
    codec: StoreCodec, path: Path, tmp_path: Path
) -> None:
    streams = codec.compress_many([path, tmp_path / "none.png"], quality=20)
    assert next(streams) == codec.compress(path, quality=20)
    with pytest.raises(ImageError, match=r"none\.png"):
        next(streams)


def test_contradictions_are_refused_before_the_first_of_many(codec: StoreCodec) -> None:
    def images() -> Iterator[Path]:
        pytest.fail("an image was taken")
        yield Path()

    with pytest.raises(ProfileError, match="contradict"):
        codec.compress_many(images(), bpp=1, psnr=30)
    with pytest.raises(ProfileError, match="effort"):
        codec.compress_many(images(), effort=10)


def test_files_go_to_files(codec: StoreCodec, path: Path, tmp_path: Path) -> None:
    written = codec.compress_file(path, tmp_path / "a.clc", quality=40)
    assert (tmp_path / "a.clc").read_bytes() == written.data == codec.compress(path, quality=40)
    picture = codec.decompress_file(tmp_path / "a.clc", tmp_path / "a.png")
    assert np.array_equal(Image.open(tmp_path / "a.png"), picture)
    assert np.array_equal(codec.decompress(written.data), picture)


def test_a_file_that_is_there_is_replaced_only_if_asked(codec: StoreCodec, path: Path, tmp_path: Path) -> None:
    stream, picture = tmp_path / "a.clc", tmp_path / "a.png"
    for output in (stream, picture):
        output.write_text("old")
    with pytest.raises(OutputError, match="overwrite=True"):
        codec.compress_file(path, stream, quality=20)
    codec.compress_file(path, stream, quality=20, overwrite=True)
    with pytest.raises(OutputError, match="overwrite=True"):
        codec.decompress_file(stream, picture)
    assert picture.read_text() == "old"
    codec.decompress_file(stream, picture, overwrite=True)
    assert Image.open(picture).format == "PNG"


def test_no_file_is_both_input_and_output(codec: StoreCodec, path: Path, tmp_path: Path) -> None:
    photo = Path(shutil.copy(path, tmp_path))
    (tmp_path / "link.clc").symlink_to(photo)
    for output in (photo, tmp_path / "link.clc"):
        with pytest.raises(OutputError, match="is the input too"):
            codec.compress_file(photo, output, overwrite=True)
    codec.compress_file(photo, tmp_path / "a.clc", quality=20)
    with pytest.raises(OutputError, match="is the input too"):
        codec.decompress_file(tmp_path / "a.clc", tmp_path / "a.clc", overwrite=True)
    assert photo.read_bytes() == path.read_bytes()


def test_a_picture_is_written_in_the_format_that_its_name_says(codec: StoreCodec, path: Path, tmp_path: Path) -> None:
    codec.compress_file(path, tmp_path / "a.clc", quality=20)
    codec.decompress_file(tmp_path / "a.clc", tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").format == "JPEG"
    with pytest.raises(OutputError, match=r"\.png, \.jpg"):
        codec.decompress_file(tmp_path / "a.clc", tmp_path / "a.picture")
    codec.decompress_file(tmp_path / "a.clc", tmp_path / "a.picture", format=PictureFormat.WEBP)
    assert Image.open(tmp_path / "a.picture").format == "WEBP"


def test_files_that_cannot_be_read_or_written_are_named(codec: StoreCodec, path: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png"):
        codec.compress_file(tmp_path / "none.png", tmp_path / "a.clc")
    with pytest.raises(BitstreamError, match=r"none\.clc"):
        codec.decompress_file(tmp_path / "none.clc", tmp_path / "a.png")
    with pytest.raises(OutputError, match="cannot be written"):
        codec.compress_file(path, tmp_path / "no" / "a.clc", quality=20)
    assert list(tmp_path.iterdir()) == []
