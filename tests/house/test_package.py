"""The package that others install: dependencies, its data, what is said about it."""

from __future__ import annotations

import doctest
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from contimg.cli import VERBS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GENERATED = {"cli.md", "config.md"}  # when the site is built
DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name not in GENERATED)
MADE = runpy.run_path(str(ROOT / "tools/reference.py"))["pages"]()


SLURM = "snakemake-executor-plugin-slurm==2.8.0"


def plain(requirement: str) -> str:
    return requirement.partition("#")[0].replace('"', "'").replace(" ", "").strip()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_what_runs_and_benchmarks_make_is_not_part_of_the_project() -> None:
    words = ["git", "-C", str(ROOT), "ls-files", "-z"]
    files = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0")
    kept = [Path(name) for name in files if name]
    assert len(kept) > 100
    assert not [str(path) for path in kept if "results" in path.parts or path.suffix == ".parquet"]
    assert not [str(path) for path in kept if (ROOT / path).stat().st_size > 1_000_000]


def test_dependencies_are_those_that_are_locked() -> None:
    """All but tests and style; an extra may stand on another one.

    The executor for SLURM asks for a newer numpy than CASA and numba work with, so that no resolver
    finds versions for an extra that has it; it is installed without its dependencies.
    """
    text = (ROOT / "requirements.in").read_text().partition("# tests and style")[0]
    wanted = {plain(line) for line in text.splitlines() if plain(line)}
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    said = [*project["dependencies"], *(name for extra in extras for name in extra)]
    assert {plain(name) for name in said if not name.startswith("contimg[")} == wanted - {SLURM}


LOOKING = [
    *("status", "report", "qa", "sources", "lightcurve", "candidates", "flag-candidate", "cutout"),
    *(
        "export",
        "errors",
        "log",
        "why",
        "verify",
        "inventory",
        "plan",
        "hold",
        "release",
        "publish",
    ),
]


def test_looking_at_results_needs_no_extra() -> None:
    """With nothing that only the extras install; `serve` and `formats` say what they lack."""
    extras = (
        "numba matplotlib h5py hdf5plugin pyuvdata casacore casatools casatasks ducc0 snakemake"
    )
    words = [*extras.split(), "fastapi", "uvicorn", "mocpy", "cdshealpix"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({words}))\n"
        f"from contimg.cli import load\nfor verb in {LOOKING}: load(verb)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert done.returncode == 0, done.stderr


def test_every_file_that_is_no_module_is_in_the_package() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for file in (ROOT / "scripts/contimg").rglob("*"):
        if file.is_file() and file.suffix not in {".py", ".pyc"}:
            package = ".".join(file.parent.relative_to(ROOT / "scripts").parts)
            assert any(file.match(form) for form in data.get(package, ())), file


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS], ids=str)
def test_links_of_the_documentation_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, mark = target.partition("#")
        if re.match(r"[a-z]+:", target) or name in GENERATED:
            continue
        file = (page.parent / name) if name else page
        assert file.exists() or file.name in GENERATED, target
        if mark and file.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            marks = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert mark in marks, target


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_between_pages_stay_on_the_site(page: Path) -> None:
    """A site has the pages of docs/ alone; a link to another file would be dead there."""
    for target in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).resolve().is_relative_to(ROOT / "docs"), target


def test_the_site_has_every_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def pages(part) -> list[str]:
        if isinstance(part, str):
            return [part]
        entries = part.values() if isinstance(part, dict) else part
        return [page for entry in entries for page in pages(entry)]

    listed = pages(site["nav"])
    assert len(listed) == len(set(listed))
    there = {page.relative_to(ROOT / "docs").as_posix() for page in DOCS}
    assert set(listed) == there | GENERATED


def test_the_catalogue_of_workflows_can_read_what_is_said() -> None:
    entry = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(entry) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert entry["software-stack-deployment"]["conda"] is True
    assert (ROOT / "config/README.md").exists() and (ROOT / "Snakefile").exists()


def test_continuous_integration_runs_the_targets_that_there_are() -> None:
    (file,) = (ROOT / ".github/workflows").glob("*.yml")
    jobs = yaml.safe_load(file.read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = [word for line in commands for word in re.findall(r"make ([a-z-]+)", line)]
    assert {"test", "demo"} <= set(asked) <= set(targets)


def test_the_references_have_every_verb_and_every_key() -> None:
    verbs = re.findall(r"^## contimg (.*)$", MADE["docs/cli.md"], re.MULTILINE)
    assert verbs == sorted(VERBS)
    keys = re.findall(r"^#? *([a-z_]+):", (ROOT / "config/config.yaml").read_text(), re.MULTILINE)
    assert [key for key in keys if not re.search(rf"\b{key}\b", MADE["docs/config.md"])] == []


def test_the_examples_in_python_are_true(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(ROOT / "docs/python.md"), module_relative=False)
    assert done.attempted > 15 and done.failed == 0
