"""Whether docs/photos.md names tests that are there, each in the file that it says."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_DEFAULT = re.compile(r"[Tt]ests?(?:,| are)? in `(tests/[\w/]+\.py)`")
_NAMED = re.compile(r"`(test_\w+)`(?: in `(tests/[\w/]+\.py)`)?")


def named_tests() -> list[tuple[str, str | None]]:
    """Each test that the page names, and its file: the one behind it, else that of its section."""
    named = []
    for section in (ROOT / "docs/photos.md").read_text("utf-8").split("\n## "):
        default = _DEFAULT.search(section)
        for test, file in _NAMED.findall(section):
            named.append((test, file or (default and default[1])))
    return named


def test_every_test_that_the_documentation_names_is_in_the_file_that_it_says() -> None:
    named = named_tests()
    assert len(named) > 80
    files = {file: (ROOT / file).read_text("utf-8") for _, file in named if file is not None}
    assert [(test, file) for test, file in named if f"def {test}(" not in files.get(file or "", "")] == []
