"""Promotion: the aliases `production` of model and dictionary move together, and only through the gate."""

from dataclasses import dataclass, replace
from itertools import islice, pairwise

from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import CorruptArtifactError, DictionaryError, MissingArtifactError, OverlapError
from clc.evaluation.measure.evaluate import EvaluationConfig
from clc.evaluation.measure.versions import evaluate_versions
from clc.images import PhotoSource, read_photos
from clc.production.gate import GateConfig, Verdict, inexact_photos, judge
from clc.store import AliasRevision, Kind, Store, Version

PRODUCTION = "production"
REFUSED = "refused"
"""Alias of the model that the gate refused last; its note has the reasons."""


@dataclass(frozen=True)
class Promotion:
    """What became of a candidate.

    moved: whether the aliases were moved to it now. refused_before: when it was refused already, for the same reasons.
    """

    model: Version
    dictionary: Version
    verdict: Verdict
    moved: bool
    refused_before: str | None = None

    @property
    def refused(self) -> bool:
        """Whether the gate refused it, and had not before."""
        return not self.verdict.passed and self.refused_before is None

    def __str__(self) -> str:
        if self.moved:
            change = self.verdict.difference
            compared = "nothing was in production" if change is None else f"files {change.mean:+.1%} against the last"
            return f"promoted {self.model} with {self.dictionary} ({compared})"
        if self.verdict.passed:
            return f"{self.model} is in production already"
        again = "" if self.refused_before is None else f", as on {self.refused_before[:16]}"
        return f"not promoted{again}: {'; '.join(self.verdict.reasons)}"


def promote(
    results: Version,
    *,
    photos: PhotoSource,
    gate: GateConfig,
    evaluation: EvaluationConfig,
    store: Store,
    backbone: str | None = None,
) -> Promotion:
    """Put the model and the dictionary of a `results` version into production if they pass the gate.

    What is in production is measured on the same photos, unless it was already. For a candidate that fails, only the
    alias `refused` is moved to it. Raises AliasConflictError if production moved meanwhile, MissingArtifactError if the
    candidate is gone, DictionaryError for results that are not those of one model with a dictionary.
    """
    if None in (results.attributes.get("model"), results.attributes.get("dictionary")):
        raise DictionaryError(
            f"{results} are not those of one model with a dictionary; name results that the flow `evaluate` has made"
        )
    model = store.get(Kind.MODEL, results.attributes["model"])
    dictionary = store.get(Kind.DICTIONARY, results.attributes["dictionary"])
    current = store.aliases.list(Kind.MODEL).get(PRODUCTION)
    if current is not None and current.id == model.id:
        store.aliases.set(Kind.DICTIONARY, PRODUCTION, dictionary)  # where a promotion was interrupted
        return Promotion(model, dictionary, Verdict((), None), moved=False)
    verdict = _verdict(results, model, dictionary, photos, gate, evaluation, store, backbone)
    if not verdict.passed:
        return _refused(Promotion(model, dictionary, verdict, moved=False), store)
    change = verdict.difference
    why = "nothing was in production" if change is None else f"files {change.mean:+.1%} against the model before"
    # The model's alias is what programs load by, and the model names its dictionary. Where it cannot be moved,
    # because another promotion was faster or the disk is full, nothing has changed.
    store.aliases.set(Kind.MODEL, PRODUCTION, model, expected=current.revision if current else 0, note=why)
    store.aliases.set(Kind.DICTIONARY, PRODUCTION, dictionary)
    return Promotion(model, dictionary, verdict, moved=True)


