"""The shell scripts in a checkout whose path holds what shells, casacore and Python might read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ODD = 'o\'dd "q" $HOME `id` ü {x} ~ ; *'


@pytest.fixture
def checkout(tmp_path):
    """The scripts of the checkout in an odd place; the environment is the one that runs this."""
    place = tmp_path / ODD
    shutil.copytree(ROOT / "tools", place / "tools")
    return place


def shell(place: Path, text: str, **more: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"VENV": sys.prefix, "BASH_ENV": ""} | more
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text, "bash", str(place)],
        env=environment, cwd=place.parent, capture_output=True, text=True,
    )  # fmt: skip


def test_environment(checkout):
    done = shell(checkout, '. "$1/tools/env.sh"; echo "$CONTIMG_CACHE"; command -v python')
    assert done.returncode == 0, done.stderr
    cache, python = done.stdout.splitlines()
    assert cache == f"{checkout}/.cache" and Path(cache).is_dir()
    assert Path(python) == Path(sys.prefix) / "bin/python"


def test_a_relative_environment_is_one_of_the_checkout(checkout):
    done = shell(checkout, '. "$1/tools/env.sh"; echo "$VENV"', VENV="my env")
    assert done.stdout.strip() == f"{checkout}/my env"


def test_the_environment_of_another_checkout_is_left_alone(checkout, tmp_path):
    (checkout / "requirements.lock").touch()
    site = tmp_path / "venv/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (site / "contimg.pth").write_text(f"{ROOT}/scripts\n")
    (tmp_path / "venv/contimg.stamp").touch()
    done = shell(checkout, '"$1/tools/setup.sh"', VENV=str(tmp_path / "venv"))
    assert done.returncode == 1 and f"belongs to the checkout {ROOT}" in done.stdout
    assert site.exists()


def test_run_from_elsewhere(checkout):
    """Snakemake is started in the checkout, with the arguments as they are."""
    done = shell(checkout, '"$1/tools/run.sh" --version')
    assert done.returncode == 0, done.stderr
    assert done.stdout[0].isdigit() and (checkout / ".snakemake/contimg.flock").exists()


def test_a_second_run_is_refused_and_a_file_system_without_locks_is_no_run(checkout, tmp_path):
    held = shell(checkout, 'mkdir "$1/.snakemake"; exec 7> "$1/.snakemake/contimg.flock"; flock 7;'
                 ' "$1/tools/run.sh" --version')  # fmt: skip
    assert held.returncode == 1 and "another run is alive" in held.stderr
    (tmp_path / "bin").mkdir()
    refusing = tmp_path / "bin/flock"
    refusing.write_text("#!/bin/sh\necho 'flock: 9: No locks available' >&2; exit 71\n")
    refusing.chmod(0o755)
    # env.sh puts the environment first, so the program that refuses has to be a function
    text = f'flock() {{ "{refusing}" "$@"; }}; export -f flock; "$1/tools/run.sh" --version'
    assert shell(checkout, text).returncode == 0


def test_set_up_names_a_path_that_cannot_work(checkout):
    done = shell(checkout, '"$1/tools/setup.sh"', VENV="/tmp/a:b/venv")
    assert done.returncode == 1 and "colon" in done.stdout


def test_an_interpreter_with_a_blank_in_its_path_is_one_interpreter(checkout, tmp_path):
    """It is asked for what it can do, and is not taken for several words."""
    (tmp_path / "a b").mkdir()
    python = tmp_path / "a b/python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    shutil.copy(ROOT / "requirements.lock", checkout)
    done = shell(checkout, '"$1/tools/setup.sh"', VENV=str(tmp_path / "venv"), PYTHON=str(python))
    assert done.returncode == 1 and "need CPython 3.11" in done.stdout


def test_a_checkout_below_a_blank_plans_its_run(tmp_path):
    """Snakemake takes no container from there, and is not asked to unless one is wanted."""
    place = tmp_path / "a b"
    for name in ("scripts", "rules", "config", "profiles", "containers"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", place)
    words = ["-n", "--cores", "1", "--configfile", "config/tiny.yaml"]
    snakemake = [sys.executable, "-m", "snakemake", *words]
    done = subprocess.run(snakemake, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [*snakemake, "--sdm", "apptainer"], cwd=place, capture_output=True, text=True
    )
    assert done.returncode != 0 and "path with a blank; move the checkout" in done.stdout
