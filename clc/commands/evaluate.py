"""`clc evaluate`."""

from dataclasses import replace
from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.errors import ProfileError, SourceError
from clc.store import Kind, Version

_QUALITIES = "1,15,30,45,60,75,90,100"
_NO_BASELINES: dict[str, tuple[int, ...]] = {
    f"{codec}_qualities": () for codec in ("jpeg", "webp", "avif", "jpeg_xl", "hevc", "vvc")
}


def evaluate(
    dataset: Annotated[
        str,
        typer.Option(help="Photos: parquet:PATH, folder:PATH, bundled, or the name of a dataset (`clc data list`)."),
    ],
    model: Annotated[
        str | None, typer.Option(help="Model version. Default: alias production, else the one that comes with CLC.")
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Instead of other codecs: compare with this model's files without references.",
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(help="Compare with curves that others have published, too: kodak, if the photos are all of it."),
    ] = None,
    qualities: Annotated[str, typer.Option(help="Of CLC, ascending, with commas.")] = _QUALITIES,
    alias: Annotated[str, typer.Option(help="Alias that is moved to the results.")] = "latest",
    store: StoreOption = None,
) -> None:
    """Measure a model on photos beside other codecs: print the table, and store it for `clc report`.

    Every point is a mean over all photos of whole files that were written and decoded again. Rate differences are
    Bjøntegaard's, over the PSNR that both curves reach, with the interval of a bootstrap over photos. Encoders that are
    programs are measured if they are installed.
    """
    if published is not None and anchor is not None:
        raise ProfileError("--published compares with other codecs, --anchor with a model alone; give one of them")
    chosen = _numbers(qualities)

    import logging

    from clc.api import DEFAULT, find_model
    from clc.evaluation.codecs.builtin import OURS
    from clc.evaluation.compare.published import COMPARED, PHOTOS, published_curves, why_other_photos
    from clc.evaluation.compare.summary import common_images
    from clc.evaluation.measure.evaluate import EvaluationConfig
    from clc.evaluation.measure.versions import evaluate_model
    from clc.evaluation.report.text import FixedCurve, MeasuredCurve, differences_table, measured_curves, points_table
    from clc.images import dataset_names, open_source
    from clc.runtime.profile_file import validated
    from clc.store.shipped import LayeredStore

    if published is not None and published not in PHOTOS:
        raise ProfileError(f"nothing is published here on {published!r}; use one of {', '.join(PHOTOS)}")
    logging.getLogger("clc.evaluation").setLevel(logging.INFO)
    opened = LayeredStore(store)
    measured = find_model(opened, model or DEFAULT)
    other = None if anchor is None else find_model(opened, anchor)
    photos = open_source(f"dataset:{dataset}" if dataset.partition("?")[0] in dataset_names() else dataset)
    settings = {"clc_qualities": chosen, **({} if other is None else _NO_BASELINES)}
    config = validated(EvaluationConfig, settings, "--qualities")
    results = evaluate_model(measured, photos=photos, config=config, store=opened).version
    opened.aliases.set(Kind.RESULTS, alias, results)
    common = set(common_images(results))
    alone = None
    if other is not None:
        alone = evaluate_model(other, references=False, photos=photos, config=config, store=opened).version
        common &= set(common_images(alone))
    if not common:
        raise SourceError(f"{dataset}: no photo was coded by every codec; clc results show {results.short_id} says why")
    curves = measured_curves(results, common)
    ours = [curve for curve in curves if curve.name in OURS]
    others: list[MeasuredCurve | FixedCurve] = [curve for curve in curves if curve is not ours[0]]
    if other is not None and alone is not None:
        anchored = replace(measured_curves(alone, common)[0], name=f"clc, model {other.short_id}")
        curves, others = [*curves, anchored], [anchored]
    if published is not None:
        sizes = {row.image_id: (row.height, row.width) for row in ours[0].rows}
        if reason := why_other_photos(published, list(sizes.values())):
            raise SourceError(f"{dataset} cannot be compared with what is published: {reason}")
        others += [
            FixedCurve(f"{curve.codec}, published", curve.points)
            for curve in published_curves()
            if curve.dataset == published and curve.codec in COMPARED
        ]

    typer.echo(f"{measured}, {measured.attributes['preset']}")
    for line in _left_out(results):
        typer.echo(line)
    typer.echo(f"\n{points_table(curves)}\n")
    typer.echo(differences_table((own, each) for own in ours for each in others if each is not own))
    typer.echo(f"\n{results}; alias {alias} points at it; as a page: clc report {results.short_id}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ProfileError(f"--qualities {text}: give numbers with commas between them, as 1,50,100") from None


def _left_out(results: Version) -> list[str]:
    statistics = results.statistics
    photos = [f"without {each['image_id']}: {each['reason']}" for each in statistics["skipped"]]
    failed = [f"{each['codec']} failed on {each['image_id']}: {each['reason']}" for each in statistics["failures"]]
    return photos + failed + [f"{each['codec']} is not measured: {each['reason']}" for each in statistics["missing"]]