def _verdict(
    results: Version,
    model: Version,
    dictionary: Version,
    photos: PhotoSource,
    gate: GateConfig,
    evaluation: EvaluationConfig,
    store: Store,
    backbone: str | None,
) -> Verdict:
    withdrawn = _withdrawn(store, model)
    if withdrawn is not None:
        reason = (
            f"{model} was rolled back on {withdrawn.created_at[:16]}; "
            f"to use it nevertheless: `clc model alias production {model.short_id}`"
        )
        return Verdict((reason,), None)
    current = store.aliases.list(Kind.MODEL).get(PRODUCTION)
    measured = None
    if current is not None:
        try:
            measured = _measure(current.id, photos, evaluation, store, backbone)
        except (OverlapError, DictionaryError, MissingArtifactError, CorruptArtifactError) as error:
            reason = (
                f"what is in production cannot be compared: {error}; "
                f"to replace it nevertheless: `clc model alias production {model.short_id}`"
            )
            return Verdict((reason,), None)
    verdict = judge(results, measured, gate)
    if not verdict.passed:  # what follows starts processes
        return verdict
    codec, _ = open_encoder(store, model, dictionary, backbone=backbone)
    shown = list(islice(read_photos(photos, []), gate.exact_photos))
    inexact = inexact_photos(codec, shown, gate.exact_quality, store)
    reasons = [f"photo {name!r} {reason}" for name, reason in inexact.items()]
    if not shown:
        reasons.append("no test photo can be read any more, so that none was decoded by another process")
    return replace(verdict, reasons=tuple(reasons))


def _refused(promotion: Promotion, store: Store) -> Promotion:
    """Remember it, unless it is: the same model, for the same reasons."""
    reasons = "; ".join(promotion.verdict.reasons)
    before = store.aliases.list(Kind.MODEL).get(REFUSED)
    if before is not None and (before.id, before.note) == (promotion.model.id, reasons):
        return replace(promotion, refused_before=before.created_at)
    store.aliases.set(Kind.MODEL, REFUSED, promotion.model, note=reasons)
    return promotion


def rollback(store: Store) -> tuple[Version, Version | None]:
    """Put the model before the current one back into production, with the dictionary that it was trained against, if
    there is one; otherwise the dictionary's alias stays.

    Raises MissingArtifactError if there is no model before.
    """
    model = store.get(Kind.MODEL, store.aliases.rollback(Kind.MODEL, PRODUCTION).id)
    if "dictionary" not in model.attributes:
        return model, None
    dictionary = store.get(Kind.DICTIONARY, model.attributes["dictionary"])
    store.aliases.set(Kind.DICTIONARY, PRODUCTION, dictionary)
    return model, dictionary


def dictionary_in_use(store: Store) -> Version | None:
    """The dictionary of the model in production; without one, the newest dictionary; None if there is none.

    Raises MissingArtifactError if the store no longer holds it.
    """
    name = "latest" if "latest" in store.aliases.list(Kind.DICTIONARY) else None
    if PRODUCTION in store.aliases.list(Kind.MODEL):
        name = store.get(Kind.MODEL, PRODUCTION).attributes.get("dictionary", name)
    return None if name is None else store.get(Kind.DICTIONARY, name)


def dictionary_to_keep(store: Store) -> Version | None:
    """That whose entries a new one had better keep: the one in use, if it is still there."""
    try:
        return dictionary_in_use(store)
    except MissingArtifactError:
        return None


def patches_of(dictionary: Version, store: Store) -> Version:
    """The patches that a dictionary was made from. Raises MissingArtifactError if the store does not hold them."""
    return store.get(Kind.PATCHES, dictionary.manifest.recipe.inputs["patches"])


def _measure(
    model_id: str, photos: PhotoSource, evaluation: EvaluationConfig, store: Store, backbone: str | None
) -> Version:
    """Results of a model with its own dictionary. Raises DictionaryError if it has none, and what evaluation raises."""
    model = store.get(Kind.MODEL, model_id)
    if "dictionary" not in model.attributes:
        raise DictionaryError(f"{model} has no dictionary")
    dictionary = store.get(Kind.DICTIONARY, model.attributes["dictionary"])
    return evaluate_versions(
        model,
        dictionary,
        [patches_of(dictionary, store)],
        photos=photos,
        config=evaluation,
        store=store,
        backbone=backbone,
    ).version


def _withdrawn(store: Store, model: Version) -> AliasRevision | None:
    """The revision that rolled a model back, if the last word on it was a rollback."""
    if PRODUCTION not in store.aliases.list(Kind.MODEL):
        return None
    history = store.aliases.history(Kind.MODEL, PRODUCTION)
    left = [after for before, after in pairwise(history) if before.id == model.id and after.id != model.id]
    return left[-1] if left and left[-1].restores is not None else None
