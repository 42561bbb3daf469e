"""A small part of the campaign, as tests run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def sample(words: list[str], faults: int) -> list[str]:
    """Run the campaign with some arguments; what it says of each fault.

    In a process of its own, which is copied for every fault before it has threads. All `faults`
    must have been tried, and none may have come out wrong or ended in a traceback.
    """
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "scripts")])
    done = subprocess.run(
        [sys.executable, "-m", "faults.campaign", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1].split("|")
    assert last[1].strip() == f"all {faults}"
    assert [cell.strip() for cell in last[-3:-1]] == ["0", "0"]
    return done.stderr.splitlines()
