"""`python -m benchmarks.codec NAME`: one measurement of the codec. NAME --help says what it measures, and how."""

import argparse
import ast
import importlib
import sys
from pathlib import Path

from benchmarks.printing import print_machine
from clc.errors import ClcError

_NAMES = (
    "exactness",
    "rate",
    "speed",
    "busy",
    "coder",
    "effort",
    "fuzz",
    "large",
    "presets",
    "runtimes",
    "safety",
    "saturation",
    "syntax",
    "synthesis",
    "worst",
)


def main() -> int:
    """0 if the measurement keeps what it promises, 1 if not, 2 if it cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codec", description=__doc__)
    names = parser.add_subparsers(metavar="NAME", required=True)
    for name in _NAMES:
        # Read, not imported: a list of names must not wait for PyTorch.
        source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        about = ast.get_docstring(ast.parse(source)) or ""
        own = names.add_parser(
            name,
            help=about.splitlines()[0],
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in sys.argv[1:2]:
            benchmark = importlib.import_module(f"benchmarks.codec.{name}")
            benchmark.add_options(own)
            own.set_defaults(run=benchmark.run)
    options = parser.parse_args()
    print_machine()
    try:
        return int(options.run(options))
    except ClcError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
