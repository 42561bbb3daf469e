"""A sample of the fault campaign on the finished run: its products, sets and inventory.

Every eleventh fault, so that few are of many kinds (tests/faults/). That of raw files needs no run
(tests/faults/test_campaign.py).
"""

from __future__ import annotations

from pathlib import Path

from faults.sample import sample

WORDS = "--seed 14 --every 11 --products 6 --sets 4 --inventory 5"


def test_a_sample_of_faults_of_a_run(run):
    """Nothing comes out wrong, nothing ends in a traceback or hangs; and the run is as it was."""
    before = written(run.results)
    said = sample([*WORDS.split(), "--results", str(run.results)], faults=15)
    detected = [line for line in said if line.endswith(": detected")]
    assert {line.split(":")[0] for line in detected} >= {"product", "set"}
    assert written(run.results) == before


def written(results: Path) -> dict[Path, int]:
    """When each product was."""
    return {f: f.stat().st_mtime_ns for f in results.rglob("*") if f.is_file()}
