"""`verify` for dictionaries: pictures and indexes must fit the columns they belong to."""

from pathlib import Path

import pyarrow as pa
import pytest

from clc.dictionary.inspect.consistency import verify_dictionary
from clc.store import Draft, Kind, Store, Version, run_stage
from tests.conftest import World


def test_a_fresh_dictionary_is_whole(world: World) -> None:
    assert verify_dictionary(world.dictionary) == []


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ("entries", "image", "does not have the recorded pixels"),
        ("ball_tree_order", "entry", "ball_tree index does not fit"),
    ],
)
def test_derived_columns_that_belong_to_another_dictionary_are_found(
    world: World, tmp_path: Path, table: str, column: str, message: str
) -> None:
    """These columns are outside the id, so that only the dictionary's own check can notice."""
    version = republish(world.dictionary, Store(tmp_path), table, column)
    assert version.id == world.dictionary.id
    problems = [p for p in verify_dictionary(version) if "lineage" not in str(p)]
    assert any(message in str(problem) for problem in problems), problems


def republish(version: Version, store: Store, table: str, column: str) -> Version:
    """The same version with one derived column in reverse order, hashes of files and all."""

    def build(draft: Draft) -> None:
        for name, entry in version.manifest.files.items():
            if entry.type == "tensors":
                draft.tensors(name, version.tensors(name))
                continue
            content = version.table(name)
            if name == table:
                position = content.schema.get_field_index(column)
                backwards = content[column].take(pa.array(range(len(content) - 1, -1, -1)))
                content = content.set_column(position, content.schema.field(column), backwards)
            with draft.table(name, version.schema(name)) as writer:
                writer.write(content)
        draft.attributes |= version.attributes
        draft.statistics |= version.statistics

    recipe = version.manifest.recipe.model_copy(update={"inputs": {}})
    return run_stage(store, Kind.DICTIONARY, recipe, build).version
