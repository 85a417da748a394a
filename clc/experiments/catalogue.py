"""Which variants each experiment compares: the tables of the paper, and what it did not ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clc.dictionary.retrieval.queries import Query
from clc.errors import ProfileError
from clc.evaluation.codecs.online import Online
from clc.experiments import dkic
from clc.experiments.budgets import Budget
from clc.experiments.data_sets import DATA, DataSet, collections, general, limited
from clc.experiments.frames import FRAMES_ANCHOR
from clc.model.conditioning.fusion import Ends
from clc.model.config import Ablation, Conditioning, ReferenceSource
from clc.theory.theorem1 import NAME as THEOREM_1

Changes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Variant:
    """One row of a table: what differs from the base profile, table by table of it.

    references: False for the rows that the same codec has without any.
    """

    name: str
    changes: Changes
    references: bool = True


class On(StrEnum):
    """Which photos an experiment is run on."""

    GENERAL = "general"
    COLLECTIONS = "collections"
    BOTH = "both"


@dataclass(frozen=True)
class Experiment:
    """A question, and the variants that answer it. All are compared with `anchor`, the name of one of them or, with
    `frames`, of a video codec.

    trained: a model for each variant, under the budget; False measures the default model as it is.
    networks: what the variants train, under a budget. references: whether any of them takes some of a dictionary.
    others: measure JPEG, WebP, AVIF and what is installed beside the variants.
    frames: measure the photos as frames of a video beside them, with the same references.
    pictures_at: bits per pixel of the pictures of the test photos; None for no pictures.
    """

    name: str
    title: str
    anchor: str
    variants: Callable[[Budget, DataSet], list[Variant]]
    on: On = On.GENERAL
    trained: bool = True
    networks: Callable[[Budget], str] = lambda budget: "preset tiny, keys of hog"
    references: bool = True
    others: bool = False
    frames: bool = False
    pictures_at: float | None = None

    def data_sets(self, budget: Budget) -> list[DataSet]:
        """Raises ProfileError if it needs collections and there are none."""
        related = [] if self.on is On.GENERAL else collections()[: budget.collections]
        if self.on is On.COLLECTIONS and not related:
            raise ProfileError(
                f"experiment {self.name} needs collections of related photos; set {DATA} to a folder of photo packs"
            )
        return related if self.on is On.COLLECTIONS else [general(), *related]


_ALONE = "no references"
_NONE = Variant(_ALONE, {"model": {"conditioning": Conditioning.NONE}})
_PAPER = {"conditioning": Conditioning.PAPER}
_MULTI = {"queries": [Query.IDENTITY, Query.ROTATE_90, Query.FLIP]}
_NO_MODEL_STREAM = "no model stream"
_FULL = Variant("full", {"model": _PAPER, "retrieval": _MULTI})


def _reference_numbers(budget: Budget, data: DataSet) -> list[Variant]:
    numbers = [Variant(f"M = {number}", {"model": {**_PAPER, "references": number}}) for number in range(1, 6)]
    return [_NONE, *numbers]


def _dictionary_sizes(budget: Budget, data: DataSet) -> list[Variant]:
    sizes = [Variant(f"K = {size}", {"model": _PAPER, "cluster": {"entries": size}}) for size in budget.sizes]
    return [_NONE, *sizes]


def _components(budget: Budget, data: DataSet) -> list[Variant]:
    return [
        _NONE,
        _FULL,
        Variant("without CLM", {"model": {**_PAPER, "without": Ablation.CLM}, "retrieval": _MULTI}),
        Variant("without CLS", {"model": {**_PAPER, "without": Ablation.CLS}, "retrieval": _MULTI}),
        Variant("without attention and its KV-cache", {"model": _PAPER, "retrieval": {**_MULTI, "attention": False}}),
        Variant("without multi-query", {"model": _PAPER}),
    ]


def _conditionings(budget: Budget, data: DataSet) -> list[Variant]:
    learned = {"conditioning": Conditioning.PRIOR, "reference_source": ReferenceSource.LEARNED}
    ways = (Conditioning.PAPER, Conditioning.PRIOR, Conditioning.BOTH, Conditioning.FUSED)
    return [
        _NONE,
        *(Variant(way.value, {"model": {"conditioning": way}}) for way in ways),
        *_fusions(),
        Variant("learned dictionary", {"model": learned}),
    ]


def _fusions() -> list[Variant]:
    """What each part of fusion buys."""

    def fused(name: str, **changes: object) -> Variant:
        return Variant(f"fused, {name}", {"model": {"conditioning": Conditioning.FUSED, **changes}})

    return [
        fused("in g_a only", fusion={"ends": Ends.ANALYSIS}),
        fused("in g_s only", fusion={"ends": Ends.SYNTHESIS}),
        fused("mean of references", fusion={"attention": False}),
        *(fused(f"M = {number}", references=number) for number in (1, 2, 5)),
    ]


def _full_and_none(budget: Budget, data: DataSet) -> list[Variant]:
    return [_NONE, _FULL]


def _parts_of_dkic(budget: Budget, data: DataSet) -> list[Variant]:
    return [Variant(name, changes) for name, changes in dkic.changes(budget)]


def _as_shipped(budget: Budget, data: DataSet) -> list[Variant]:
    always: Changes = {"evaluation": {"always_references": True}}  # references that do not pay would not be shown
    return [Variant(_ALONE, always, references=False), Variant("references", always)]


def _with_and_without(budget: Budget, data: DataSet) -> list[Variant]:
    return [Variant(_ALONE, {}, references=False), Variant("references", {})]


def _dictionaries(budget: Budget, data: DataSet) -> list[Variant]:
    assert data.elsewhere is not None, "only collections have an elsewhere"
    foreign = {"photos": {"reference": limited(data.elsewhere, budget.collection_photos)}}
    return [
        Variant(_ALONE, {}, references=False),
        Variant("dictionary of another collection", foreign),
        Variant("rebuilt from this collection", {}),
    ]


def _syntaxes(budget: Budget, data: DataSet) -> list[Variant]:
    """The model stream, post-processing, and what is searched for each photo at as many passes."""
    training = {"crop": _syntax_crop(budget)}
    plain: Changes = {"model": {"conditioning": Conditioning.NONE}, "training": training}
    syntax: Changes = {"model": {"conditioning": Conditioning.NONE, "syntax": {"post": {}}}, "training": training}

    def online(model: Changes, part: Online) -> Changes:
        return {**model, "evaluation": {"online": part}}

    return [
        Variant(_NO_MODEL_STREAM, plain),
        Variant(f"{_NO_MODEL_STREAM}, {Online.LATENTS} online", online(plain, Online.LATENTS)),
        Variant("model stream", syntax),
        Variant("model stream, post-processing", {**syntax, "evaluation": {"post": True}}),
        *(Variant(f"model stream, {part} online", online(syntax, part)) for part in Online),
    ]


def _syntax_crop(budget: Budget) -> int:
    return 128 if budget.narrow else 256


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("table1", "Number of reference images (table 1)", _NONE.name, _reference_numbers),
        Experiment("table2", "Size of the dictionary (table 2)", _NONE.name, _dictionary_sizes),
        Experiment("table3", "Components of the method (table 3)", _NONE.name, _components),
        Experiment(
            "figure2c",
            "Retrieved references, used even where they do not pay (figure 2c)",
            _ALONE,
            _as_shipped,
            trained=False,
            pictures_at=0.5,
        ),
        Experiment("figure4", "Rate and distortion (figure 4)", _NONE.name, _full_and_none, others=True),
        Experiment(
            "figure5",
            "Pictures at a low rate (figure 5)",
            _NONE.name,
            _full_and_none,
            others=True,
            pictures_at=0.1,
        ),
        Experiment("conditioning", "Where references condition the codec", _NONE.name, _conditionings, on=On.BOTH),
        Experiment(
            "dkic",
            "Dynamic kernels and asymmetric stages (DKIC)",
            dkic.DKIC,
            _parts_of_dkic,
            networks=dkic.networks,
            references=False,
        ),
        Experiment(
            "video",
            "Beside video codecs that have the same references",
            FRAMES_ANCHOR,
            _with_and_without,
            on=On.COLLECTIONS,
            trained=False,
            frames=True,
        ),
        Experiment(
            "drift",
            "What rebuilding the dictionary of a collection buys",
            _ALONE,
            _dictionaries,
            on=On.COLLECTIONS,
            trained=False,
        ),
        Experiment(
            "syntax",
            "A data-dependent transform and its online optimisation",
            _NO_MODEL_STREAM,
            _syntaxes,
            networks=lambda budget: f"preset tiny, crops of {_syntax_crop(budget)}×{_syntax_crop(budget)}",
            references=False,
        ),
    )
}


def find_experiment(name: str) -> Experiment:
    """An experiment by name. Raises ProfileError naming those there are."""
    if name not in EXPERIMENTS:
        raise ProfileError(f"no experiment is called {name!r}; use one of: {', '.join([*EXPERIMENTS, THEOREM_1])}")
    return EXPERIMENTS[name]
