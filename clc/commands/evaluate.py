"""`clc evaluate`."""

from typing import Annotated

import typer

from clc.commands.options import StoreOption, StrictOption
from clc.errors import ProfileError, SourceError
from clc.store import Kind

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
    effort: Annotated[str, typer.Option(help="Of CLC, ascending from 0, with commas: each has rows of its own.")] = "0",
    alias: Annotated[str, typer.Option(help="Alias that is moved to the results.")] = "latest",
    strict: StrictOption = False,
    store: StoreOption = None,
) -> None:
    """Measure a model on photos beside other codecs: print the table, and store it for `clc report`.

    Every point is a mean over all photos of whole files that were written and decoded again. Rate differences are
    Bjøntegaard's, over the PSNR that both curves reach, with the interval of a bootstrap over photos. Encoders that are
    programs are measured if they are installed.
    """
    if published is not None and anchor is not None:
        raise ProfileError("--published compares with other codecs, --anchor with a model alone; give one of them")
    chosen, efforts = _numbers("--qualities", qualities), _numbers("--effort", effort)

    import logging

    from clc.api import DEFAULT, find_model
    from clc.evaluation.compare.published import PHOTOS, why_other_photos
    from clc.evaluation.measure.evaluate import EvaluationConfig
    from clc.evaluation.measure.versions import evaluate_model
    from clc.evaluation.report.text import comparison
    from clc.images import dataset_names, open_source, read_photos
    from clc.runtime.profile_file import validated
    from clc.store.shipped import LayeredStore

    if published is not None and published not in PHOTOS:
        raise ProfileError(f"nothing is published here on {published!r}; use one of {', '.join(PHOTOS)}")
    settings = {"clc_qualities": chosen, "efforts": efforts, **({} if anchor is None else _NO_BASELINES)}
    config = validated(EvaluationConfig, settings, "--qualities and --effort")
    opened = LayeredStore(store)
    measured = find_model(opened, model or DEFAULT)
    other = None if anchor is None else find_model(opened, anchor)
    photos = open_source(f"dataset:{dataset}" if dataset.partition("?")[0] in dataset_names() else dataset)
    if published is not None:  # refused here, before hours of measuring
        sizes = [(photo.pixels.shape[0], photo.pixels.shape[1]) for photo in read_photos(photos, skipped=[])]
        if reason := why_other_photos(published, sizes):
            raise SourceError(f"{dataset} cannot be compared with what is published: {reason}")
    logging.getLogger("clc.evaluation").setLevel(logging.INFO)
    results = evaluate_model(measured, photos=photos, config=config, store=opened).version
    opened.aliases.set(Kind.RESULTS, alias, results)
    alone = None
    if other is not None:
        plain = config.model_copy(update={"efforts": (0,)})
        alone = evaluate_model(other, references=False, photos=photos, config=plain, store=opened).version
    typer.echo(f"{measured}, {measured.attributes['preset']}")
    typer.echo(comparison(results, anchor=alone, published=published))
    typer.echo(f"\n{results}; alias {alias} points at it; as a page: clc report {results.short_id}")


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ProfileError(f"{option} {text}: give numbers with commas between them, as 1,50,100") from None
