"""Lineage: from a dictionary back to the photos."""

import shutil

from clc.store import Lineage, Store, lineage


def test_ancestry_reaches_the_photos(make) -> None:
    patches = make(1, inputs={"photos": "photos/5f1c"})
    features = make(2, inputs={"patches": patches.ref})
    dictionary = make(3, inputs={"patches": patches.ref, "features": features.ref})
    tree = lineage(dictionary)
    assert (tree.ref, tree.stage, sorted(tree.inputs)) == (dictionary.ref, "index", ["features", "patches"])
    assert tree.inputs["patches"].inputs["photos"] == Lineage("photos/5f1c")
    assert list(tree.edges()) == [
        (dictionary.ref, "features", features.ref),
        (dictionary.ref, "patches", patches.ref),
        (features.ref, "patches", patches.ref),
        (patches.ref, "photos", "photos/5f1c"),
    ]


def test_the_manifest_names_the_inputs_that_are_versions(make) -> None:
    source = make(1)
    version = make(2, inputs={"dictionary": source.ref, "photos": "photos/5f1c"})
    assert [(input.kind, input.id) for input in version.manifest.lineage] == [(source.kind, source.id)]


def test_a_missing_ancestor_is_marked(store: Store, make) -> None:
    source = make(1)
    version = make(2, inputs={"patches": source.ref})
    shutil.rmtree(source.directory)
    assert lineage(version).inputs["patches"] == Lineage(source.ref, present=False)
