"""The gate, and what moves the aliases `production`: real models, real streams, real processes."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest

from clc.codec.artifacts import reference_latents
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import DictionaryError, MissingArtifactError
from clc.evaluation.measure.evaluate import EvaluationConfig
from clc.evaluation.measure.versions import evaluate_versions
from clc.evaluation.results import IMAGES_SCHEMA, ImageRow, to_table
from clc.images import PhotoSource, open_source, read_photos
from clc.model.config import Conditioning
from clc.production.gate import GateConfig, Verdict, inexact_photos, judge
from clc.production.promotion import Promotion, dictionary_in_use, patches_of, promote, rollback
from clc.production.status import status
from clc.store import Kind, Recipe, Store, Version
from clc.training.config import TrainingConfig
from clc.training.job import AdaptedPreset, TrainingJob
from clc.training.train import train
from tests.conftest import World, without_safety_net
from tests.miniature import NAME

pytestmark = pytest.mark.medium

EVALUATION = EvaluationConfig(
    clc_qualities=(10, 70), jpeg_qualities=(), webp_qualities=(), avif_qualities=(), jpeg_xl_qualities=(),
    hevc_qualities=(), vvc_qualities=(), panel_images=0,
)  # fmt: skip
FIRST = GateConfig(exact_photos=1)
ANY_SIZE = GateConfig(exact_photos=1, max_rate_difference=100.0)
NO_SIZE = GateConfig(max_rate_difference=-0.99)


@dataclass(frozen=True)
class Site:
    """A store with two trained models that were measured; nothing is in production yet."""

    store: Store
    photos: PhotoSource
    first: Version
    second: Version

    def promote(self, results: Version, gate: GateConfig) -> Promotion:
        return promote(results, photos=self.photos, gate=gate, evaluation=EVALUATION, store=self.store)

    def in_production(self, kind: Kind) -> str:
        return self.store.aliases.resolve(kind, "production").id[:16]


@pytest.fixture(scope="module", autouse=True)
def _network_only() -> Iterator[None]:
    with without_safety_net():
        yield


@pytest.fixture
def site(world: World, tmp_path: Path, measured: tuple[Version, Version]) -> Site:
    return site_at(tmp_path / "store", Path(measured[0].storage.display()), world, measured)


@pytest.fixture
def promoted(world: World, tmp_path: Path, measured: tuple[Version, Version], with_first: Path) -> Site:
    """The same with the first model in production."""
    return site_at(tmp_path / "promoted", with_first, world, measured)


@pytest.fixture(scope="module")
def with_first(world: World, tmp_path_factory: pytest.TempPathFactory, measured: tuple[Version, Version]) -> Path:
    folder = tmp_path_factory.mktemp("promoted") / "store"
    site = site_at(folder, Path(measured[0].storage.display()), world, measured)
    site.promote(site.first, FIRST)
    return folder


def site_at(folder: Path, copied_from: Path, world: World, measured: tuple[Version, Version]) -> Site:
    store = Store(shutil.copytree(copied_from, folder))
    first, second = (store.get(Kind.RESULTS, version.id) for version in measured)
    return Site(store, open_source(f"folder:{world.test_photos}"), first, second)


@pytest.fixture(scope="module")
def measured(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version]:
    """The results of two models that were trained with different seeds."""
    root = tmp_path_factory.mktemp("promotion")
    shutil.copytree(Path(world.store.url), root / "store")
    shutil.rmtree(root / "store" / "model" / "aliases" / "production")
    store = Store(root / "store")
    first, second = (_measured(world, store, root / "runs", seed) for seed in (1, 2))
    return first, second


def _measured(world: World, store: Store, runs: Path, seed: int) -> Version:
    job = TrainingJob(
        photos=open_source(f"folder:{world.photos}"),
        # References inform the prior only: what they do to the picture, so few steps do not teach.
        network=AdaptedPreset(preset=NAME, conditioning=Conditioning.PRIOR),
        config=TrainingConfig(steps=1, batch=1, crop=64, refresh_every=1, held_out=0, seed=seed),
        assignments=world.assignments,
        dictionary=world.dictionary,
    )
    model = train(job, store=store, runs=runs).version
    reference_latents(world.dictionary, model, store=store)
    return evaluate_versions(
        model,
        world.dictionary,
        [patches_of(world.dictionary, store)],
        photos=open_source(f"folder:{world.test_photos}"),
        config=EVALUATION,
        store=store,
    ).version


def results(store: Store, rows: Sequence[ImageRow], failures: Sequence[dict[str, str]] = ()) -> Version:
    """A results version of the codec "clc" with these rows."""
    recipe = Recipe(stage="evaluate", stage_version=1, config={"rows": [str(row) for row in rows]})
    with store.draft(Kind.RESULTS, recipe) as draft:
        with draft.table("images", IMAGES_SCHEMA) as table:
            table.write(to_table(rows, IMAGES_SCHEMA))
        draft.attributes |= {"codecs": [{"name": "clc", "qualities": [10, 50]}]}
        draft.statistics |= {"skipped": [], "failures": list(failures)}
        return draft.publish()


def curve(name: str, scale: float) -> list[ImageRow]:
    """A photo coded at two qualities, with files `scale` times as large as they might be."""
    return [
        ImageRow(name, "clc", quality, 256, 256, 1000, bpp=bpp * scale, psnr=psnr, ms_ssim=0.9,
                 encode_seconds=0.0, decode_seconds=0.0)
        for quality, bpp, psnr in ((10.0, 0.5, 30.0), (50.0, 1.0, 35.0))
    ]  # fmt: skip


def test_the_gate_lets_files_grow_as_far_as_the_profile_says(tmp_path: Path) -> None:
    store = Store(tmp_path)
    production, larger = results(store, curve("a", 1.0)), results(store, curve("a", 1.05))
    refused = judge(larger, production, GateConfig(max_rate_difference=0.04, max_noise=0.0))
    assert not refused.passed
    assert "+5.0% against production" in refused.reasons[0]
    assert judge(larger, production, GateConfig(max_rate_difference=0.06)).passed
    assert judge(production, larger, GateConfig(max_rate_difference=-0.04)).passed


def test_two_photos_cannot_refuse_a_model_for_what_may_be_noise(tmp_path: Path) -> None:
    store = Store(tmp_path)
    production = results(store, [*curve("a", 1.0), *curve("b", 1.0)])
    assert judge(results(store, [*curve("a", 1.004), *curve("b", 1.004)]), production, GateConfig()).passed
    worse = judge(results(store, [*curve("a", 1.03), *curve("b", 1.03)]), production, GateConfig())
    assert "+3.0% against production" in worse.reasons[0]
    assert "+0.0%, and 2.0% for noise" in worse.reasons[0]


def test_the_margin_is_the_interval_of_the_test_photos(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = "abcdefghij"
    production = results(store, [row for name in names for row in curve(name, 1.0)])

    def judged(scales: Sequence[float]) -> Verdict:
        rows = [row for name, scale in zip(names, scales, strict=True) for row in curve(name, scale)]
        return judge(results(store, rows), production, GateConfig())

    certain = judged([1.005] * 10)  # every photo says the same: no noise
    assert not certain.passed
    assert "+0.5% to +0.5% for 95% of draws of 10 photos" in certain.reasons[0]
    assert judged([0.985, 1.025] * 5).passed  # +0.5 % again, and it may as well be less than 0
    assert not judged([0.95, 1.15] * 5).passed  # however they vary: +5 % is more than may be noise


def test_the_gate_refuses_a_codec_that_lost_most_of_the_qualities(tmp_path: Path) -> None:
    store = Store(tmp_path)
    production = results(store, curve("a", 1.0))
    poor = [replace(row, psnr=row.psnr / 5 + 24.4) for row in curve("a", 0.5)]  # 30.4 to 31.4 of 30 to 35 dB
    [reason] = judge(results(store, poor), production, GateConfig()).reasons
    assert "only 30.4 to 31.4 dB" in reason
    assert judge(results(store, poor), production, GateConfig(min_quality_range=0.2)).passed


def test_the_gate_refuses_a_codec_that_failed_on_a_photo(tmp_path: Path) -> None:
    store = Store(tmp_path)
    failure = {"image_id": "b", "codec": "clc", "reason": "it is too wide"}
    verdict = judge(results(store, curve("a", 1.0), [failure]), None, GateConfig())
    assert verdict.reasons == ("photo 'b' was not coded: it is too wide",)


def test_the_gate_refuses_a_codec_that_leaves_out_a_photo_of_production(tmp_path: Path) -> None:
    store = Store(tmp_path)
    both = results(store, [*curve("a", 1.0), *curve("b", 1.0)])
    verdict = judge(results(store, curve("a", 1.0)), both, GateConfig())
    assert verdict.reasons == ("photo 'b' was coded by production and not by the candidate",)


def test_streams_that_another_process_cannot_decode_are_named(site: Site, tmp_path: Path) -> None:
    model = site.store.get(Kind.MODEL, site.first.attributes["model"])
    dictionary = site.store.get(Kind.DICTIONARY, site.first.attributes["dictionary"])
    codec, _ = open_encoder(site.store, model, dictionary)
    [photo] = islice(read_photos(site.photos, []), 1)
    assert inexact_photos(codec, [photo], 50.0, site.store) == {}
    found = inexact_photos(codec, [photo], 50.0, Store(tmp_path / "empty"))
    assert list(found) == [photo.image_id]
    assert "is not in" in found[photo.image_id]


def test_the_first_candidate_goes_into_production_with_its_dictionary(site: Site) -> None:
    promotion = site.promote(site.first, FIRST)
    assert promotion.moved
    assert site.in_production(Kind.MODEL) == site.first.attributes["model"]
    assert site.in_production(Kind.DICTIONARY) == site.first.attributes["dictionary"]
    assert site.store.aliases.history(Kind.MODEL, "production")[-1].note == "nothing was in production"
    assert not site.promote(site.first, FIRST).moved


def test_a_candidate_that_fails_the_gate_leaves_everything_as_it_was(promoted: Site) -> None:
    promotion = promoted.promote(promoted.second, NO_SIZE)
    assert not promotion.moved
    assert "the gate allows -99.0%" in str(promotion)
    assert promoted.in_production(Kind.MODEL) == promoted.first.attributes["model"]
    assert promotion.refused
    [remembered] = promoted.store.aliases.history(Kind.MODEL, "refused")
    assert remembered.id[:16] == promoted.second.attributes["model"]
    assert str(remembered.note) in str(promotion)

    found = status(promoted.store)
    assert found.production is not None
    assert found.production.model == promoted.first.attributes["model"]
    assert found.production.why == "nothing was in production"
    assert found.refused is not None
    assert found.refused.model == promoted.second.attributes["model"]
    assert found.refused.why == remembered.note

    again = promoted.promote(promoted.second, NO_SIZE)
    assert not again.refused  # that is no news
    assert str(again).startswith(f"not promoted, as on {remembered.created_at[:16]}: files are ")
    assert promoted.promote(promoted.second, ANY_SIZE).moved  # another gate is another judgement


def test_a_rollback_restores_the_model_before_which_no_rebuild_replaces_by_the_same_again(promoted: Site) -> None:
    assert promoted.promote(promoted.second, ANY_SIZE).moved
    model, dictionary = rollback(promoted.store)
    assert model.short_id == promoted.first.attributes["model"] == promoted.in_production(Kind.MODEL)
    assert dictionary.short_id == promoted.in_production(Kind.DICTIONARY)
    again = promoted.promote(promoted.second, ANY_SIZE)
    assert not again.moved
    assert "was rolled back" in str(again)


def test_a_model_without_a_dictionary_is_not_replaced_and_can_be_rolled_back_to(
    site: Site, world: World, tmp_path: Path
) -> None:
    job = TrainingJob(
        photos=open_source(f"folder:{world.photos}"),
        network=AdaptedPreset(preset=NAME, conditioning=Conditioning.NONE),
        config=TrainingConfig(steps=1, batch=1, crop=64, held_out=0),
    )
    alone = train(job, store=site.store, runs=tmp_path).version
    site.store.aliases.set(Kind.MODEL, "production", alone)
    refused = site.promote(site.first, ANY_SIZE)
    assert not refused.moved
    assert "has no dictionary" in str(refused)
    site.store.aliases.set(Kind.MODEL, "production", site.first.attributes["model"])
    assert rollback(site.store) == (alone, None)


def test_what_is_in_production_and_gone_is_not_replaced(promoted: Site) -> None:
    shutil.rmtree(promoted.store.get(Kind.MODEL, promoted.first.attributes["model"]).directory)
    refused = promoted.promote(promoted.second, ANY_SIZE)
    assert not refused.moved
    assert f"model/{promoted.first.attributes['model']}" in str(refused)
    assert f"`clc model alias production {promoted.second.attributes['model']}`" in str(refused)


def test_results_of_several_models_or_of_one_without_a_dictionary_are_not_promoted(site: Site) -> None:
    for rows in (curve("a", 1.0), curve("b", 1.0)):
        with pytest.raises(DictionaryError, match="one model with a dictionary"):
            site.promote(results(site.store, rows), FIRST)


def test_without_a_photo_that_can_be_read_nothing_is_promoted(site: Site, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "damaged.png").write_bytes(b"no picture")
    promotion = replace(site, photos=open_source(f"folder:{tmp_path / 'photos'}")).promote(site.first, FIRST)
    assert not promotion.moved
    assert "can be read" in str(promotion)


def test_the_dictionary_in_use_is_that_of_the_model_in_production(site: Site, promoted: Site) -> None:
    latest = site.store.aliases.resolve(Kind.DICTIONARY, "latest").id
    in_use = dictionary_in_use(site.store)
    assert in_use is not None
    assert in_use.id == latest
    shutil.rmtree(Path(promoted.store.url, "dictionary", in_use.short_id))
    with pytest.raises(MissingArtifactError):
        dictionary_in_use(promoted.store)


def test_there_is_nothing_to_roll_back_to_before_the_second_promotion(promoted: Site) -> None:
    with pytest.raises(MissingArtifactError, match="no earlier target"):
        rollback(promoted.store)
