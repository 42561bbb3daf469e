"""Benchmarks are not run by the tests, but what they import must be there."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = (ROOT / "scripts", ROOT / "tests", ROOT / "benchmarks")
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def source_of(module: str) -> Path | None:
    """The file of a module of the project; nothing for a library's."""
    for root in ROOTS:
        path = root.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def names_in(file: Path) -> set[str]:
    """What a module defines or imports at its top, and the modules beside it if it is a package."""
    found = {p.stem for p in file.parent.glob("*.py")} if file.name == "__init__.py" else set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda file: file.stem)
def test_what_a_benchmark_imports_is_there(benchmark):
    for node in ast.walk(ast.parse(benchmark.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            file = source_of(node.module)
            if file is not None:
                missing = {alias.name for alias in node.names} - names_in(file)
                assert not missing, f"{benchmark.name}: {node.module} has no {missing}"
            assert node.module.split(".")[0] != "contimg" or file is not None, node.module
