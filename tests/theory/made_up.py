"""Results of a simulation whose exponents are known."""

import numpy as np
import pyarrow as pa

from clc.store import Kind, Recipe, Store, Version
from clc.theory.theorem1 import ANGLES_SCHEMA, DISTANCES_SCHEMA


def made_up(store: Store, growths: dict[str, float], excess: float = 1.0) -> Version:
    """A version whose error over x = 1, 2, 4, 8 grows with these exponents, where the bound's is 1/2."""
    angles = [
        {"sweep": name, "value": x, "trial": trial, "error": 0.01 * x**growth, "first_order": 0.01, "rate": x**0.5,
         "cap": 10.0}
        for name, growth in growths.items()
        for x in (1.0, 2.0, 4.0, 8.0)
        for trial in range(3)
    ]  # fmt: skip
    distances = [
        {"keys": "made up", "entries": k, "query": query, "distance": k**-0.2, "excess": np.log(k) ** excess}
        for k in (4, 16, 64)
        for query in range(5)
    ]
    with store.draft(Kind.RESULTS, Recipe(stage="made-up", stage_version=1)) as draft:
        for name, rows, schema in (("angles", angles, ANGLES_SCHEMA), ("distances", distances, DISTANCES_SCHEMA)):
            with draft.table(name, schema) as table:
                table.write(pa.Table.from_pylist(rows, schema=schema))
        draft.attributes |= {
            "experiment": "Made up",
            "budget": "none",
            "delta": 0.05,
            "sweeps": [{"name": name, "quantity": "x", "fixed": "all", "note": "why"} for name in growths],
        }
        return draft.publish()
