"""Faults of Measurement Sets and calibration tables, and what the jobs that read them make of them.

A fault is one of the files that hold a column, or of a subtable: a bit, zeros, noise, its end, all
of it, the same file of another day. Time and size stay as they were where they can, as a disk that
lies leaves them. Outcomes are those of products.py.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg.core.isolate import ReaderError, isolated
from contimg.core.ms import open_table
from contimg.core.paths import path
from contimg.core.records import read_record
from contimg.core.seals import EXEMPT
from faults.commands import words_of
from faults.disks import RESULTS, ROOT, ran
from faults.kills import hashed, is_product
from faults.products import HOW, damage

TILE = ("DATA", "FLAG", "WEIGHT", "UVW", "TIME", "/ANTENNA", "/SPECTRAL_WINDOW", "/POINTING", "")
TABLE = ("CPARAM", "FPARAM", "FLAG", "TIME", "ANTENNA1", "/ANTENNA", "/SPECTRAL_WINDOW", "")
# what is damaged -> its columns, subtables ("/") and all of it (""), and the records of its readers
SETS = {
    "calibrated/*/*.ms": (TILE, ("tile_fluxes_record", "image_record")),
    "cal/*/*/*.ms": (TILE, ("solutions",)),
    "cal/*/*/*.[KBG]": (TABLE, ("calibrated_record", "calset_record")),
}
GONE = "gone"
_SECONDS = 180.0


@dataclass(frozen=True)
class Case:
    """One kind of fault: what is damaged, which part of it, and the record of who reads it."""

    pattern: str
    part: str
    reader: str

    def __str__(self) -> str:
        return f"{self.pattern} {self.part or 'any file'}, read for {self.reader}"


CASES = [
    Case(pattern, part, reader)
    for pattern, (parts, readers) in SETS.items()
    for part in parts
    for reader in readers
]


def campaign(
    results: Path, numbers: range, seed: int, work: Path, table: dict[str, Counter[str]]
) -> None:
    """Faults of the sets of a finished run, by number; counted in `table`."""
    from faults.campaign import note

    results, copy, place = results.absolute(), RESULTS, work / "sets"
    shutil.copytree(results, place / copy)
    (place / "config").symlink_to(ROOT / "config")
    os.chdir(place)  # the commands of the run name its files from here
    for count in numbers:
        rng = np.random.default_rng([seed, count])
        case, how = CASES[count % len(CASES)], str(rng.choice([*HOW, GONE]))
        tops = sorted(copy.glob(case.pattern))
        files = [(top, file) for top in tops for file in files_of(top, case.part)]
        top, victim = files[int(rng.integers(len(files)))]
        others = [file for _, file in files if file.name == victim.name]
        found = outcome(results, copy, (top, victim, others), case, how, rng)
        if found not in ("identical", "detected"):
            print(f"  {victim.relative_to(copy)}: {how}")
        note(table, f"set: {case.pattern} {case.part}", found, count)


def files_of(top: Path, part: str) -> list[Path]:
    """The files of a column or of a subtable, or all; those that nothing promises are left out."""
    if part and not part.startswith("/"):
        with open_table(top) as table:
            managers = table.getdminfo().values()
        numbers = [m["SEQNR"] for m in managers if part in m["COLUMNS"]]
        return sorted(f for n in numbers for f in top.glob(f"table.f{n}*") if f.stat().st_size)
    below = top / part.strip("/")
    return sorted(
        f for f in below.rglob("*") if f.is_file() and f.name not in EXEMPT and f.stat().st_size
    )


def outcome(
    results: Path,
    copy: Path,
    fault: tuple[Path, Path, list[Path]],
    case: Case,
    how: str,
    rng: np.random.Generator,
) -> str:
    """Damage a file, run the job that reads it, look at what it made, and mend all of it."""
    top, victim, others = fault
    reader = record_of(copy, top, case.reader)
    before, stamp = victim.read_bytes(), victim.stat()
    if how == GONE:
        victim.unlink()
    else:
        damage(victim, how, others, rng)
        os.utime(victim, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    unchanged = victim.exists() and victim.read_bytes() == before
    try:
        return "identical" if unchanged else judged(results, copy, top, reader)
    finally:
        victim.write_bytes(before)
        os.utime(victim, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        restore(results, copy, reader)


def record_of(copy: Path, top: Path, name: str) -> Path:
    """The record of a job that reads the set `top`."""
    if top.relative_to(copy).parts[0] == "calibrated":
        return Path(path(name, str(copy), group=top.stem, tier="standard"))
    if name == "calibrated_record":
        return Path(path(name, str(copy), group=top.parent.name.split("_")[0]))
    return Path(path(name, str(copy), calset=top.parent.name))


def judged(results: Path, copy: Path, top: Path, reader: Path) -> str:
    """The outcome of the job that writes `reader`."""
    whole = results / reader.relative_to(copy)
    words = words_of(whole, results, copy)
    try:
        status, said = isolated(ran, words, Path("said"), timeout_s=_SECONDS)
    except ReaderError as error:
        return "hang" if "no answer" in str(error) else f"traceback: {error}"
    if "Traceback" in said:
        return f"traceback: {said[-1500:]}"
    if status:
        return "detected" if top.name in said else f"traceback: no name: {said[-800:]}"
    made = read_record(reader)
    if made["verdict"] == "fail":
        return "detected" if top.name in made["reason"] else f"wrong: {made['reason']}"
    # a tile that another calset serves says why
    told = "".join(f.read_text() for f in reader.parent.glob(f"{reader.stem}*.json"))
    if top.name in told and "damaged" in told:
        return "detected"
    return "identical" if contents(reader) == contents(whole) else "wrong: and nothing said"


def contents(record: Path) -> dict[str, str]:
    """Hashes of what a job made, files that are the same in any two runs."""
    tops = [record.parent / name for name in read_record(record)["seal"]["products"]]
    files = [f for top in tops for f in (top, *top.rglob("*")) if f.is_file() and is_product(f)]
    return {os.path.relpath(f, record.parent): hashed(f) for f in files}


def restore(results: Path, copy: Path, reader: Path) -> None:
    """Put the products of a job back as they were."""
    whole = results / reader.relative_to(copy)
    for name in [*read_record(whole)["seal"]["products"], whole.name]:
        source, target = whole.parent / name, reader.parent / name
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
