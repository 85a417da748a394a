"""The variants of an experiment side by side: one `results` version a data set, and the table of it."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from clc.evaluation.codecs.builtin import OURS
from clc.evaluation.compare.curves import MS_SSIM, PSNR
from clc.evaluation.compare.interval import MIN_PHOTOS
from clc.evaluation.compare.paired import Difference, difference
from clc.evaluation.compare.summary import codec_names, image_rows
from clc.evaluation.results import IMAGES_SCHEMA, PANELS_SCHEMA, ImageRow, to_table
from clc.experiments.budgets import Budget
from clc.experiments.catalogue import Experiment
from clc.experiments.data_sets import DataSet
from clc.store import Draft, Kind, Recipe, Store, Version, run_stage

Runs = Mapping[tuple[str, int], Version]
"""Results of (variant, seed), in the order of the table."""


def combined(
    experiment: Experiment, data: DataSet, budget: Budget, runs: Runs, *, store: Store, start: Version | None = None
) -> Version:
    """One version with the rows of all variants; each variant and seed is a codec of its own.

    Of a variant with references, the rows are those coded with them. Other codecs are taken from the first run.
    start: the model that training of all variants started from.
    """
    parts = _parts(experiment, data, budget, runs)

    def build(draft: Draft) -> None:
        with draft.table("images", IMAGES_SCHEMA) as images, draft.table("panels", PANELS_SCHEMA) as panels:
            for part in parts:
                images.write(to_table([replace(row, codec=part.names[row.codec]) for row in part.rows], IMAGES_SCHEMA))
            panels.write(pa.Table.from_pylist(_pictures(parts), schema=PANELS_SCHEMA))
        draft.attributes |= {
            "experiment": experiment.title,
            "dataset": data.name,
            "anchor": _labels(experiment, experiment.anchor, budget)[0],
            "budget": _trained(experiment, budget, start) if experiment.trained else _untrained(budget, parts),
            "photos": max(part.results.attributes["photos"] for part in parts),
            "codecs": [
                {**codec, "name": part.names[codec["name"]]}
                for part in parts
                for codec in part.results.attributes["codecs"]
                if codec["name"] in part.names
            ],
            "models": {part.label: part.results.attributes["model"] for part in parts},
            "dictionaries": {part.label: part.results.attributes["dictionary"] for part in parts},
            "dictionary_bytes": {
                part.label: part.results.attributes["dictionary_bytes"] if part.references else 0 for part in parts
            },
        }
        draft.statistics |= {
            "skipped": _skipped(parts),
            "missing": parts[0].results.statistics.get("missing", []),
            "failures": [
                {**failure, "codec": part.names.get(failure["codec"], f"{part.label}: {failure['codec']}")}
                for part in parts
                for failure in part.results.statistics["failures"]
            ],
        }

    recipe = Recipe(
        stage="experiment",
        stage_version=2,
        config={"experiment": experiment.name, "dataset": data.name, "budget": budget.model_dump(mode="json")},
        inputs={part.label: part.results.ref for part in parts},
    )
    return run_stage(store, Kind.RESULTS, recipe, build).version


@dataclass(frozen=True)
class _Part:
    """What one run contributes. names: codec of its results → codec of the combined ones."""

    label: str
    references: bool
    results: Version
    names: dict[str, str]

    @property
    def rows(self) -> list[ImageRow]:
        return [row for row in image_rows(self.results) if row.codec in self.names]


def _parts(experiment: Experiment, data: DataSet, budget: Budget, runs: Runs) -> list[_Part]:
    seeds = experiment_seeds(experiment, budget)
    parts: list[_Part] = []
    for variant in experiment.variants(budget, data):
        for label, seed in zip(_labels(experiment, variant.name, budget), seeds, strict=True):
            results = runs[variant.name, seed]
            codecs = codec_names(results)
            ours = [name for name in codecs if name in OURS]
            names = {ours[0] if variant.references else ours[-1]: label}
            if not parts:
                names |= {name: name for name in codecs if name not in OURS}
            parts.append(_Part(label, variant.references, results, names))
    return parts


def _skipped(parts: Sequence[_Part]) -> list[dict[str, str]]:
    """Photos that could not be decoded, each once."""
    skipped = [photo for part in parts for photo in part.results.statistics.get("skipped", [])]
    return list({photo["image_id"]: photo for photo in skipped}.values())


def _pictures(parts: Sequence[_Part]) -> list[dict[str, object]]:
    """Rows of the table of pictures, what the codecs made of a photo beside each other."""
    rows = [
        {**row, "codec": part.names[row["codec"]]}
        for part in parts
        for row in part.results.table("panels").to_pylist()
        if row["codec"] in part.names
    ]
    order = list(dict.fromkeys(row["image_id"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["image_id"]))


@dataclass(frozen=True)
class TableRow:
    """A variant against the anchor, for each seed. encode_seconds: mean of a photo, over all qualities.

    dictionary_bytes: what a decoder needs once, and no file counts; 0 without a dictionary. photos_to_break_even: after
    how many photos like these, at the mean of the qualities, it is paid for; None if never.
    """

    variant: str
    psnr: Sequence[Difference]
    ms_ssim: Sequence[Difference]
    encode_seconds: float
    dictionary_bytes: int
    photos_to_break_even: int | None


def table(experiment: Experiment, data: DataSet, budget: Budget, results: Version) -> list[TableRow]:
    """The variants of a `combined` version, the anchor last, and then the other codecs.

    Each variant is compared with the anchor of its own seed, other codecs with that of the first.
    """
    rows: dict[str, list[ImageRow]] = {}
    for row in image_rows(results):
        rows.setdefault(row.codec, []).append(row)
    variants = sorted((each.name for each in experiment.variants(budget, data)), key=experiment.anchor.__eq__)
    labels = {name: _labels(experiment, name, budget) for name in variants}
    of_variants = {label for own in labels.values() for label in own}
    labels |= {name: [name] for name in codec_names(results) if name not in of_variants}
    anchors = labels[experiment.anchor]
    table = []
    for name, own in labels.items():
        # Another codec has no seeds: it meets the first anchor alone.
        pairs = [(rows.get(anchor, []), rows.get(label, [])) for anchor, label in zip(anchors, own, strict=False)]
        seconds = [row.encode_seconds for _, measured in pairs for row in measured]
        psnr = [difference(anchor, measured, PSNR) for anchor, measured in pairs]
        size = results.attributes["dictionary_bytes"].get(own[0], 0)
        table.append(
            TableRow(
                variant=name,
                psnr=psnr,
                ms_ssim=[difference(anchor, measured, MS_SSIM) for anchor, measured in pairs],
                encode_seconds=statistics.fmean(seconds) if seconds else float("nan"),
                dictionary_bytes=size,
                photos_to_break_even=_break_even(size, psnr[0], pairs[0][0]) if size else None,
            )
        )
    return table


def experiment_seeds(experiment: Experiment, budget: Budget) -> Sequence[int]:
    """Seeds that models are trained with; one entry where a model is measured as it is."""
    return budget.seeds if experiment.trained else (0,)


def markdown(experiment: Experiment, data: DataSet, budget: Budget, results: Version) -> str:
    """The table for people. A comparison that cannot be made is a gap with its reason."""
    lines = [
        f"{experiment.title}, {data.name}: {results.attributes['photos']} test photos. {results.attributes['budget']}.",
        "",
        f"| variant | rate at equal PSNR, against {experiment.anchor} | at equal MS-SSIM | encode, s "
        "| dictionary, MB | pays after photos |",
        "|---|---|---|---|---|---|",
    ]
    for row in table(experiment, data, budget, results):
        cells = ["", ""]
        if row.variant != experiment.anchor:
            cells = [_seeds(differences) for differences in (row.psnr, row.ms_ssim)]
        size = pays = ""
        if row.dictionary_bytes:
            size = f"{row.dictionary_bytes / 1e6:.1f}"
            pays = "never" if row.photos_to_break_even is None else f"{row.photos_to_break_even:,}"
        lines.append(f"| {row.variant} | {' | '.join(cells)} | {row.encode_seconds:.2f} | {size} | {pays} |")
    return "\n".join(lines)


def _break_even(size: int, saved: Difference, anchor: Sequence[ImageRow]) -> int | None:
    if saved.rate is None or saved.rate.mean >= 0:
        return None
    return math.ceil(size / (-saved.rate.mean * statistics.fmean(row.bytes for row in anchor)))


def _trained(experiment: Experiment, budget: Budget, start: Version | None) -> str:
    spent = budget.spent(experiment.networks(budget), experiment.references)
    return spent if start is None else f"{spent}, each on top of {start}"


def _untrained(budget: Budget, parts: Sequence[_Part]) -> str:
    qualities = ", ".join(f"{quality:g}" for quality in budget.qualities)
    models = list(dict.fromkeys(part.results.attributes["model"] for part in parts))
    trained = f"model {models[0]} as it is" if len(models) == 1 else f"models {' and '.join(models)} as they are"
    return (
        f"Budget {budget.name}: {trained}, at most {budget.reference_photos} reference "
        f"({budget.collection_photos} of a collection) and {budget.test_photos} test photos, qualities {qualities}"
    )


def _seeds(differences: Sequence[Difference]) -> str:
    return "; ".join(_cell(each) for each in differences)


def _cell(found: Difference) -> str:
    if found.rate is None:
        return f"none: {found.gap}"
    text = f"{100 * found.rate.mean:+.1f} %"
    if found.interval is None:
        few = found.photos < MIN_PHOTOS
        return f"{text} ({found.photos} photos: {'too few for an' if few else 'some draws of them allow no'} interval)"
    return f"{text} [{100 * found.interval.low:+.1f}, {100 * found.interval.high:+.1f}]"


def _labels(experiment: Experiment, variant: str, budget: Budget) -> list[str]:
    """A variant's names as codecs, one for each seed."""
    seeds = experiment_seeds(experiment, budget)
    return [variant] if len(seeds) == 1 else [f"{variant}, seed {seed}" for seed in seeds]
