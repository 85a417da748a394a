"""A stage in shards: shares of its input that any process can work on, in any order, and that are joined in order.

A shard is a pure function of its rank, the number of shards and what the stage reads. Its part is published in a
scratch store, whole or not at all: a part that is there is not made again, so whoever is killed loses only what it was
at. Without workers a stage is one shard, whose rows go straight into its draft.
"""

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from clc.errors import CorruptArtifactError, StoreError
from clc.store import (
    Draft,
    Kind,
    Recipe,
    StageResult,
    Store,
    Version,
    part_store,
    remove_parts,
    remove_tree,
    run_stage,
    verify_files,
)
from clc.store.manifest import TableEntry
from clc.store.table import TableWriter

logger = logging.getLogger(__name__)

Statistics = dict[str, Any]
"""Counts and lists by name; those of all shards are their sums: counts add up, lists follow one another."""


@dataclass(frozen=True)
class Shard:
    """The share number `rank` of `world_size` about equal ones."""

    rank: int
    world_size: int

    def rows(self, count: int, block: int = 1) -> range:
        """This shard's part of `count` rows; borders between shards are multiples of `block`.

        >>> [Shard(rank, 3).rows(100, block=32) for rank in range(3)]
        [range(0, 32), range(32, 64), range(64, 100)]
        """
        blocks = -(-count // block)
        first, after = (block * (blocks * rank // self.world_size) for rank in (self.rank, self.rank + 1))
        return range(min(first, count), min(after, count))


@dataclass(frozen=True)
class Extent:
    """How finely a stage can be cut: into at most `blocks` shards, and best of at most `per_shard` blocks each."""

    blocks: int
    per_shard: int


@dataclass(frozen=True)
class Done:
    """A shard whose part is there; skipped: it was there before."""

    shard: Shard
    skipped: bool
    seconds: float


class Work(Protocol):
    """What a stage does with one shard of its input. It is sent to other processes, so it must be picklable."""

    def __call__(self, shard: Shard, draft: Draft) -> Statistics:
        """Write the tables of a shard into a draft, the same tables for every shard."""


class Workers(Protocol):
    """Whoever makes the parts of a stage."""

    def compute(self, make: Callable[[Shard], Done], extent: Extent) -> Generator[Done, None, None]:
        """Decide on a number of shards and make each part; yields them as they are done, in any order.

        Raises what `make` raises.
        """


def run_in_shards(
    store: Store,
    kind: Kind,
    recipe: Recipe,
    work: Work,
    finish: Callable[[Draft, Statistics], None],
    *,
    extent: Extent,
    workers: Workers | None,
    force: bool = False,
) -> StageResult:
    """`run_stage` over shards: the version is the same whatever their number and whoever makes them.

    finish: adds the attributes and statistics once all rows are written.
    Raises what `work` and `finish` raise, StoreError as `run_stage` does, ClusterError if the workers are lost.
    """

    def build(draft: Draft) -> None:
        if workers is None:
            finish(draft, work(Shard(0, 1), draft))
            return
        if force:
            remove_parts(store, recipe)
        with closing(workers.compute(partial(make_part, work, store.url, kind, recipe), extent)) as done:
            finish(draft, _join(store, recipe, done, draft))

    result = run_stage(store, kind, recipe, build, force=force)
    remove_parts(store, recipe)
    return result


def make_part(work: Work, store: str, kind: Kind, recipe: Recipe, shard: Shard) -> Done:
    """Publish the part of one shard in its scratch store, unless it is there and whole. Raises what `work` raises."""
    home, part_recipe = _part(Store(store), recipe, shard)
    if not _is_whole(home, part_recipe):
        remove_tree(home.storage, "")

    def build(draft: Draft) -> None:
        # Attributes, not statistics: two shards without a row are two versions only by what the id covers.
        draft.attributes |= {"statistics": work(shard, draft)}

    result = run_stage(home, kind, part_recipe, build)
    return Done(shard, result.skipped, result.seconds)


def _part(store: Store, recipe: Recipe, shard: Shard) -> tuple[Store, Recipe]:
    """Where the part of a shard lies, and what makes it."""
    part_recipe = Recipe(
        stage=recipe.stage,
        stage_version=recipe.stage_version,
        config={"rank": shard.rank, "world_size": shard.world_size},
        inputs={"whole": f"recipe/{recipe.hash}"},
    )
    return part_store(store, recipe, f"{shard.rank}-of-{shard.world_size}"), part_recipe


def _is_whole(home: Store, recipe: Recipe) -> bool:
    try:
        part = home.find(recipe)
    except CorruptArtifactError:
        return False
    return part is not None and not verify_files(part)


def _join(store: Store, recipe: Recipe, done: Iterable[Done], draft: Draft) -> Statistics:
    """Copy the tables of all parts into a draft, in the order of their ranks; what their statistics add up to.

    A part is copied as soon as those before it are there: the workers are still busy with others then.
    """
    total: Statistics = {}
    tables: dict[str, TableWriter] = {}
    made: set[int] = set()
    joined = 0
    with ExitStack() as open_until_end:
        for number, each in enumerate(done, 1):
            world_size = each.shard.world_size
            logger.info(
                "stage=%s shards=%d/%d rank=%d skipped=%s seconds=%.1f",
                *(recipe.stage, number, world_size, each.shard.rank, each.skipped, each.seconds),
            )
            made.add(each.shard.rank)
            while joined in made:
                part = _find_part(store, recipe, Shard(joined, world_size))
                for name, entry in part.manifest.files.items():
                    assert isinstance(entry, TableEntry), "shards write tables only"
                    if name not in tables:
                        tables[name] = open_until_end.enter_context(draft.table(name, part.schema(name)))
                    for batch in part.batches(name):
                        tables[name].write(batch)
                for name, value in part.attributes["statistics"].items():
                    total[name] = total[name] + value if name in total else value
                joined += 1
    return total


def _find_part(store: Store, recipe: Recipe, shard: Shard) -> Version:
    home, part_recipe = _part(store, recipe, shard)
    part = home.find(part_recipe)
    if part is None:
        raise StoreError(
            f"{home.url} holds no part {shard.rank} of stage {recipe.stage}, which a worker has made; see that all "
            "workers use this store and that nobody else builds the same in it, then run again"
        )
    return part
