"""A sample of the fault campaign on the finished run: its products, sets and inventory.

Every eleventh fault, so that few are of many kinds (tests/faults/). That of raw files needs no run
(tests/faults/test_campaign.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
WORDS = "--seed 14 --every 11 --products 6 --sets 4 --inventory 5"


def test_a_sample_of_faults_of_a_run(run):
    """Nothing comes out wrong, nothing ends in a traceback or hangs; and the run is as it was."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "scripts")])
    before = written(run.results)
    done = subprocess.run(
        [sys.executable, "-m", "faults.campaign", *WORDS.split(), "--results", str(run.results)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1].split("|")
    assert last[1].strip() == "all 15" and [cell.strip() for cell in last[-3:-1]] == ["0", "0"]
    detected = [line for line in done.stderr.splitlines() if line.endswith(": detected")]
    assert {line.split(":")[0] for line in detected} >= {"product", "set"}
    assert written(run.results) == before


def written(results: Path) -> dict[Path, int]:
    """When each product was."""
    return {f: f.stat().st_mtime_ns for f in results.rglob("*") if f.is_file()}
