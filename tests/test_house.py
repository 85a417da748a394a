"""The laws of the house, read from the source: what may import what, and that a file's name means one thing."""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for package in ("clc", "pipelines") for path in (ROOT / package).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}

ORCHESTRATION_AND_SEARCH = ("clc.dictionary", "faiss", "prefect", "sklearn")

# Names that several modules in clc/ have and that mean the same in each: most are the command of a room's main thing.
SAME_MEANING = {
    "__init__",
    "__main__",
    "archive",
    "artifacts",  # the codec's in a store; the commands of any
    "codec",
    "config",
    "data",  # what a network is trained on; `clc data`, where it comes from
    "dictionary",
    "evaluate",
    "gc",
    "lineage",
    "model",
    "pin",
    "report",
    "stages",  # how any runs; those of a dictionary
    "store",
    "train",
    "transfer",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(node: ast.AST, *, at_start: bool = False) -> Iterator[str]:
    """The modules that code imports, ours as exactly as possible; at_start: only those imported with the module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports name the whole path"
            assert child.module is not None
            inside = (f"{child.module}.{alias.name}" for alias in child.names)
            yield from (name if name in MODULES else child.module for name in inside)
        elif at_start and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif at_start and isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (name for other in child.orelse for name in imports(ast.Module([other], []), at_start=True))
        else:
            yield from imports(child, at_start=at_start)


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def breaches(packages: tuple[str, ...], allowed: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> list[str]:
    """Imports in packages that are refused and not allowed, as `module imports other`."""
    return [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if inside(module, *packages)
        for name in imports(tree(path))
        if inside(name, *refused) and not inside(name, *allowed)
    ]


@pytest.mark.medium
def test_the_library_does_not_know_its_orchestration() -> None:
    assert breaches(("clc",), refused=("pipelines",)) == []


def test_the_network_imports_nothing_above_it() -> None:
    assert breaches(("clc.model",), allowed=("clc.model", "clc.errors"), refused=("clc", "pipelines")) == []


def test_the_network_reads_and_writes_no_files() -> None:
    library = ("os", "pathlib", "io", "shutil", "tempfile", "fsspec", "pyarrow", "safetensors")
    assert breaches(("clc.model",), refused=library) == []
    readers = {"open", "load", "save", "read_text", "write_text", "read_bytes", "write_bytes", "load_file", "save_file"}
    calls = [
        f"{module}:{node.lineno} calls {name}"
        for module, path in MODULES.items()
        if inside(module, "clc.model")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        for name in [getattr(node.func, "attr", getattr(node.func, "id", ""))]
        if name in readers
    ]
    assert calls == []


@pytest.mark.parametrize("package", ["clc.codec", "clc.training"])
def test_who_codes_or_trains_needs_no_dictionary_search_or_flow(package: str) -> None:
    assert breaches((package,), refused=ORCHESTRATION_AND_SEARCH) == []


def test_no_module_waits_for_one_that_waits_for_it() -> None:
    graph = {
        module: {name for name in imports(tree(path), at_start=True) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' <- '.join(error.args[1])}")


def test_no_name_means_two_things() -> None:
    named = defaultdict(list)
    for module, path in MODULES.items():
        if inside(module, "clc"):
            own = module.rpartition(".")[2]
            named[own if path.stem == "__init__" else path.stem].append(module)
    several = {name for name, modules in named.items() if len(modules) > 1}
    assert several - SAME_MEANING == set(), {name: named[name] for name in several - SAME_MEANING}


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert [str(path) for path in FILES if path.stem in drawers or path.parent.name in drawers] == []


def test_every_import_of_others_is_a_declared_dependency() -> None:
    """A library that another one only brings along may go when that one does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *(text for texts in project["optional-dependencies"].values() for text in texts),
    ]
    declared = {re.split(r"[^\w-]", text)[0].lower() for text in required}
    distributions = {
        "PIL": "pillow",
        "faiss": "faiss-cpu",
        "pillow_heif": "pillow-heif",
        "pytorch_msssim": "pytorch-msssim",
        "skimage": "scikit-image",
    }
    distributions |= {
        "sklearn": "scikit-learn",
        "dask": "distributed",
        "starlette": "fastapi",
    }  # each made of the other
    others = {
        name.partition(".")[0]
        for path in FILES
        for name in imports(tree(path))
        if not inside(name, "clc", "pipelines") and name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert {distributions.get(name, name) for name in others} - declared == set()
