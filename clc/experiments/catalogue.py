"""Which variants each experiment compares: the tables of the paper, and what it did not ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clc.codec.model import Ablation, Conditioning, ReferenceSource
from clc.dictionary.retrieve import Query
from clc.errors import ProfileError
from clc.experiments.budget import Budget

Changes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Variant:
    """One row of a table: what differs from the base profile, table by table of it."""

    name: str
    changes: Changes


@dataclass(frozen=True)
class Experiment:
    """A question, and the variants that answer it. All are compared with `anchor`, the name of one of them.

    collections: whether it is asked of collections of related photos, too.
    """

    name: str
    title: str
    anchor: str
    variants: Callable[[Budget], list[Variant]]
    collections: bool = False


_NONE = Variant("no references", {"model": {"conditioning": Conditioning.NONE}})
_PAPER = {"conditioning": Conditioning.PAPER}
_MULTI = {"queries": [Query.IDENTITY, Query.ROTATE_90, Query.FLIP]}
_FULL = Variant("full", {"model": _PAPER, "retrieval": _MULTI})


def _reference_numbers(budget: Budget) -> list[Variant]:
    numbers = [Variant(f"M = {number}", {"model": {**_PAPER, "references": number}}) for number in range(1, 6)]
    return [_NONE, *numbers]


def _dictionary_sizes(budget: Budget) -> list[Variant]:
    sizes = [Variant(f"K = {size}", {"model": _PAPER, "cluster": {"entries": size}}) for size in budget.sizes]
    return [_NONE, *sizes]


def _components(budget: Budget) -> list[Variant]:
    return [
        _NONE,
        _FULL,
        Variant("without CLM", {"model": {**_PAPER, "without": Ablation.CLM}, "retrieval": _MULTI}),
        Variant("without CLS", {"model": {**_PAPER, "without": Ablation.CLS}, "retrieval": _MULTI}),
        Variant("without attention and its KV-cache", {"model": _PAPER, "retrieval": {**_MULTI, "attention": False}}),
        Variant("without multi-query", {"model": _PAPER}),
    ]


def _conditionings(budget: Budget) -> list[Variant]:
    learned = {"conditioning": Conditioning.PRIOR, "reference_source": ReferenceSource.LEARNED}
    ways = (Conditioning.PAPER, Conditioning.PRIOR, Conditioning.BOTH)
    return [
        _NONE,
        *(Variant(way.value, {"model": {"conditioning": way}}) for way in ways),
        Variant("learned dictionary", {"model": learned}),
    ]


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("table1", "Number of reference images (table 1)", _NONE.name, _reference_numbers),
        Experiment("table2", "Size of the dictionary (table 2)", _NONE.name, _dictionary_sizes),
        Experiment("table3", "Components of the method (table 3)", _NONE.name, _components),
        Experiment(
            "conditioning", "Where references condition the codec", _NONE.name, _conditionings, collections=True
        ),
    )
}


def find_experiment(name: str) -> Experiment:
    """An experiment by name. Raises ProfileError naming those there are."""
    if name not in EXPERIMENTS:
        raise ProfileError(f"no experiment is called {name!r}; use one of: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
