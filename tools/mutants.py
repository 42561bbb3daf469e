"""Mutants of the numeric cores: which small errors would no test notice?

    python tools/mutants.py                      # 12 mutants of every module of CORES
    python tools/mutants.py --number 40 core/coords.py photometry/forced.py

A mutant is a module with one operator, comparison, function or number changed. It lives in a copy
of the package and is killed when one of the tests of its module fails (or does not end). Those
that live are printed: each wants a test, or changes nothing that matters. Not part of `make test`:
every mutant costs a run of its tests.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "scripts" / "contimg"

# module -> the tests that are to notice
CORES = {
    "core/beam.py": ["core/test_beam.py"],
    "core/coords.py": ["core/test_coords.py"],
    "core/lens.py": ["core/test_lens.py"],
    "core/predict.py": ["core/test_predict.py"],
    "core/robust.py": ["core/test_robust.py"],
    "calibrate/interpolate.py": ["calibrate/test_interpolate.py"],
    "convert/phase.py": ["convert/test_phase.py", "convert/test_against_pyuvdata.py"],
    "mosaic/beams.py": ["mosaic/test_parts.py"],
    "mosaic/footprint.py": ["mosaic/test_footprint.py"],
    "mosaic/grid.py": ["mosaic/test_parts.py", "mosaic/test_mosaic.py"],
    "photometry/forced.py": ["photometry"],
    "photometry/geometry.py": ["photometry/test_each_source.py"],
    "photometry/stamps.py": ["photometry/test_each_source.py"],
    "variability/ensemble.py": ["variability/test_references.py"],
    "variability/metrics.py": ["variability/test_metrics.py"],
    "variability/references.py": ["variability/test_references.py"],
}
OPERATORS = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
    **{ast.And: ast.Or, ast.Or: ast.And, ast.USub: ast.UAdd},
}
FUNCTIONS = {
    **{"sin": "cos", "cos": "sin", "min": "max", "max": "min", "minimum": "maximum"},
    **{"maximum": "minimum", "median": "mean", "mean": "median", "sqrt": "abs", "ptp": "max"},
    **{"all": "any", "any": "all", "argmin": "argmax", "argmax": "argmin", "radians": "degrees"},
}


def changes(node: ast.AST) -> Iterator[tuple[str, str, object]]:
    """(field, what, new value) of every change that can be made at a node."""
    if isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp) and type(node.op) in OPERATORS:
        yield "op", type(node.op).__name__, OPERATORS[type(node.op)]()
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield "ops", type(node.ops[0]).__name__, [OPERATORS[type(node.ops[0])](), *node.ops[1:]]
    elif isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
        yield "attr", node.attr, FUNCTIONS[node.attr]
    elif isinstance(node, ast.Name) and node.id in FUNCTIONS:
        yield "id", node.id, FUNCTIONS[node.id]
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        doubled = isinstance(node.value, float) and node.value
        yield "value", str(node.value), 2 * node.value if doubled else node.value + 1


def mutants(source: str) -> list[tuple[int, str, str]]:
    """(line, description, text) of every mutant of a module."""
    count = sum(1 for node in _code(ast.parse(source)) for _ in changes(node))
    made = []
    for wanted in range(count):
        tree = ast.parse(source)
        pairs = [(node, change) for node in _code(tree) for change in changes(node)]
        node, (field, _, value) = pairs[wanted]
        before = ast.unparse(node)
        setattr(node, field, value)
        text = f"{before}  ->  {ast.unparse(node)}"
        made.append((node.lineno, text, ast.unparse(ast.fix_missing_locations(tree))))
    return made


def _code(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes of the functions' bodies and of constants, without annotations and decorators."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        skipped = {"annotation", "returns", "decorator_list"}
        for name, value in ast.iter_fields(node):
            if name not in skipped:
                parts = value if isinstance(value, list) else [value]
                waiting += [part for part in parts if isinstance(part, ast.AST)]


def run_tests(copy: Path, tests: list[str], timeout_s: float | None) -> bool:
    """Whether the tests pass with the package in `copy`."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    words += ["-o", f"pythonpath={copy} {ROOT / 'tests'}"]
    words += [str(ROOT / "tests" / test) for test in tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def examine(module: str, number: int, seed: int, copies: Queue) -> tuple[int, list[str]]:
    """(mutants tried, those that live) of a module: some of all, the same ones each time."""
    source = (PACKAGE / module).read_text()
    copy = copies.get()
    started = time.monotonic()
    whole = run_tests(copy, CORES[module], None)
    copies.put(copy)
    if not whole:
        raise SystemExit(f"{module}: its tests fail without any change")
    timeout_s = 30 + 5 * (time.monotonic() - started)
    made = mutants(source)
    chosen = random.Random(seed).sample(made, min(number, len(made)))

    def lives(mutant: tuple[int, str, str]) -> bool:
        copy = copies.get()
        target = copy / "contimg" / module
        target.write_text(mutant[2])
        try:
            return run_tests(copy, CORES[module], timeout_s)
        finally:
            target.write_text(source)
            copies.put(copy)

    with ThreadPoolExecutor(copies.maxsize) as pool:
        answers = list(pool.map(lives, chosen))
    living = [f"{module}:{m[0]}: {m[1]}" for m, alive in zip(chosen, answers, strict=True) if alive]
    return len(chosen), sorted(living)


def main() -> int:
    """Try the mutants; exit status 0 whatever lives, because some change nothing that matters."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", help="modules of CORES (all)")
    parser.add_argument("--number", type=int, default=12, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other mutants")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.modules) - set(CORES))
    if unknown:
        parser.error(f"not among the cores: {', '.join(unknown)}; there are {', '.join(CORES)}")
    tried, living = 0, []
    with tempfile.TemporaryDirectory(prefix="contimg-mutants-") as scratch:
        copies: Queue[Path] = Queue(chosen.processes)
        for number in range(chosen.processes):
            copy = Path(scratch) / str(number)
            shutil.copytree(PACKAGE, copy / "contimg")
            copies.put(copy)
        for module in chosen.modules or CORES:
            count, alive = examine(module, chosen.number, chosen.seed, copies)
            print(f"{module}: {count - len(alive)} of {count} killed", flush=True)
            tried, living = tried + count, living + alive
    print(f"\n{len(living)} of {tried} mutants live" + (":" if living else ""))
    print("\n".join(living))
    return 0


if __name__ == "__main__":
    sys.exit(main())
