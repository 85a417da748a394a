"""Pictures of pages for the docs: what Chromium shows of them first, on a desk (1280 pixels wide) and on a phone (390).

`python -m benchmarks.screenshots docs report=reports/demo/report.html explorer=entries.html` writes
`docs/report-1280.webp`, `docs/report-390.webp` and so on.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.evaluation.chromium import CHROMIUM, browser

_SIZES = {1280: 900, 390: 844}
"""Width → height of the window, in pixels."""
_QUALITY = 80


def main() -> int:
    """0 if all were written, 1 without Chromium."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.screenshots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, help="folder that the pictures go to")
    parser.add_argument("pages", nargs="+", metavar="NAME=PAGE", help="HTML files")
    options = parser.parse_args()
    if CHROMIUM is None:
        print("there is no Chromium on PATH; install it, for instance with: apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as shown:
        for name, page in (each.split("=", 1) for each in options.pages):
            for width, height in _SIZES.items():
                shown.open(Path(page).absolute(), width, height)
                written = options.output / f"{name}-{width}.webp"
                Image.fromarray(shown.screenshot()).save(written, quality=_QUALITY, method=6)
                print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
