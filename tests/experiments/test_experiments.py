"""Experiments: variants that differ in what they say, tables that tell the truth, gaps that are stated."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from clc.errors import ProfileError, SourceError
from clc.evaluation.compare.summary import codec_names
from clc.evaluation.report.page import render_report
from clc.evaluation.results import IMAGES_SCHEMA, PANELS_SCHEMA, ImageRow, to_table
from clc.experiments.budgets import BUDGETS, Budget, find_budget
from clc.experiments.catalogue import EXPERIMENTS, Experiment, Variant, find_experiment
from clc.experiments.data_sets import DATA, DataSet, collections, general, limited
from clc.experiments.variant import measured, trained, variant_profile
from clc.experiments.variants_table import combined, markdown, table
from clc.model.complexity import complexity
from clc.model.config import Ablation, Conditioning
from clc.model.presets import PRESETS
from clc.model.transforms.aggregation import Kernels
from clc.production.profile import PhotoSources
from clc.store import Kind, Recipe, Store, Version
from pipelines.experiment_command import run_experiment
from tests.conftest import write_photos
from tests.miniature import NAME

TINY = Budget(
    name="test",
    steps=2,
    batch=1,
    training_photos=1,
    reference_photos=4,
    collection_photos=20,
    test_photos=1,
    per_photo=16,
    entries=16,
    sizes=(5, 6),
    qualities=(10, 50, 90),
    seeds=(0,),
)
PHOTOS = DataSet(
    "bundled",
    PhotoSources(reference="bundled?split=reference", training="bundled?split=reference", test="bundled?split=test"),
)
RELATED = DataSet("related", PHOTOS.sources, elsewhere="bundled?split=test")
NONE = Variant("no references", {"model": {"preset": NAME, "conditioning": "none"}})
PRIOR = Variant("prior", {"model": {"preset": NAME, "conditioning": "prior"}})
TWO = Experiment("two", "Two of them", NONE.name, lambda budget, data: [NONE, PRIOR])


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_every_variant_is_a_profile_of_its_own(name: str, budget: Budget) -> None:
    experiment = EXPERIMENTS[name]
    variants = experiment.variants(budget, RELATED)
    profiles = [variant_profile(experiment, variant, RELATED, budget, seed=1) for variant in variants]
    assert experiment.frames or experiment.anchor in {variant.name for variant in variants}
    choices = {
        repr(
            (
                profile.model.config,
                profile.cluster,
                profile.retrieval,
                profile.sources,
                profile.evaluation,
                variant.references,
            )
        )
        for variant, profile in zip(variants, profiles, strict=True)
    }
    assert len(choices) == len(variants)
    assert {profile.training for profile in profiles} == {profiles[0].training}, "one budget for all"


def test_the_tables_of_the_paper_vary_what_they_say() -> None:
    def configs(name: str) -> list[tuple[Conditioning, int, Ablation | None, int | None]]:
        experiment = EXPERIMENTS[name]
        profiles = [variant_profile(experiment, each, PHOTOS, TINY, 0) for each in experiment.variants(TINY, PHOTOS)]
        models = [(profile.model.config, profile.cluster.entries) for profile in profiles]
        return [(model.conditioning, model.references, model.without, entries) for model, entries in models]

    assert [row[1] for row in configs("table1")[1:]] == [1, 2, 3, 4, 5]
    assert [row[3] for row in configs("table2")[1:]] == [5, 6]
    assert [row[2] for row in configs("table3")] == [None, None, Ablation.CLM, Ablation.CLS, None, None]
    assert {row[0] for row in configs("conditioning")} == set(Conditioning)


@pytest.mark.medium
def test_the_rows_of_dkic_lack_one_part_each() -> None:
    dkic = EXPERIMENTS["dkic"]
    for budget in (TINY, BUDGETS["paper"]):
        rows = {each.name: variant_profile(dkic, each, PHOTOS, budget, 0) for each in dkic.variants(budget, PHOTOS)}
        configs = {name: profile.model.config for name, profile in rows.items()}
        whole = configs.pop(dkic.anchor)
        assert whole.prior.stages == (4, 4, 2, 2, 2)
        assert whole.transform.kernels is whole.transform.hyper_kernels is Kernels.DYNAMIC
        assert not any(config.takes_references for config in configs.values())
        changed = {
            name: {
                field
                for part in ("transform", "prior")
                for field, value in getattr(config, part).model_dump().items()
                if getattr(whole, part).model_dump().get(field) != value
            }
            for name, config in configs.items()
        }
        plain = changed.pop("ordinary convolutions")
        assert "kind" in plain
        assert changed == {
            "fixed kernels in g_a and g_s": {"kernels"},
            "fixed kernels in h_a": {"hyper_kernels"},
            "fixed kernels everywhere": {"kernels", "hyper_kernels"},
            "four stages in all slices": {"stages"},
            "two stages in all slices": {"stages"},
            "one stage in all slices": {"stages"},
            "no stages": set(),  # which a configuration leaves out
        }
        assert configs["no stages"].prior.stages is None
        assert {profile.training.crop for profile in rows.values()} == {128 if budget.narrow else 256}
        cost, of_whole = complexity(configs["ordinary convolutions"]), complexity(whole)
        assert cost.encoder == pytest.approx(of_whole.encoder, rel=0.02)
        assert cost.decoder == pytest.approx(of_whole.decoder, rel=0.02)
    assert whole.transform == PRESETS["dkic"].transform


def test_a_collection_counts_whole_and_its_test_photos_may_look_alike() -> None:
    profile = variant_profile(TWO, PRIOR, RELATED, TINY, 0)
    assert profile.cluster.entries is None
    assert profile.sources.reference == "bundled?split=reference&limit=20"
    assert profile.evaluation.allow_near_duplicates


def results(
    store: Store,
    name: str,
    saving: float,
    photos: int = 6,
    quality_of: float = 30.0,
    others: dict[str, float] | None = None,
    names: Sequence[str] = (),
) -> Version:
    """Of "clc", and of other codecs by what they save. names: of the photos, instead of so many of made-up names."""
    named = list(names) or [f"photo{photo}" for photo in range(photos)]
    savings = {"clc": saving} | (others or {})
    rows = [
        ImageRow(
            named[photo],
            codec,
            quality,
            512,
            768,
            1,
            bpp * (1 - saved),
            psnr + photo,
            1 - 10 ** (-psnr / 20),
            2.0,
            1.0,
        )
        for codec, saved in savings.items()
        for photo in range(len(named))
        for quality, bpp, psnr in ((10.0, 0.2, quality_of), (50.0, 0.5, quality_of + 3), (90.0, 1.0, quality_of + 6))
    ]
    with store.draft(Kind.RESULTS, Recipe(stage="fake", stage_version=1, config={"name": name})) as draft:
        with draft.table("images", IMAGES_SCHEMA) as images, draft.table("panels", PANELS_SCHEMA):
            images.write(to_table(rows, IMAGES_SCHEMA))
        draft.attributes |= {
            "photos": len(named),
            "codecs": [{"name": codec, "qualities": [10, 50, 90], "settings": ""} for codec in savings],
            "model": name,
            "dictionary": None,
            "dictionary_bytes": int(400 * saving),
        }
        draft.statistics |= {"skipped": [{"image_id": "broken", "reason": "truncated"}]}
        draft.statistics |= {"failures": [{"image_id": "x", "codec": "clc", "reason": "why"}] if saving else []}
        return draft.publish()


def test_the_table_compares_with_the_anchor(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    runs = {("no references", 0): results(store, "none", 0.0), ("prior", 0): results(store, "prior", 0.25)}
    version = combined(TWO, PHOTOS, TINY, runs, store=store)
    prior, anchor = table(TWO, PHOTOS, TINY, version)
    assert (prior.variant, anchor.variant) == ("prior", "no references")
    assert prior.psnr[0].rate is not None
    assert prior.psnr[0].rate.mean == pytest.approx(-0.25)
    assert prior.encode_seconds == 2.0
    text = markdown(TWO, PHOTOS, TINY, version)
    # 100 bytes of dictionary, and 0.25 of a byte saved a photo.
    assert prior.dictionary_bytes == 100
    assert prior.photos_to_break_even in (400, 401)
    assert "| prior | -25.0 % [-25.0, -25.0] | -25.0 % [-25.0, -25.0] | 2.00 | 0.0 | 40" in text
    assert "2 steps of 1 crops" in text
    assert version.statistics["failures"] == [{"image_id": "x", "codec": "prior", "reason": "why"}]
    assert version.statistics["skipped"] == [{"image_id": "broken", "reason": "truncated"}]
    assert combined(TWO, PHOTOS, TINY, runs, store=store) == version


@pytest.mark.medium
def test_all_variants_can_start_from_a_model_without_conditioning(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    alone = trained(variant_profile(TWO, NONE, PHOTOS, TINY, 0), store=store, runs=tmp_path / "runs")
    other = TINY.model_copy(update={"steps": 1})
    runs = {}
    learned = {"conditioning": "both", "reference_source": "learned", "references": 1}
    for variant in (NONE, Variant("one", {"model": {"preset": NAME, **learned}})):
        profile = variant_profile(TWO, variant, PHOTOS, other, 0)
        model = trained(profile, store=store, runs=tmp_path / "runs", start=alone)
        assert model.attributes["start"] == alone.id
        runs[variant.name, 0] = results(store, variant.name, 0.0)
    two = replace(TWO, variants=lambda budget, data: [NONE, Variant("one", {})])
    text = markdown(two, PHOTOS, other, combined(two, PHOTOS, other, runs, store=store, start=alone))
    assert f"qualities 10, 50, 90, each on top of {alone}." in text


def test_every_variant_is_compared_with_published_points(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    runs = {
        (variant.name, 0): results(store, variant.name, saving, photos=24, quality_of=20.0, others={"JPEG": 0.1})
        for variant, saving in ((NONE, 0.0), (PRIOR, 0.25))
    }
    page = render_report(combined(TWO, PHOTOS, TINY, runs, store=store), "kodak")
    published = page.partition('<table id="published">')[2].partition("</table>")[0]
    curves = re.findall("</svg>(.*?), published", page)
    assert re.findall(r'<th scope="row">([^<]*)</th><td class="name">([^<]*)</td>', published) == [
        (variant, curve) for variant in (NONE.name, PRIOR.name) for curve in curves
    ]
    assert "no answer" not in published


def test_other_codecs_come_from_the_first_run_and_are_compared_too(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    runs = {
        ("no references", 0): results(store, "none", 0.0, others={"JPEG": 0.5}),
        ("prior", 0): results(store, "prior", 0.25, others={"JPEG": 0.7}),
    }
    version = combined(TWO, PHOTOS, TINY, runs, store=store)
    assert codec_names(version) == ["no references", "JPEG", "prior"]
    found = {row.variant: row.psnr[0].rate for row in table(TWO, PHOTOS, TINY, version)}
    assert found["JPEG"] is not None
    assert found["JPEG"].mean == pytest.approx(-0.5)


def test_each_seed_is_compared_with_its_own_anchor(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    budget = TINY.model_copy(update={"seeds": (0, 1)})
    runs = {
        (variant, seed): results(store, f"{variant}{seed}", saving if variant == "prior" else 0.0)
        for seed, saving in ((0, 0.1), (1, 0.2))
        for variant in ("no references", "prior")
    }
    found = table(TWO, PHOTOS, budget, combined(TWO, PHOTOS, budget, runs, store=store))[0].psnr
    assert [each.rate.mean for each in found if each.rate] == pytest.approx([-0.1, -0.2])


def test_curves_that_do_not_meet_are_a_stated_gap(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    runs = {("no references", 0): results(store, "a", 0.0), ("prior", 0): results(store, "b", 0.0, quality_of=60.0)}
    text = markdown(TWO, PHOTOS, TINY, combined(TWO, PHOTOS, TINY, runs, store=store))
    assert "none: the curves reach" in text


@pytest.fixture
def small(tmp_path: Path) -> DataSet:
    """The bundled photos, tested on one of two tiles, since pictures of hardly trained networks take long to code."""
    test = write_photos(tmp_path / "test", range(6, 7), height=104, width=280)
    return DataSet("small", PHOTOS.sources.model_copy(update={"test": f"folder:{test}"}))


@pytest.mark.slow
@pytest.mark.parametrize("variant", [NONE, PRIOR], ids=lambda variant: variant.name)
def test_a_variant_goes_from_photos_to_files_and_a_second_time_does_nothing(
    variant: Variant, small: DataSet, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store"))
    profile = variant_profile(TWO, variant, small, TINY, 0)

    def run() -> Version:
        return measured(trained(profile, store=store, runs=tmp_path / "runs"), profile, store=store)

    version = run()
    codecs = [codec["name"] for codec in version.attributes["codecs"]]
    assert codecs == (["clc, no references"] if variant is NONE else ["clc", "clc, no references"])
    assert version.table("images").num_rows == len(codecs) * len(TINY.qualities)
    before = sorted(tmp_path.rglob("*"))
    assert run() == version
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_the_experiment_of_dkic_runs_whole_at_a_miniature_budget(small: DataSet, tmp_path: Path) -> None:
    store, dkic = Store(str(tmp_path / "store")), EXPERIMENTS["dkic"]
    budget = TINY.model_copy(update={"qualities": (20, 80)})
    runs = {}
    for variant in dkic.variants(budget, small):
        profile = variant_profile(dkic, variant, small, budget, 0)
        runs[variant.name, 0] = measured(trained(profile, store=store, runs=tmp_path), profile, store=store)
    version = combined(dkic, small, budget, runs, store=store)
    assert version.statistics["failures"] == []
    assert codec_names(version) == [variant.name for variant in dkic.variants(budget, small)]
    text = markdown(dkic, small, budget, version)
    assert "preset dkic narrowed to a ninth of its work, crops of 128×128, 2 steps of 1 crops" in text
    assert "1 training and 1 test photos, no references" in text
    assert "keys of hog" not in text
    assert text.count("\n| ") == 1 + len(runs)


def with_short_keys(budget: Budget, data: DataSet) -> list[Variant]:
    """The variants of `drift`, for the few patches of small photos."""
    variants = EXPERIMENTS["drift"].variants(budget, data)
    return [replace(each, changes={**each.changes, "reduce": {"dim": 4}}) for each in variants]


@pytest.mark.slow
@pytest.mark.usefixtures("network_only")
def test_a_model_that_is_there_is_measured_with_other_dictionaries_and_its_pictures_are_reported(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path / "store"))
    model = trained(variant_profile(TWO, PRIOR, PHOTOS, TINY, 0), store=store, runs=tmp_path / "runs")
    drift = replace(EXPERIMENTS["drift"], pictures_at=2.0, variants=with_short_keys)
    own, others, test = (
        write_photos(tmp_path / name, seeds, height=264, width=300)
        for name, seeds in (("own", range(3)), ("others", range(3, 6)), ("test", range(6, 7)))
    )
    sources = PHOTOS.sources.model_copy(update={"reference": f"folder:{own}", "test": f"folder:{test}"})
    related = DataSet("related", sources, elsewhere=f"folder:{others}")
    runs = {
        (variant.name, 0): measured(model, variant_profile(drift, variant, related, TINY, 0), store=store)
        for variant in drift.variants(TINY, related)
    }
    version = combined(drift, related, TINY, runs, store=store)
    names = codec_names(version)
    assert names == ["no references", "dictionary of another collection", "rebuilt from this collection"]
    assert set(version.attributes["models"].values()) == {model.short_id}
    assert len(set(version.attributes["dictionaries"].values())) == 2
    shown = version.table("panels").to_pylist()
    assert {row["codec"] for row in shown} == set(names)
    references = {row["codec"]: row["references"] is not None for row in shown}
    assert not references["no references"]
    text = markdown(drift, related, TINY, version)
    assert f"model {model.short_id} as it is, at most 4 reference (20 of a collection) and 1 test photos" in text
    page = render_report(version)
    assert "What rebuilding the dictionary of a collection buys: related, 1 photo" in page
    assert page.count('class="detail"') >= len(names)

    alone = trained(variant_profile(TWO, NONE, PHOTOS, TINY, 0), store=store, runs=tmp_path / "runs")
    profile = variant_profile(drift, drift.variants(TINY, related)[0], related, TINY, 0)
    version = combined(
        drift, related, TINY, runs | {(drift.anchor, 0): measured(alone, profile, store=store)}, store=store
    )
    assert codec_names(version) == names
    assert version.attributes["models"][drift.anchor] == alone.short_id
    text = markdown(drift, related, TINY, version)
    assert f"models {alone.short_id} and {model.short_id} as they are" in text


def test_a_model_to_start_from_is_for_training_and_knows_no_references() -> None:
    with pytest.raises(ProfileError, match="drift trains nothing"):
        run_experiment("drift", start="default")
    with pytest.raises(ProfileError, match="trained with --conditioning none"):
        run_experiment("table1", start="default")


def test_an_experiment_on_collections_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA, raising=False)
    with pytest.raises(ProfileError, match="drift needs collections of related photos; set CLC_DATA"):
        EXPERIMENTS["drift"].data_sets(TINY)
    assert [data.name for data in EXPERIMENTS["conditioning"].data_sets(TINY)] == ["bundled"]


def test_names_that_do_not_exist_are_one_line() -> None:
    with pytest.raises(ProfileError, match="no experiment is called 'table9'; use one of: table1"):
        find_experiment("table9")
    with pytest.raises(ProfileError, match="no budget is called 'huge'; use one of: smoke"):
        find_budget("huge")


def test_photos_come_from_the_packs_or_are_the_bundled_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA, raising=False)
    assert general().sources.test == "bundled?split=test"
    assert collections() == []
    monkeypatch.setenv(DATA, str(tmp_path))
    for name in ("dictionary", "train-0", "kodak", "collection-sites", "collection-aerial"):
        (tmp_path / f"{name}.parquet").touch()
    assert general().sources.test == f"parquet:{tmp_path}/kodak.parquet"
    names = [data.name for data in collections()]
    assert names == ["sites-museum", "sites-ams", "sites-pond", "sites-handheld", "aerial"]
    assert all(data.related and data.elsewhere != data.sources.reference for data in collections())
    assert [data.name for data in EXPERIMENTS["drift"].data_sets(TINY)] == names
    few = TINY.model_copy(update={"collections": 2})
    assert [data.name for data in EXPERIMENTS["drift"].data_sets(few)] == names[:2]
    assert collections()[0].sources.test == f"parquet:{tmp_path}/collection-sites.parquet?scene=museum&split=test"
    assert limited(collections()[0].sources.test, 3).endswith("?scene=museum&split=test&limit=3")
    monkeypatch.setenv(DATA, str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="there is no such folder"):
        general()
