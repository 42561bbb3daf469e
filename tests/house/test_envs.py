"""The conda environments: readable, pinned, and of the same versions as the lock."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from contimg.cli import VERBS

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
# packages by what is imported, where the names differ
PACKAGES = {
    "astropy_iers_data": "astropy-iers-data",
    "casacore": "python-casacore",
    "erfa": "pyerfa",
    "markupsafe": "jinja2",
    "matplotlib": "matplotlib-base",
}


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_everything_is_pinned(env: Path) -> None:
    content = yaml.safe_load(env.read_text())
    assert content["channels"] == ["conda-forge"]
    *conda, last = content["dependencies"]
    pip = last["pip"] if isinstance(last, dict) else []
    conda = conda if pip else [*conda, last]
    assert all(re.fullmatch(r"[a-z0-9-]+=[0-9][0-9a-z.]*|pip", name) for name in conda)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", name) for name in pip)
    assert bool(pip) == ("pip" in conda)


def pins(env: Path) -> set[tuple[str, str]]:
    """What an environment takes from the channel."""
    names = yaml.safe_load(env.read_text())["dependencies"]
    words = (name.partition("=") for name in names if isinstance(name, str) and name != "pip")
    return {(name, version) for name, _, version in words}


def test_what_the_channel_is_asked_for_was_looked_up() -> None:
    """A new version of the lock has to be looked up again; what is not there is left to pip."""
    with (ROOT / "envs/conda-forge.csv").open() as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    known = {(row["package"], row["version"]): row["seen"] for row in rows}
    assert set(known) == set.union(*map(pins, ENVS))
    assert sum(bool(seen) for seen in known.values()) >= 10
    # its newest python-casacore is 3.7.1
    assert "python-casacore" not in {name for name, _ in known}


def test_versions_are_those_of_the_lock() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "pin_envs.py"), "--check"]
    result = subprocess.run(tool, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + "run tools/pin_envs.py"


def test_every_environment_is_used_and_every_one_used_exists() -> None:
    rules = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    assert set(re.findall(r"envs/([a-z]+)\.yaml", rules)) == {env.stem for env in ENVS}


def verbs_of(env: Path) -> set[str]:
    """What the jobs of an environment call."""
    rules = "\n".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    own = [r for r in re.split(r"\n\s*rule \w+:", rules) if f"envs/{env.name}" in r]
    called = {verb for rule in own for verb in re.findall(r'"contimg ([a-z -]+?) -', rule)}
    assert called and called <= set(VERBS)
    return called


def imports(module: str) -> Iterator[str]:
    """Full names of all that a module may import, within functions, too."""
    path = SCRIPTS.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            waiting += ast.iter_child_nodes(node)


def libraries(verb: str) -> set[str]:
    """What the modules that a verb may come to import from others than us."""
    known, waiting, found = {VERBS[verb]}, [VERBS[verb]], set()
    while waiting:
        for name in imports(waiting.pop()):
            path = SCRIPTS.joinpath(*name.split("."))
            if not name.startswith("contimg"):
                found.add(name.partition(".")[0])
            elif name not in known and (path.is_dir() or path.with_suffix(".py").is_file()):
                known.add(name)
                waiting.append(name)
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_has_what_its_jobs_import(env: Path) -> None:
    there = set(re.findall(r"- ([a-z0-9-]+)=", env.read_text()))
    needed = set.union(*(libraries(verb) for verb in verbs_of(env)))
    assert {PACKAGES.get(name, name) for name in needed} <= there
