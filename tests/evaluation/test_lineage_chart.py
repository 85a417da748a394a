import pyarrow as pa

from clc.evaluation.report.lineage_chart import lineage_columns
from clc.store import Kind, Recipe, Store, Version


def made_from(store: Store, kind: Kind, stage: str, **inputs: str) -> Version:
    with store.draft(kind, Recipe(stage=stage, stage_version=1, inputs=inputs)) as draft:
        with draft.table("rows", pa.schema([("stage", pa.string())])) as table:
            table.write(pa.table({"stage": [stage]}))
        return draft.publish()


def test_everything_lies_to_the_right_of_what_it_was_made_from(store):
    patches = made_from(store, Kind.PATCHES, "crop", photos="photos/" + "1" * 64)
    dictionary = made_from(store, Kind.DICTIONARY, "index", patches=patches.ref)
    model = made_from(store, Kind.MODEL, "train", dictionary=dictionary.ref, photos="photos/" + "2" * 64)
    results = made_from(store, Kind.RESULTS, "evaluate", model=model.ref, dictionary=dictionary.ref)

    columns = lineage_columns(results)

    assert [sorted(origin.name.partition("/")[0] for origin in column) for column in columns] == [
        ["photos", "photos"], ["patches"], ["dictionary"], ["model"], ["results"],
    ]  # fmt: skip
    (last,) = columns[-1]
    assert (last.name, last.stage) == (f"results/{results.short_id}", "evaluate")
    assert set(last.inputs) == {f"model/{model.short_id}", f"dictionary/{dictionary.short_id}"}


def test_what_is_not_in_the_store_is_marked(store):
    results = made_from(store, Kind.RESULTS, "evaluate", model="model/" + "3" * 64)

    (model,), _ = lineage_columns(results)

    assert not model.present
