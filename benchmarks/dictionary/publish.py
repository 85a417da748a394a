"""Publishers that run at once and publishers that are killed: what they leave must be whole.

A publisher publishes one version after the other and moves aliases to each; what it has said to be done must be there
afterwards. Part one starts eight together, several times, on the same and on different versions. Part two ends a
publisher by SIGKILL, each time at another moment of its work, and lets another one publish the same versions again.
Both use one store for all rounds, so that publishers also meet what killed ones left behind.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.printing import print_machine, print_table
from clc.errors import AliasConflictError, ClcError
from clc.store import Kind, Store, short_id, verify_store
from tests.store.publisher import publish
from tests.store.test_concurrency import finish_together

_SHARED_ALIAS = "latest"
_OWN_VERSIONS = 4
_SAME_VERSIONS = 8
_VERSIONS_BEFORE_KILL = 3  # on average half of these are done when the publisher is killed


@dataclass(frozen=True)
class Move:
    """What a publisher reports once it is done: an alias, the revision that it moved it by, and the version."""

    alias: str
    revision: int
    id: str

    def __str__(self) -> str:
        return f"{self.alias}:{self.revision}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Move":
        """The inverse of `str`."""
        alias, revision, id = text.split(":")
        return cls(alias, int(revision), id)


class Outcome:
    """What was found in a store after every round, added up; but for rounds and moves, all must be 0."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reported: set[Move] = set()
        self.rounds = 0
        self.broken_versions = self.lost_aliases = self.verify_problems = self.failed_repeats = 0

    def look(self, moves: Iterable[Move]) -> None:
        """Check the whole store: all versions, and all that was ever reported, now with these moves."""
        self._reported |= set(moves)
        problems = verify_store(self._store)
        broken = {Path(problem.path).parent.name for problem in problems}
        broken |= {short_id(move.id) for move in self._reported if not self._is_there(move.id)}
        self.verify_problems += len(problems)
        self.broken_versions += len(broken)
        self.lost_aliases += len({move.alias for move in self._reported - self._recorded()})

    def repeat(self, seeds: Iterable[int]) -> None:
        """Publish versions that a killed publisher may have published, in part."""
        for seed in seeds:
            try:
                publish(self._store, seed)
            except ClcError as error:
                print(error)
                self.failed_repeats += 1

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost."""
        return not (self.broken_versions or self.lost_aliases or self.verify_problems or self.failed_repeats)

    def row(self, what: str) -> list[object]:
        """A row of the table."""
        lost = self.broken_versions, self.lost_aliases, self.verify_problems, self.failed_repeats
        return [what, self.rounds, len(self._reported), *lost]

    def _is_there(self, reference: str) -> bool:
        try:
            self._store.get(Kind.MODEL, reference)
        except ClcError:
            return False
        return True

    def _recorded(self) -> set[Move]:
        """All moves in the histories of aliases that lead to a version."""
        aliases = self._store.aliases
        names = {move.alias for move in self._reported if self._is_there(move.alias)}
        return {Move(name, r.revision, r.id) for name in names for r in aliases.history(Kind.MODEL, name)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--processes", type=int, default=8, help="publishers at once")
    parser.add_argument("--rounds", type=int, default=5, help="how often they start together")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments to kill at")


def run(arguments: argparse.Namespace) -> None:
    """Do both parts. Ends the program with 1 if anything was lost."""
    print_machine()
    with TemporaryDirectory() as folder:
        together = _together(Store(Path(folder, "together")), arguments.rounds, arguments.processes)
        killed, seconds = _killed(Store(Path(folder, "killed")), arguments.kills, random.Random(arguments.seed))
    print_table(
        ["", "times", "reports", "broken versions", "lost aliases", "verify problems", "failed repeats"],
        [
            together.row(f"{arguments.processes} publishers at once"),
            killed.row(f"publisher killed within {seconds:.3f} s"),
        ],
    )
    if not (together.is_good and killed.is_good):
        sys.exit("missed: the last four columns must be 0")


def _together(store: Store, rounds: int, processes: int) -> Outcome:
    outcome = Outcome(store)
    for number in range(rounds):
        first = number * (_SAME_VERSIONS + processes * _OWN_VERSIONS)
        same = range(first, first + _SAME_VERSIONS)
        own = [range(same.stop + n * _OWN_VERSIONS, same.stop + (n + 1) * _OWN_VERSIONS) for n in range(processes)]
        with _publishers(store, [[*same, *seeds] for seeds in own]) as started:
            moves = [Move.parse(report) for reports in finish_together(started) for report in reports]
        outcome.rounds += 1
        outcome.look(moves)
    return outcome


def _killed(store: Store, kills: int, moments: random.Random) -> tuple[Outcome, float]:
    """And the seconds within which a publisher was killed: how long one takes that is not."""
    outcome = Outcome(store)
    works = (range(first, first + _VERSIONS_BEFORE_KILL) for first in count(0, _VERSIONS_BEFORE_KILL))
    run_time = median(_undisturbed(store, seeds) for seeds in islice(works, 3))
    while outcome.rounds < kills:
        seeds = next(works)
        moves = _kill(store, seeds, after=moments.uniform(0.0, run_time))
        if moves is None:
            continue  # it was done before: that is no kill
        outcome.rounds += 1
        outcome.look(moves)
        outcome.repeat(seeds)
        outcome.look([])
    return outcome, run_time


def _undisturbed(store: Store, seeds: range) -> float:
    """Seconds from the signal to begin to the last report."""
    with _publishers(store, [list(seeds)]) as (process,):
        _begin(process)
        start = time.monotonic()
        moments = [time.monotonic() for _ in _reports(process)]
    return moments[-1] - start


def _kill(store: Store, seeds: range, *, after: float) -> list[Move] | None:
    """What a publisher reported before it was killed; None if it ended by itself."""
    with _publishers(store, [list(seeds)]) as (process,):
        _begin(process)
        time.sleep(after)
        process.kill()
        moves = list(_reports(process))
        return moves if process.wait() == -signal.SIGKILL else None


def _begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    process.stdin.write("go\n")
    process.stdin.close()


def _reports(process: subprocess.Popen[str]) -> Iterator[Move]:
    """What a publisher has still to say, as it says it."""
    assert process.stdout
    return (Move.parse(line.strip()) for line in process.stdout)


@contextmanager
def _publishers(store: Store, seeds: list[list[int]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that wait for a line, then publish; whatever still runs at the end is killed."""
    staging = Path(store.url).with_name("staging")  # a killed publisher leaves its draft there
    staging.mkdir(exist_ok=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __spec__.name, store.url, f"process-{number}", *map(str, own)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(staging)},
        )
        for number, own in enumerate(seeds)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _publisher(url: str, own_alias: str, *seeds: str) -> None:
    """The process itself: publish a version for each seed and move two aliases to it, one that all fight for."""
    store = Store(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for seed in seeds:
        version = publish(store, int(seed))
        for alias in (_SHARED_ALIAS, own_alias):
            print(Move(alias, _move(store, alias, version.id), version.id), flush=True)


def _move(store: Store, alias: str, id: str) -> int:
    """The revision by which the alias points to the version."""
    while True:
        try:
            return store.aliases.set(Kind.MODEL, alias, id).revision
        except AliasConflictError:
            continue


if __name__ == "__main__":
    _publisher(*sys.argv[1:])
