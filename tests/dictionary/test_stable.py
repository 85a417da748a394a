"""A rebuild keeps the entries that there are, where others would serve the photos hardly better."""

import logging
from pathlib import Path

import numpy as np
import pytest

from clc.dictionary.build import build_dictionary
from clc.dictionary.stages.features import vectors_of
from clc.dictionary.stages.stable import say_what_stays
from clc.images import open_source
from clc.store import Kind, Store, Version
from tests.conftest import DICTIONARY_CONFIGS, write_photos


def pictures_of(dictionary: Version) -> set[str]:
    return set(dictionary.table("entries", columns=["pixels_sha256"])["pixels_sha256"].to_pylist())


def cost(dictionary: Version, store: Store) -> float:
    """Squared distances of all distinct patches to the nearest entry."""
    clusters = store.get(Kind.CLUSTERS, dictionary.manifest.recipe.inputs["clusters"])
    reduced = store.get(Kind.REDUCED, dictionary.manifest.recipe.inputs["reduced"])
    keys = vectors_of(reduced.table("keys")["key"]).astype(np.float64)
    entries = keys[clusters.table("clusters")["representative"].to_numpy()]
    distances = np.square(keys[:, None] - entries).sum(axis=2).min(axis=1)
    return float(distances[clusters.table("members")["entry"].to_numpy() >= 0].sum())


@pytest.mark.medium
def test_with_one_photo_more_entries_stay_as_far_as_that_costs_under_a_percent(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    photos = open_source(f"folder:{write_photos(tmp_path / 'photos', range(8))}")
    before = build_dictionary(photos, store=store, **DICTIONARY_CONFIGS).version
    write_photos(tmp_path / "photos", range(8, 9))
    afresh = build_dictionary(photos, store=store, **DICTIONARY_CONFIGS).version
    steady = build_dictionary(photos, store=store, earlier=before, **DICTIONARY_CONFIGS).version
    kept = len(pictures_of(before) & pictures_of(steady))
    assert kept > len(pictures_of(before) & pictures_of(afresh))
    assert cost(steady, store) <= 1.0101 * cost(afresh, store)  # keys are float32
    said = store.get(Kind.CLUSTERS, steady.manifest.recipe.inputs["clusters"]).statistics
    assert (said["kept"], said["replaced"]) == (kept, before.rows("entries") - kept)
    # With nothing new there is nothing to do: the dictionary in use is what these photos give.
    again = build_dictionary(photos, store=store, earlier=steady, **DICTIONARY_CONFIGS)
    assert again.skipped
    assert again.version == steady


def test_a_dictionary_that_mostly_changes_for_few_patches_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "clc")
    say_what_stays(kept=40, entries=48, earlier=48, new_patches=0.05)
    say_what_stays(kept=22, entries=48, earlier=48, new_patches=0.6)
    assert caplog.records == []
    say_what_stays(kept=22, entries=48, earlier=48, new_patches=0.05)
    [line] = caplog.messages
    assert "26 of 48 entries are replaced, although 5 % of the patches are new" in line
