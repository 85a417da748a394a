"""Running one stage: skip what was done, build and publish what was not."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from clc.store.draft import Draft
from clc.store.kind import Kind
from clc.store.recipe import Recipe
from clc.store.store import Store
from clc.store.version import Version

log = logging.getLogger("clc.store")


@dataclass(frozen=True)
class StageResult:
    """What a stage returned, and whether it had to work for it.

    >>> import numpy as np
    >>> store, recipe = Store("memory://stage-result-example"), Recipe(stage="train", stage_version=1)
    >>> def build(draft):
    ...     draft.tensors("weights", {"bias": np.zeros(3)})
    >>> [run_stage(store, Kind.MODEL, recipe, build).skipped for _ in range(2)]
    [False, True]
    """

    version: Version
    skipped: bool
    seconds: float


def run_stage(
    store: Store, kind: Kind, recipe: Recipe, build: Callable[[Draft], None], *, force: bool = False
) -> StageResult:
    """Return the version of a recipe: the published one, or what `build` puts into a draft.

    `force` builds in any case and logs whether the result is the same.
    Raises whatever `build` raises, StoreError if the store cannot be read or written, CorruptArtifactError if the
    published version has a damaged manifest.
    """
    start = time.monotonic()
    previous = store.find(recipe)
    if previous is not None and not force:
        log.info("stage=%s skipped version=%s", recipe.stage, previous)
        return StageResult(previous, skipped=True, seconds=time.monotonic() - start)
    with store.draft(kind, recipe) as draft:
        build(draft)
        version = draft.publish()
    seconds = time.monotonic() - start
    log.info("stage=%s published version=%s seconds=%.1f", recipe.stage, version, seconds)
    if previous is not None and previous == version:
        log.info("stage=%s rebuilt version=%s same=true", recipe.stage, version)
    elif previous is not None:
        log.warning("stage=%s rebuilt version=%s same=false previous=%s", recipe.stage, version, previous)
    return StageResult(version, skipped=False, seconds=seconds)
