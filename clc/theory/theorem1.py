"""`clc experiment theorem1`: the sweeps and the searches, as one `results` version."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from clc.store import Draft, Kind, Recipe, Store, Version, run_stage
from clc.theory.best_of_k import DistanceRow, distances, held_out_keys, synthetic_keys
from clc.theory.sweeps import DELTA, AngleRow, SimulationBudget, sweeps, trials

NAME = "theorem1"
"""What the experiment is called: it has no variants, photos or training, so it is none of `clc.experiments`."""

TITLE = "The perturbation bound, simulated (theorem 1)"

ANGLES_SCHEMA = pa.schema(
    [
        ("sweep", pa.string()),
        ("value", pa.float64()),
        ("trial", pa.int32()),
        ("error", pa.float64()),
        ("first_order", pa.float64()),
        ("rate", pa.float64()),
        ("cap", pa.float64()),
    ]
)

DISTANCES_SCHEMA = pa.schema(
    [
        ("keys", pa.string()),
        ("entries", pa.int64()),
        ("query", pa.int32()),
        ("distance", pa.float64()),
        ("excess", pa.float64()),
    ]
)

_KEY_DIMENSIONS, _KEY_RANK = 64, 8
_KEY_NOISES = (0.0, 1.0 / _KEY_RANK)  # none; as much in all directions together as there is signal


def simulated(budget: SimulationBudget, dictionary: Version, *, store: Store) -> Version:
    """Table `angles`, a row for each trial, and `distances`, for each query and size; skipped if the store has it.

    dictionary: whose keys are searched beside synthetic ones.
    Raises ProfileError if it has too few entries.
    """

    def build(draft: Draft) -> None:
        entries = dictionary.table("entries", columns=["key", "photo_sha256"])
        keys = entries["key"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(entries), -1)
        rng = np.random.default_rng([budget.seed, 1])
        held_out = held_out_keys(
            f"dictionary {dictionary.short_id}", keys, entries["photo_sha256"].to_pylist(), budget.queries, rng
        )
        chosen = sweeps(budget)
        with threadpool_limits(1):  # the last digit of a sum depends on how it is divided among threads
            synthetic = [
                synthetic_keys(budget.entries, budget.queries, d=_KEY_DIMENSIONS, r=_KEY_RANK, noise=noise, rng=rng)
                for noise in _KEY_NOISES
            ]
            searched = [row for each in (*synthetic, held_out) for row in distances(each, rng)]
            angles = [row for sweep in chosen for row in trials(sweep, budget)]
        with draft.table("angles", ANGLES_SCHEMA) as table:
            table.write(_to_table(angles, ANGLES_SCHEMA))
        with draft.table("distances", DISTANCES_SCHEMA) as table:
            table.write(_to_table(searched, DISTANCES_SCHEMA))
        draft.attributes |= {
            "experiment": TITLE,
            "budget": str(budget),
            "delta": DELTA,
            "sweeps": [
                {"name": each.name, "quantity": each.quantity, "fixed": each.fixed, "note": each.note}
                for each in chosen
            ],
            "dictionary": dictionary.short_id,
        }

    recipe = Recipe(
        stage=NAME,
        stage_version=1,
        config={"budget": asdict(budget)},
        inputs={"dictionary": dictionary.ref},
    )
    return run_stage(store, Kind.RESULTS, recipe, build).version


def is_simulation(results: Version) -> bool:
    """Whether a `results` version is of `simulated`, not of photos."""
    return "angles" in results.manifest.files


def angle_rows(results: Version) -> list[AngleRow]:
    """Table `angles`."""
    return [AngleRow(**row) for row in results.table("angles").to_pylist()]


def distance_rows(results: Version) -> list[DistanceRow]:
    """Table `distances`."""
    return [DistanceRow(**row) for row in results.table("distances").to_pylist()]


def _to_table(rows: Sequence[AngleRow | DistanceRow], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
