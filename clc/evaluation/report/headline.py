"""What a page of results says first: which model, how it was trained, and what the model that ships gives beside it."""

from dataclasses import dataclass
from enum import StrEnum

from clc.evaluation.codecs.builtin import OURS
from clc.evaluation.compare.paired import Comparison, Difference, compare
from clc.evaluation.compare.summary import codec_names, image_rows
from clc.store import Kind, Store, Version
from clc.store.shipped import shipped_store

_DEFAULT = "default"


@dataclass(frozen=True)
class Headline:
    """trained: its preset and budget in words, "" where they are not known or it ships.

    name: what it ships as, None if it does not. default: short id of the model that ships as `default`, None if that
    is this one or none ships. beside: this model against that one, None if that has not been measured on the same
    photos.
    """

    model: str
    trained: str
    name: str | None
    default: str | None
    beside: Comparison | None


class Help(StrEnum):
    """What references do by one metric."""

    SAVE = "save"
    COST = "cost"
    EQUAL = "equal"
    OPEN = "open"


def headline(version: Version) -> Headline:
    """Of results of one model. What else its store holds decides whether there is a comparison."""
    model = version.attributes["model"]
    shipped = shipped_store()
    names = {} if shipped is None else {each.id[:16]: name for name, each in shipped.aliases.list(Kind.MODEL).items()}
    default = next((id for id, name in names.items() if name == _DEFAULT and id != model), None)
    trained = "" if model in names else _trained(version)
    return Headline(model, trained, names.get(model), default, _beside(version, default) if default else None)


def helped(difference: Difference) -> Help | None:
    """None where the curves allow no answer."""
    if difference.rate is None:
        return None
    if round(100 * abs(difference.rate.mean), 1) == 0.0:
        return Help.EQUAL
    if difference.interval is not None and difference.interval.low < 0 < difference.interval.high:
        return Help.OPEN
    return Help.SAVE if difference.rate.mean < 0 else Help.COST


_ALONE = {
    Help.SAVE: "References save more bits than they cost here",
    Help.COST: "References cost more bits than they save here: without them, files are smaller",
    Help.EQUAL: "References neither save nor cost bits here",
    Help.OPEN: "The interval includes zero: these photos do not tell",
}
_BY = {
    Help.SAVE: "references save more bits than they cost",
    Help.COST: "references cost more bits than they save",
    Help.EQUAL: "references neither save nor cost bits",
    Help.OPEN: "these photos do not tell",
}


def whether_references_help(comparison: Comparison) -> str:
    """In one sentence, which speaks of both metrics where they differ."""
    psnr, ms_ssim = helped(comparison.psnr), helped(comparison.ms_ssim)
    if psnr is None or ms_ssim is None or psnr is ms_ssim:
        one = psnr or ms_ssim
        metric = "" if psnr is ms_ssim else f", by {'PSNR' if psnr else 'MS-SSIM'}"
        return f"{_ALONE[one]}{metric}." if one else ""
    return f"By PSNR, {_BY[psnr]}; by MS-SSIM, {_BY[ms_ssim]}."


def _trained(version: Version) -> str:
    about = version.attributes.get("about") or {}
    budget = next((f"{about[unit]} {unit}" for unit in ("steps", "epochs", "minutes") if about.get(unit)), None)
    return ", ".join([*([f"preset {about['preset']}"] if "preset" in about else []), *([budget] if budget else [])])


def _beside(version: Version, default: str) -> Comparison | None:
    photos = version.manifest.recipe.inputs.get("photos")
    others = [
        other
        for other in Store(version.storage.display()).versions(Kind.RESULTS)
        if photos is not None
        and other.attributes.get("model") == default
        and other.manifest.recipe.inputs.get("photos") == photos
    ]
    if not others:
        return None
    ours, theirs = (
        (name, [row for row in image_rows(each) if row.codec == name])
        for each in (version, others[-1])
        for name in [next(name for name in OURS if name in codec_names(each))]
    )
    return compare(theirs[1], ours[1], names=(theirs[0], ours[0]))
