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
from fnmatch import fnmatch
from pathlib import Path

from contimg.flag.options import FlagOptions
from faults import disks, inventory, products, raw, sets
from faults.storage import Storage, compiler

# a process that has threads cannot be copied
ALONE = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}
OUTCOMES = ("identical", "within errors", "detected", "wrong", "traceback or hang")


def main() -> int:
    """Run the campaign; 1 when anything came out wrong."""
    parser = argparse.ArgumentParser(description="Faults of data, and what becomes of them.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--raw", type=int, default=0, help="faults of UVH5 files")
    parser.add_argument("--products", type=int, default=0, help="faults of products")
    parser.add_argument("--results", type=Path, help="a finished small run, for faults of products")
    parser.add_argument("--only", default="*", help="pattern of kinds of faults of UVH5 files")
    parser.add_argument("--sets", type=int, default=0, help="faults of sets and tables of CASA")
    parser.add_argument("--inventory", type=int, default=0, help="faults of plans and manifests")
    parser.add_argument("--disks", type=int, default=0, help="faults of the disk")
    parser.add_argument("--stages", default="*", help="pattern of stages on such a disk")
    parser.add_argument("--every", type=int, default=1, help="of as many, one: a sample of kinds")
    given = parser.parse_args()
    given.results = given.results and given.results.absolute()
    if not ALONE.items() <= os.environ.items():
        return in_an_environment_of_its_own()
    table: dict[str, Counter[str]] = {}

    def numbers(number: int) -> range:
        return range(0, number * given.every, given.every)

    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        place = Path(folder)
        if given.raw:
            of_raw(numbers(given.raw), given.seed, place, table, given.only)
        for kind, number in (
            (products, given.products),
            (sets, given.sets),
            (inventory, given.inventory),
        ):
            if number:
                kind.campaign(given.results, numbers(number), given.seed, place, table)
                os.chdir("/")
        if given.disks:
            what = (given.results, numbers(given.disks), given.seed, place, table)
            disks.campaign(*what, given.stages)
            os.chdir("/")
    print_table(table)
    return int(any(found[bad] for found in table.values() for bad in OUTCOMES[3:]))


def in_an_environment_of_its_own() -> int:
    """This program again, as one that can be copied, and with the library that makes calls fail."""
    with tempfile.TemporaryDirectory(prefix="storage-") as folder:
        disk = Storage.in_folder(Path(folder)).environment if compiler() else {}
        command = [sys.executable, "-m", "faults.campaign", *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | disk | ALONE, check=False).returncode


def of_raw(
    numbers: range, seed: int, work: Path, table: dict[str, Counter[str]], only: str
) -> None:
    """Faults of UVH5 files by number, all kinds alike; counted in `table`."""
    group = raw.make_group(work / "group")
    clean = {}
    for few in (True, False):  # here: what is copied for every fault is warm
        flag = raw.INVALID if few else FlagOptions()
        raw.copied(group, work / f"whole{few}")
        _, clean[few] = raw.converted(work / f"whole{few}", flag)
    kinds = [kind for kind in raw.KINDS if fnmatch(kind, only)]
    for count in numbers:
        kind = kinds[count % len(kinds)]
        place = work / "fault"
        like = clean[kind not in raw.FLAGGED]
        found = raw.outcome(group, like, place, kind, seed * 1_000_000 + count)
        shutil.rmtree(place, ignore_errors=True)
        note(table, f"raw: {kind}", found, count)


def note(table: dict[str, Counter[str]], kind: str, found: str, count: int) -> None:
    """Count an outcome and say it at once: a campaign may be stopped."""
    column = found if found in OUTCOMES else "wrong" if found.startswith("wrong") else OUTCOMES[4]
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
