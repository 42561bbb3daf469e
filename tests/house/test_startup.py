"""What a job starts with: a library that only a part of its work needs is not among it.

Counted, not timed: of each verb the libraries that its modules import when they are imported
themselves, and once, by running, what these bring along.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from contimg.cli import VERBS

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"

# library -> verbs whose every job needs it
NEED = {
    "numba": {"solve", "apply", "calibrate tile", "image", "photometry tile", "variability", "ese"},
    "matplotlib": {"lightcurves", "variability", "ese"},
}
# never, unless a function of a verb asks for it
RARE = (
    *("casatasks", "casatools", "casacore", "pyuvdata", "ducc0", "h5py", "hdf5plugin"),
    *("reproject", "photutils", "regions", "snakemake", "jinja2", "jsonschema", "pytest"),
    *("scipy.stats", "scipy.optimize", "scipy.interpolate"),
)


@cache
def imports(module: str) -> frozenset[str]:
    """Full names of what a module of the package imports when it is imported."""
    path = SCRIPTS.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return frozenset(_named(ast.parse(path.read_text()).body))


def _named(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Try | ast.ClassDef | ast.With) or _is_run(node):
            yield from _named(node.body)


def _is_run(node: ast.stmt) -> bool:
    """Whether it is an ``if`` that not only a checker of types enters."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test)


def is_module(name: str) -> bool:
    path = SCRIPTS.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def started_with(verb: str) -> set[str]:
    """Full names of all that the modules of a verb import when it starts."""
    found: set[str] = set()
    waiting = [VERBS[verb]]
    while waiting:
        for name in imports(waiting.pop()) - found:
            found.add(name)
            if name.startswith("contimg") and is_module(name):
                waiting.append(name)
    return found


def within(names: set[str], library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in names)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_starts_with_what_it_needs(verb: str) -> None:
    names = started_with(verb)
    assert not [library for library in RARE if within(names, library)]
    for library, verbs in NEED.items():
        assert within(names, library) == (verb in verbs), library


def test_what_the_modules_import_brings_nothing_rare_along() -> None:
    """All verbs in one process."""
    code = f"""
import importlib, sys
from contimg.cli import VERBS
for module in VERBS.values():
    importlib.import_module(module)
print(*[name for name in {RARE} if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
