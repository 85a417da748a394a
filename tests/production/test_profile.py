"""Profiles are checked as a whole before anything runs."""

from pathlib import Path

import pytest

from clc.errors import ProfileError
from clc.images import open_source
from clc.production.profile import load_profile

DEMO = Path(__file__).parents[2] / "pipelines" / "profiles" / "demo.toml"


def test_the_demo_profile_loads_by_name_and_its_photos_are_there() -> None:
    profile = load_profile("demo")
    assert profile == load_profile(str(DEMO))
    for spec in (profile.sources.reference, profile.sources.training, profile.sources.test):
        assert next(iter(open_source(spec).encoded())).data


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("per_photo = 48", "per_photo = 48\nsize = 128", "crop.size must be 256"),
        ("entries = 128", "entries = 2", "cluster.entries must be at least 3"),
        ("dim = 64", "dim = 0", "reduce.dim"),
        ("steps = 420", "steps = 420\nstep = 1", "training.step"),
        ("name =", "name", "not valid TOML"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = DEMO.read_text()
    assert old in text
    (tmp_path / "p.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ProfileError, match=message):
        load_profile(str(tmp_path / "p.toml"))


def test_a_profile_without_photos_says_so_when_they_are_needed() -> None:
    profile = load_profile("tiny")
    with pytest.raises(ProfileError, match="profile tiny names no photos"):
        profile.sources  # noqa: B018


def test_a_collection_keeps_every_distinct_patch() -> None:
    profile = load_profile("collection")
    assert profile.cluster.entries is None
    assert profile.model.config == load_profile("tiny").model.config  # so that it can start from the default model
    assert profile.evaluation.allow_near_duplicates
