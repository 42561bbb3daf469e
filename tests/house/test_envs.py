"""The conda environments: readable, pinned, and of the same versions as the lock."""

from __future__ import annotations

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


def test_versions_are_those_of_the_lock() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "pin_envs.py"), "--check"]
    result = subprocess.run(tool, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + "run tools/pin_envs.py"


def test_every_environment_is_used_and_every_one_used_exists() -> None:
    rules = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    assert set(re.findall(r"envs/([a-z]+)\.yaml", rules)) == {env.stem for env in ENVS}
