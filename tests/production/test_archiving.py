"""A pipeline's archives: begun with the photos of its dictionary, added to, in any file system; and back again."""

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image

import clc
from clc.archive.album import open_album
from clc.archive.exchange import references_of_archive
from clc.codec.references.artifact import ReferencesConfig, references
from clc.dictionary.build import build_dictionary
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.retrieval.queries import RetrievalConfig
from clc.dictionary.stages.assignments import assign
from clc.errors import ArchiveError, DictionaryError
from clc.images import PhotoSource, open_source
from clc.images.psnr import psnr
from clc.production.archive_config import ArchiveConfig
from clc.production.archive_place import ArchivePlace
from clc.production.archiving import pack_new_photos
from clc.store import Kind, Version
from clc.store.shipped import LayeredStore
from clc.training.config import TrainingConfig
from clc.training.job import AdaptedPreset, TrainingJob
from clc.training.train import train
from tests.archive.samples import archive_bytes, reader_of
from tests.archive.test_planning import again
from tests.conftest import DICTIONARY_CONFIGS, picture


@dataclass(frozen=True)
class Pipeline:
    """What a rebuild leaves behind: the shipped model, published again with a dictionary of these photos."""

    store: LayeredStore
    folder: Path
    photos: PhotoSource
    dictionary: Version
    model: Version
    references: Version


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    root = tmp_path_factory.mktemp("packing")
    folder = root / "photos"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(picture(seed, 288, 288)).save(folder / f"{seed}.png")
    store, photos = LayeredStore(str(root / "store")), open_source(f"folder:{folder}")
    dictionary = build_dictionary(photos, store=store, **DICTIONARY_CONFIGS).version
    assigned = assign(photos, Dictionary(dictionary), references=3, retrieval=RetrievalConfig(), store=store).version
    shipped = store.get(Kind.MODEL, "tiny")
    job = TrainingJob(
        photos, AdaptedPreset(preset="tiny"), TrainingConfig(steps=0, held_out=0), assigned, dictionary, shipped
    )
    model = train(job, store=store, runs=root / "runs").version
    made = references(dictionary, model, photos, config=ReferencesConfig(), store=store).version
    store.aliases.set(Kind.MODEL, "production", model)
    return Pipeline(store, folder, photos, dictionary, model, made)


@pytest.fixture(params=["memory", "local"])
def config(request: pytest.FixtureRequest, pipeline: Pipeline, tmp_path: Path) -> ArchiveConfig:
    folder = f"memory://albums-{uuid4().hex}" if request.param == "memory" else str(tmp_path / "albums")
    source = tmp_path / "incoming"
    source.mkdir()
    for path in pipeline.folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    return ArchiveConfig(source=f"folder:{source}", folder=folder, quality=40)


@pytest.mark.slow
def test_an_archive_begins_with_the_dictionary_and_takes_what_is_new(pipeline: Pipeline, config: ArchiveConfig) -> None:
    first = pack_new_photos(config, "small", pipeline.photos, store=pipeline.store)
    assert first.started
    assert first.url is not None
    assert first.url.endswith(f"small-{pipeline.dictionary.short_id}.clca")
    assert (first.summary.packed, first.summary.failed) == (0, [])  # the source holds the dictionary's photos alone

    related = again(picture(0, 288, 288), 5, noise=1.0)
    incoming = Path(config.source.removeprefix("folder:"))
    Image.fromarray(related).save(incoming / "related.png")
    (incoming / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    second = pack_new_photos(config, "small", pipeline.photos, store=pipeline.store)
    assert not second.started
    assert second.url == first.url
    assert second.summary.packed == second.summary.referring == 1
    assert [name for name, _ in second.summary.failed] == ["broken.png"]
    with clc.open(second.url, store=pipeline.store.url) as album:
        assert sorted(album) == ["0.png", "1.png", "related.png"]
        assert psnr(related, album.pixels("related.png")) > 27

    (incoming / "broken.png").unlink()
    third = pack_new_photos(config, "small", pipeline.photos, store=pipeline.store)
    assert (third.summary.packed, third.size) == (0, second.size)


@pytest.mark.slow
def test_the_same_streams_are_references_again(pipeline: Pipeline, tmp_path: Path) -> None:
    config = ArchiveConfig(source=f"folder:{pipeline.folder}", folder=str(tmp_path / "albums"))
    url = pack_new_photos(config, "small", pipeline.photos, store=pipeline.store).url
    assert url is not None
    with open_album(url, store=pipeline.store.url) as album:
        back = references_of_archive(
            album.archive,
            pipeline.dictionary,
            pipeline.model,
            pipeline.photos,
            config=ReferencesConfig(),
            store=pipeline.store,
        )
    assert back.version.id == pipeline.references.id


@pytest.mark.slow
def test_an_archive_that_has_not_all_photos_of_a_dictionary_is_no_references(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match=r"does not have 0\.png coded alone"):
        references_of_archive(
            reader_of(archive_bytes()),
            pipeline.dictionary,
            pipeline.model,
            pipeline.photos,
            config=ReferencesConfig(),
            store=pipeline.store,
        )


def test_another_dictionary_is_another_archive_and_nothing_is_packed_twice(tmp_path: Path) -> None:
    place = ArchivePlace(f"memory://{uuid4().hex}", "small")
    assert place.archives() == []

    def create(path: Path) -> bool:
        path.write_bytes(archive_bytes())
        return True

    for key in ("a", "b"):
        with place.changing(key, create) as path:
            assert path is not None
    assert place.archives() == [place.url("a"), place.url("b")]
    assert len(place.originals()) == 5


def test_who_was_overtaken_does_not_overwrite(tmp_path: Path) -> None:
    place = ArchivePlace(f"memory://{uuid4().hex}", "small")

    def create(path: Path) -> bool:
        path.write_bytes(b"archive")
        return True

    outer, inner = place.changing("a", create), place.changing("a", create)
    with pytest.raises(ArchiveError, match="was changed by another process"), outer, inner:
        pass


def test_without_a_dictionary_in_production_there_is_nothing_to_pack_with(tmp_path: Path) -> None:
    config = ArchiveConfig(source="bundled", folder=str(tmp_path / "albums"))
    with pytest.raises(DictionaryError, match="run `clc pipeline run` first"):
        pack_new_photos(config, "small", open_source("bundled"), store=LayeredStore(str(tmp_path / "store")))
