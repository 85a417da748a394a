"""The variants of an experiment side by side: one `results` version a data set, and the table of it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from clc.evaluation.comparison import Difference, difference
from clc.evaluation.curves import MS_SSIM, PSNR
from clc.evaluation.results import IMAGES_SCHEMA, PANELS_SCHEMA, ImageRow, to_table
from clc.evaluation.summary import image_rows
from clc.experiments.budget import Budget
from clc.experiments.catalogue import Experiment
from clc.experiments.photos import DataSet
from clc.store import Draft, Kind, Recipe, Store, Version, run_stage

Runs = Mapping[tuple[str, int], Version]
"""Results of (variant, seed), in the order of the table."""


def combined(experiment: Experiment, data: DataSet, budget: Budget, runs: Runs, *, store: Store) -> Version:
    """One version with the rows of all variants; each variant and seed is a codec of its own.

    Of a variant with references, the rows are those coded with them.
    """
    labels = {key: _label(*key, budget) for key in runs}

    def build(draft: Draft) -> None:
        with draft.table("images", IMAGES_SCHEMA) as images, draft.table("panels", PANELS_SCHEMA):
            for key, results in runs.items():
                rows = [replace(row, codec=labels[key]) for row in _own_rows(results)]
                images.write(to_table(rows, IMAGES_SCHEMA))
        draft.attributes |= {
            "experiment": experiment.name,
            "dataset": data.name,
            "budget": budget.model_dump(mode="json"),
            "photos": max(results.attributes["photos"] for results in runs.values()),
            "codecs": [{"name": label, "qualities": list(budget.qualities)} for label in labels.values()],
            "models": {labels[key]: results.attributes["model"] for key, results in runs.items()},
            "dictionaries": {labels[key]: results.attributes["dictionary"] for key, results in runs.items()},
        }
        draft.statistics |= {
            "skipped": [],
            "failures": [
                {**failure, "codec": labels[key]}
                for key, results in runs.items()
                for failure in results.statistics["failures"]
            ],
        }

    recipe = Recipe(
        stage="experiment",
        stage_version=1,
        config={"experiment": experiment.name, "dataset": data.name, "budget": budget.model_dump(mode="json")},
        inputs={labels[key]: results.ref for key, results in runs.items()},
    )
    return run_stage(store, Kind.RESULTS, recipe, build).version


@dataclass(frozen=True)
class TableRow:
    """A variant against the anchor, for each seed. encode_seconds: mean of a photo, over all qualities."""

    variant: str
    psnr: Sequence[Difference]
    ms_ssim: Sequence[Difference]
    encode_seconds: float


def table(experiment: Experiment, budget: Budget, results: Version) -> list[TableRow]:
    """The variants of a `combined` version, the anchor last; each is compared with the anchor of its own seed."""
    rows: dict[str, list[ImageRow]] = {}
    for row in image_rows(results):
        rows.setdefault(row.codec, []).append(row)
    names = [variant.name for variant in experiment.variants(budget)]
    table = []
    for name in sorted(names, key=experiment.anchor.__eq__):
        pairs = [
            (rows.get(_label(experiment.anchor, seed, budget), []), rows.get(_label(name, seed, budget), []))
            for seed in budget.seeds
        ]
        seconds = [row.encode_seconds for _, own in pairs for row in own]
        table.append(
            TableRow(
                variant=name,
                psnr=[difference(anchor, own, PSNR) for anchor, own in pairs],
                ms_ssim=[difference(anchor, own, MS_SSIM) for anchor, own in pairs],
                encode_seconds=statistics.fmean(seconds) if seconds else float("nan"),
            )
        )
    return table


def markdown(experiment: Experiment, data: DataSet, budget: Budget, results: Version) -> str:
    """The table for people. A comparison that cannot be made is a gap with its reason."""
    lines = [
        f"{experiment.title}, {data.name}: {results.attributes['photos']} test photos. {budget}.",
        "",
        f"| variant | rate at equal PSNR, against {experiment.anchor} | at equal MS-SSIM | encode, s |",
        "|---|---|---|---|",
    ]
    for row in table(experiment, budget, results):
        if row.variant == experiment.anchor:
            lines.append(f"| {row.variant} | | | {row.encode_seconds:.2f} |")
        else:
            cells = " | ".join(_seeds(differences) for differences in (row.psnr, row.ms_ssim))
            lines.append(f"| {row.variant} | {cells} | {row.encode_seconds:.2f} |")
    return "\n".join(lines)


def _seeds(differences: Sequence[Difference]) -> str:
    return "; ".join(_cell(each) for each in differences)


def _cell(found: Difference) -> str:
    if found.rate is None:
        return f"none: {found.gap}"
    text = f"{100 * found.rate.mean:+.1f} %"
    if found.interval is None:
        return f"{text} ({found.photos} photos: too few for an interval)"
    return f"{text} [{100 * found.interval.low:+.1f}, {100 * found.interval.high:+.1f}]"


def _own_rows(results: Version) -> list[ImageRow]:
    """Those of the first codec: with references, where the variant takes any."""
    first = results.attributes["codecs"][0]["name"]
    return [row for row in image_rows(results) if row.codec == first]


def _label(variant: str, seed: int, budget: Budget) -> str:
    return variant if len(budget.seeds) == 1 else f"{variant}, seed {seed}"
