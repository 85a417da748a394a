"""Stages over published features, in a process of their own, so that what they take in memory is theirs alone."""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass

from benchmarks.printing import peak_memory
from clc.store import Kind, Store


@dataclass(frozen=True)
class Measured:
    """Seconds of every stage that ran, by name, and the peak of resident memory of the process in bytes."""

    seconds: dict[str, float]
    peak: int

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())


def measure(store: Store, *, dim: int, entries: int | None) -> Measured:
    """Run stage `reduce`, and, for a number of entries, `cluster` and `index`, on the only features of a store.

    Ends the program if they fail; what they say then is on the screen.
    """
    command = [sys.executable, "-m", __spec__.name, store.url, str(dim)]
    command += [] if entries is None else ["--entries", str(entries)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if finished.returncode:
        sys.exit(f"the stages ended with {finished.returncode} (-9: out of memory)")
    return Measured(**json.loads(finished.stdout))


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("dim", type=int)
    parser.add_argument("--entries", type=int)
    arguments = parser.parse_args()
    seconds = _run(Store(arguments.store), arguments.dim, arguments.entries)
    print(json.dumps({"seconds": seconds, "peak": peak_memory()}))


def _run(store: Store, dim: int, entries: int | None) -> dict[str, float]:
    from clc.dictionary.stages.cluster import ClusterConfig, cluster
    from clc.dictionary.stages.index import IndexConfig, index
    from clc.dictionary.stages.reduce import ReduceConfig, reduce

    (features,) = store.versions(Kind.FEATURES)
    reduced = reduce(features, config=ReduceConfig(dim=dim), store=store)
    seconds = {"reduce": reduced.seconds}
    if entries is not None:
        (patches,) = store.versions(Kind.PATCHES)
        clusters = cluster(reduced.version, config=ClusterConfig(entries=entries), store=store)
        dictionary = index(clusters.version, reduced.version, patches, config=IndexConfig(), store=store)
        seconds |= {"cluster": clusters.seconds, "index": dictionary.seconds}
    return seconds


if __name__ == "__main__":
    _main()
