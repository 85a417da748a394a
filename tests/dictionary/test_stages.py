"""crop → features → reduce → cluster → index, each by its own rules."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from clc.dictionary.build import build_dictionary
from clc.dictionary.stages.cluster import ClusterConfig, cluster
from clc.dictionary.stages.features import FeatureConfig, extract, spatial_pyramid_pool, vectors_of
from clc.dictionary.stages.patches import CropConfig, crop
from clc.dictionary.stages.reduce import ReduceConfig, reduce
from clc.errors import DictionaryError, SourceError, TooFewPatchesError
from clc.images import open_source
from clc.images.patch import decode_patch, pixels_sha256
from clc.runtime.remarks import Summary
from clc.store import Store
from tests.conftest import DICTIONARY_CONFIGS, picture


def test_patches_are_the_pixels_of_their_photo(photos: Path, store: Store) -> None:
    version = crop(open_source(f"folder:{photos}"), config=CropConfig(per_photo=2), store=store).version
    for row in version.table("patches").to_pylist():
        photo = np.asarray(Image.open(photos / row["image_id"]))
        expected = photo[row["y"] : row["y"] + 256, row["x"] : row["x"] + 256]
        assert np.array_equal(decode_patch(row["image"]), expected)
        assert row["pixels_sha256"] == pixels_sha256(expected)
        assert row["photo_sha256"] == pixels_sha256(photo)


def test_what_cannot_be_cropped_is_counted_and_named(tmp_path: Path, store: Store) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "good.png")
    Image.fromarray(np.full((300, 300, 3), 77, np.uint8)).save(tmp_path / "flat.png")
    Image.fromarray(picture(1)[:100]).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    version = crop(open_source(f"folder:{tmp_path}"), config=CropConfig(per_photo=3), store=store).version
    assert version.rows("patches") == 3
    assert version.statistics["flat_patches"] == 3
    assert version.statistics["too_small_photos"] == ["small.png"]
    assert [skipped["image_id"] for skipped in version.statistics["skipped_photos"]] == ["broken.png"]


def test_photos_too_small_for_a_patch_are_said(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "photos/good.png")
    Image.fromarray(picture(1)[:100]).save(tmp_path / "photos/small.png")
    photos, config = open_source(f"folder:{tmp_path}/photos"), CropConfig(per_photo=3)
    for _ in ("built", "published before"):
        with Summary() as summary:
            crop(photos, config=config, store=store)
        assert summary.lines() == ["small.png: left out, smaller than a patch of 256 pixels"]
    monkeypatch.setenv("CLC_STRICT", "1")
    with pytest.raises(SourceError, match=r"small\.png cannot be used: smaller than a patch"):
        crop(photos, config=config, store=store)


def test_photos_without_any_patch_are_an_error(tmp_path: Path, store: Store) -> None:
    Image.fromarray(picture(1)[:100]).save(tmp_path / "small.png")
    with pytest.raises(DictionaryError, match="1 too small"):
        crop(open_source(f"folder:{tmp_path}"), config=CropConfig(), store=store)


def test_pyramid_pooling_means_over_ever_finer_grids() -> None:
    feature_map = torch.arange(64.0).reshape(1, 1, 8, 8)
    pooled = spatial_pyramid_pool(feature_map, (1, 2, 4))
    assert pooled.shape == (1, 21)
    assert pooled[0, 0] == feature_map.mean()
    assert pooled[0, 1] == feature_map[0, 0, :4, :4].mean()
    assert pooled[0, -1] == feature_map[0, 0, 6:, 6:].mean()


@pytest.mark.medium
def test_keys_are_the_principal_components_of_the_features(photos: Path, store: Store) -> None:
    patches = crop(open_source(f"folder:{photos}"), config=CropConfig(per_photo=8), store=store).version
    features = extract(patches, config=FeatureConfig(backbone="hog"), store=store).version
    keys = vectors_of(reduce(features, config=ReduceConfig(dim=4), store=store).version.table("keys")["key"])
    expected = PCA(4, svd_solver="full").fit_transform(vectors_of(features.table("features")["feature"]))
    signs = np.sign(np.sum(keys * expected, axis=0))
    assert np.allclose(keys * signs, expected, atol=1e-3)


@pytest.mark.medium
def test_representatives_are_the_members_nearest_to_their_centroid(photos: Path, store: Store) -> None:
    patches = crop(open_source(f"folder:{photos}"), config=CropConfig(per_photo=8), store=store).version
    features = extract(patches, config=FeatureConfig(backbone="hog"), store=store).version
    reduced = reduce(features, config=ReduceConfig(dim=4), store=store).version
    version = cluster(reduced, config=ClusterConfig(entries=6), store=store).version
    keys = vectors_of(reduced.table("keys")["key"]).astype(np.float64)
    clusters, members = version.table("clusters"), version.table("members")["entry"].to_numpy()
    centroids = vectors_of(clusters["centroid"])
    distances = np.linalg.norm(keys[:, None] - centroids, axis=2)
    left_out = members < 0
    assert left_out.sum() == version.statistics["near_duplicates"]
    assert np.array_equal(members[~left_out], distances.argmin(axis=1)[~left_out])
    assert clusters["representative"].to_pylist() == sorted(clusters["representative"].to_pylist())
    for entry, row in enumerate(clusters.to_pylist()):
        own = np.flatnonzero(members == entry)
        assert row["size"] == len(own)
        assert row["representative"] == own[distances[own, entry].argmin()]
        assert row["radius"] == pytest.approx(distances[own, entry].max(), rel=1e-5)


@pytest.mark.medium
def test_whitened_keys_have_variance_one(photos: Path, store: Store) -> None:
    patches = crop(open_source(f"folder:{photos}"), config=CropConfig(per_photo=8), store=store).version
    features = extract(patches, config=FeatureConfig(backbone="hog"), store=store).version
    plain, white = (
        vectors_of(
            reduce(features, config=ReduceConfig(dim=4, whiten=whiten), store=store).version.table("keys")["key"]
        )
        for whiten in (False, True)
    )
    assert np.allclose(white.var(axis=0, ddof=1), 1.0, atol=1e-2)
    assert np.allclose(white, plain / plain.std(axis=0, ddof=1), atol=1e-2)


@pytest.mark.medium
def test_near_duplicates_are_left_out_and_counted(tmp_path: Path, store: Store) -> None:
    generator = np.random.default_rng(0)
    for name in range(6):
        scene = picture(name)[:256, :256]
        for day in range(3):
            noisy = np.clip(scene + generator.normal(0, 1, scene.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / f"{name}-{day}.png")
    patches = crop(open_source(f"folder:{tmp_path}"), config=CropConfig(per_photo=1), store=store).version
    features = extract(patches, config=FeatureConfig(backbone="hog"), store=store).version
    reduced = reduce(features, config=ReduceConfig(dim=5), store=store).version
    version = cluster(reduced, config=ClusterConfig(entries=18), store=store).version
    assert version.statistics["near_duplicates"] == 12
    assert version.table("clusters")["representative"].to_pylist() == [0, 3, 6, 9, 12, 15]
    everything = cluster(reduced, config=ClusterConfig(entries=18, near_duplicates=None), store=store).version
    assert everything.statistics["near_duplicates"] == 0
    assert everything.rows("clusters") > 6


def test_duplicate_patches_leave_fewer_entries_than_asked_for(tmp_path: Path, store: Store) -> None:
    for name in range(4):
        Image.fromarray(picture(7)[:256, :256]).save(tmp_path / f"{name}.png")
    for name in range(4, 8):
        Image.fromarray(picture(name)[:256, :256]).save(tmp_path / f"{name}.png")
    patches = crop(open_source(f"folder:{tmp_path}"), config=CropConfig(per_photo=1), store=store).version
    features = extract(patches, config=FeatureConfig(backbone="hog"), store=store).version
    reduced = reduce(features, config=ReduceConfig(dim=3), store=store).version
    version = cluster(reduced, config=ClusterConfig(entries=7, near_duplicates=None), store=store).version
    assert version.attributes["entries"] == version.rows("clusters") <= 5
    assert version.statistics["empty_clusters"] == 7 - version.rows("clusters")


def test_fewer_patches_than_entries_are_an_error_that_says_what_to_do(photos: Path, store: Store) -> None:
    configs = {**DICTIONARY_CONFIGS, "crop_config": CropConfig(per_photo=2), "reduce_config": ReduceConfig(dim=2)}
    with pytest.raises(TooFewPatchesError, match="fewer entries"):
        build_dictionary(open_source(f"folder:{photos}?limit=2"), store=store, **configs)


def test_keys_have_no_more_components_than_there_are_patches(photos: Path, store: Store) -> None:
    patches = crop(open_source(f"folder:{photos}?limit=2"), config=CropConfig(per_photo=2), store=store).version
    features = extract(patches, config=FeatureConfig(backbone="hog"), store=store).version
    version = reduce(features, config=ReduceConfig(dim=64), store=store).version
    keys, values = vectors_of(version.table("keys")["key"]), vectors_of(features.table("features")["feature"])
    assert version.attributes["dim"] == keys.shape[1] == 4
    distances, expected = (np.linalg.norm(each[:, None] - each, axis=2) for each in (keys, values))
    assert np.allclose(distances, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.medium
def test_more_components_than_a_feature_has_values_are_an_error(photos: Path, store: Store) -> None:
    configs = {**DICTIONARY_CONFIGS, "reduce_config": ReduceConfig(dim=256)}
    with pytest.raises(DictionaryError, match="set dim to at most 231"):
        build_dictionary(open_source(f"folder:{photos}"), store=store, **configs)


def test_patches_that_are_all_alike_make_a_dictionary_of_one(tmp_path: Path, store: Store) -> None:
    for name in range(3):
        Image.fromarray(picture(7)[:256, :256]).save(tmp_path / f"{name}.png")
    configs = {**DICTIONARY_CONFIGS, "reduce_config": ReduceConfig(dim=2), "cluster_config": ClusterConfig(entries=2)}
    version = build_dictionary(open_source(f"folder:{tmp_path}"), store=store, **configs).version
    assert version.attributes["entries"] == 1


@pytest.mark.medium
def test_the_same_photos_give_the_same_dictionary_id_in_two_stores(photos: Path, tmp_path: Path) -> None:
    ids = set()
    threads = torch.get_num_threads()
    for name, count in (("one", 1), ("two", 2)):
        torch.set_num_threads(count)
        store = Store(tmp_path / name)
        ids.add(build_dictionary(open_source(f"folder:{photos}"), store=store, **DICTIONARY_CONFIGS).version.id)
    torch.set_num_threads(threads)
    assert len(ids) == 1


@pytest.mark.medium
def test_a_second_build_skips_every_stage(photos: Path, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    source = open_source(f"folder:{photos}")
    first = build_dictionary(source, store=store, **DICTIONARY_CONFIGS)
    with caplog.at_level(logging.INFO, logger="clc.store"):
        second = build_dictionary(source, store=store, **DICTIONARY_CONFIGS)
    assert second.skipped
    assert second.version == first.version
    assert [record.getMessage().split()[1] for record in caplog.records] == ["skipped"] * 5
