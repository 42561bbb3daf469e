"""The conda environments: readable, pinned, and of the same versions as the lock."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENVS = sorted((ROOT / "envs").glob("*.yaml"))


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
