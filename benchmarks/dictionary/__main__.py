"""`python -m benchmarks.dictionary BENCHMARK`: every claim about the dictionary, measured here and now."""

import argparse
import importlib
import sys

_BENCHMARKS = {
    "features": "patches a second of stage `features`, beside a bare ResNet-50 forward in memory; target: 90 %% of it",
    "scale_out": "crops and features on 0, 1, 2 and 4 Dask workers, one killed; target: same id, < 5 %% for shards",
    "scale": "reduce, cluster and index of a million 256-d vectors, K = 3000; target: < 4 GB, < 15 minutes, linear",
    "sizes": "a dictionary of 50, 150 and 450 photos: seconds, memory, disk; extrapolated to 1 M and 100 M",
    "steady": "entries that a rebuild keeps when a photo comes; target: more than afresh, at <= 1 %% of cost",
    "components": "peak memory of PCA over 43008-d features; target: 30000 patches take at most 1.1 x that of 3000",
    "retrieval": "time and recall of a query at K = 3000, 30000, 300000; target: median <= 1 ms at 3000 for M = 3",
    "publish": "8 publishers at once, 100 publishers killed; target: no broken version, no lost alias",
    "rebuild": "a profile built with 1 and with 2 threads; target: the same id, or no entry changed and floats named",
}


def main() -> None:
    """Only the module of the chosen benchmark is imported: listing them must not wait for PyTorch."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dictionary",
        description="Prints the machine and a Markdown table; exits with 1 if a target is missed.",
    )
    benchmarks = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    for name, summary in _BENCHMARKS.items():
        benchmarks.add_parser(name, help=summary, add_help=False)
    chosen, rest = parser.parse_known_args()
    module = importlib.import_module(f"benchmarks.dictionary.{chosen.benchmark}")
    options = argparse.ArgumentParser(
        prog=f"{parser.prog} {chosen.benchmark}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(options)
    sys.exit(module.run(options.parse_args(rest)))


if __name__ == "__main__":
    main()
