"""A sample of the fault campaign: nothing comes out wrong, nothing ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_a_sample_of_raw_faults():
    """In a process of its own, which is copied for every fault before it has threads."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "scripts")])
    done = subprocess.run(
        [sys.executable, "-m", "faults.campaign", "--raw", "8", "--seed", "20261129"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1].split("|")
    assert last[1].strip() == "all 8" and [cell.strip() for cell in last[-3:-1]] == ["0", "0"]
