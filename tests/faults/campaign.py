"""The fault campaign (``make faults``).

Seeded and reproducible: a fault is known by its kind and number. What comes out is a table of
kinds and outcomes (raw.py and products.py say what these are); the last two columns must be empty.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from contimg.core.isolate import isolated
from faults import disks, products, raw
from faults.storage import Storage

OUTCOMES = ("identical", "within errors", "detected", "wrong", "traceback or hang")


def main() -> int:
    """Run the campaign; 1 when anything came out wrong."""
    parser = argparse.ArgumentParser(description="Faults of data, and what becomes of them.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--raw", type=int, default=0, help="faults of UVH5 files")
    parser.add_argument("--products", type=int, default=0, help="faults of products")
    parser.add_argument("--results", type=Path, help="a finished small run, for faults of products")
    parser.add_argument("--disks", type=int, default=0, help="faults of the disk")
    given = parser.parse_args()
    if given.disks and "FAULTS_PLAN" not in os.environ:
        return on_a_disk_that_fails()
    table: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if given.raw:
            of_raw(given.raw, given.seed, Path(folder), table)
        if given.products:
            products.campaign(given.results, given.products, given.seed, Path(folder), table)
        if given.disks:
            disks.campaign(given.results, given.disks, given.seed, Path(folder), table)
            os.chdir("/")
    print_table(table)
    return int(any(found[bad] for found in table.values() for bad in OUTCOMES[3:]))


def on_a_disk_that_fails() -> int:
    """This program again, with the library that makes calls fail; its exit status."""
    with tempfile.TemporaryDirectory(prefix="storage-") as folder:
        storage = Storage.in_folder(Path(folder))
        command = [sys.executable, "-m", "faults.campaign", *sys.argv[1:]]
        env = os.environ | storage.environment
        return subprocess.run(command, env=env, check=False).returncode


def of_raw(number: int, seed: int, work: Path, table: dict[str, Counter[str]]) -> None:
    """`number` faults of UVH5 files, all kinds alike; counted in `table`."""
    group = raw.make_group(work / "group")
    whole = work / "whole"
    raw.copied(group, whole)
    # in a process of its own: what has threads of numba cannot be copied
    _, clean = isolated(raw._converted, whole, timeout_s=300)
    kinds = list(raw.KINDS)
    for count in range(number):
        kind = kinds[count % len(kinds)]
        place = work / "fault"
        found = raw.outcome(group, clean, place, raw.KINDS[kind], seed * 1_000_000 + count)
        shutil.rmtree(place, ignore_errors=True)
        note(table, f"raw: {kind}", found, count)


def note(table: dict[str, Counter[str]], kind: str, found: str, count: int) -> None:
    """Count an outcome; say at once what is bad."""
    column = found if found in OUTCOMES else OUTCOMES[4]
    if column in OUTCOMES[3:]:
        print(f"{kind} ({count}): {found}", file=sys.stderr, flush=True)
    table.setdefault(kind, Counter())[column] += 1


def print_table(table: dict[str, Counter[str]]) -> None:
    """Kinds and outcomes, as Markdown."""
    print(f"| fault | {' | '.join(OUTCOMES)} |")
    print("|---|" + "---|" * len(OUTCOMES))
    for kind, found in sorted(table.items()):
        print(f"| {kind} | {' | '.join(str(found[o] or '') for o in OUTCOMES)} |")
    total = sum(table.values(), Counter())
    print(f"| all {sum(total.values())} | {' | '.join(str(total[o]) for o in OUTCOMES)} |")


if __name__ == "__main__":
    sys.exit(main())
