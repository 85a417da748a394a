"""Recipes: equal work, equal hash."""

import pytest
from pydantic import ValidationError

from clc.store import Kind, Recipe

ID = "0123456789abcdef" * 4


def test_the_hash_ignores_the_order_of_keys() -> None:
    one = Recipe(stage="crop", stage_version=1, config={"size": 256, "crops": 10})
    two = Recipe(stage="crop", stage_version=1, config={"crops": 10, "size": 256})
    assert one.hash == two.hash


@pytest.mark.parametrize(
    "change",
    [{"stage": "tile"}, {"stage_version": 2}, {"config": {"size": 128}}, {"inputs": {"photos": "photos/1"}}],
    ids=lambda change: next(iter(change)),
)
def test_the_hash_depends_on_every_field(change: dict) -> None:
    fields = {"stage": "crop", "stage_version": 1, "config": {"size": 256}, "inputs": {}}
    assert Recipe(**fields).hash != Recipe(**{**fields, **change}).hash


def test_lineage_is_the_inputs_that_are_versions() -> None:
    inputs = {"photos": "photos/5f1c", "patches": f"patches/{ID}", "again": f"patches/{ID}"}
    assert Recipe(stage="extract", stage_version=1, inputs=inputs).input_versions() == [(Kind.PATCHES, ID)]


@pytest.mark.parametrize("reference", ["patches", "patches/abcd", "patches/", "/abc", f"patches/{ID}/x", "Photos/a b"])
def test_an_input_that_names_no_version_is_refused(reference: str) -> None:
    with pytest.raises(ValidationError, match="expected"):
        Recipe(stage="extract", stage_version=1, inputs={"patches": reference})


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Recipe(stage="crop", stage_version=1, seed=1)
