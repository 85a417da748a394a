"""A program that publishes, for the tests that need several of them or need to kill one.

publisher.py many STORE SEED...       publish one version per seed
publisher.py endless STORE FIRST      publish versions until killed
publisher.py dying STORE              publish in process after process, killed at its 1st, 2nd, ... file event
publisher.py move STORE ALIAS MOVES ID ID   move an alias between two versions by compare-and-swap
"""

import itertools
import os
import signal
import sys

import numpy as np

from clc.errors import AliasConflictError, MissingArtifactError
from clc.store import Kind, Recipe, Store, Version, verify_store


def publish(store: Store, seed: int) -> Version:
    recipe = Recipe(stage="train", stage_version=1, config={"seed": seed})
    with store.draft(Kind.MODEL, recipe) as draft:
        weights = np.random.default_rng(seed).standard_normal(50_000)
        draft.tensors("weights", {"weights": weights})
        draft.tensors("gains", {"gains": weights[:10]})
        return draft.publish()


def many(store: Store, *seeds: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    for seed in seeds:
        print(publish(store, int(seed)).id, flush=True)


def endless(store: Store, first: str) -> None:
    print("ready", flush=True)
    for seed in itertools.count(int(first)):
        publish(store, seed)


def dying(store: Store) -> None:
    for last_event in itertools.count(1):
        child = os.fork()
        if child == 0:
            _die_at(last_event, store.url)
            publish(store, 1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        visible = store.versions(Kind.MODEL)
        problems = verify_store(store)
        print(last_event, len(visible), len(problems), flush=True)
        if status == 0:
            return


def _die_at(last_event: int, root: str) -> None:
    """Kill this process just before its n-th operation on a path of the store."""
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event.split(".")[0] in ("open", "os") and any(root in str(argument) for argument in arguments):
            count += 1
            if count == last_event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def move(store: Store, alias: str, moves: str, *ids: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    targets = itertools.cycle(ids)
    target = next(targets)
    won = 0
    while won < int(moves):
        try:
            seen = store.aliases.history(Kind.MODEL, alias)[-1].revision
        except MissingArtifactError:
            seen = 0
        try:
            revision = store.aliases.set(Kind.MODEL, alias, target, expected=seen)
        except AliasConflictError:
            continue
        target = next(targets)
        won += 1
        print(revision.revision, flush=True)


if __name__ == "__main__":
    command, url, *rest = sys.argv[1:]
    {"many": many, "endless": endless, "dying": dying, "move": move}[command](Store(url), *rest)
