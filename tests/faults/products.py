"""Faults of products, and what the next stage makes of them.

The next stage's command is taken from its own record. An outcome is ``identical`` (the same
products: the fault was in what is not read), ``detected`` (the next stage fails, or leaves out
what is damaged, or refuses, and names the file), or one of the bad ones.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from contimg.cli import main
from contimg.core.paths import path
from contimg.core.records import content_hash, read_record
from faults.commands import words_of

# what is damaged -> the record of the stage that reads it
READ_BY = {
    "images/*/*/*.image.fits": "mosaic_record",
    "images/*/*/*.residual.fits": "mosaic_record",
    "images/*/*/*.pb.fits": "mosaic_record",
    "images/*/*/*.standard.json": "mosaic_record",
    "mosaics/*/*.image.fits": "photometry_record",
    "mosaics/*/*.rms.fits": "photometry_record",
    "mosaics/*/*.mjd.fits": "photometry_record",
    "mosaics/*/*+555.json": "photometry_record",
    "mosaics/*/*.weight.fits": "published_record",
    "mosaics/*/*.coverage.fits": "published_record",
    "mosaics/*/*.validation.json": "published_record",
    "photometry/*.parquet": "lightcurves_record",
    "photometry/*.json": "lightcurves_record",
    "lightcurves/lightcurves.parquet": "variability_record",
    "lightcurves/lightcurves.json": "variability_record",
    "cal/*/*/solutions.json": "calset_record",
    "cal/*/*/*.B/table.f0": "calset_record",
    "cal/*/*/*.G/table.f0": "calset_record",
    "cal/*/*/*.K/table.f0": "calset_record",
}
HOW = ("a bit", "zeros", "noise", "cut short", "of another day", "empty", "longer")


def campaign(
    results: Path, numbers: range, seed: int, work: Path, table: dict[str, Counter[str]]
) -> None:
    """Faults of products of a finished run, by number; counted in `table`."""
    from faults.campaign import note

    copy = work / "results"
    shutil.copytree(results, copy)
    patterns = list(READ_BY)
    for count in numbers:
        rng = np.random.default_rng(seed * 1_000_000 + count)
        pattern, how = patterns[count % len(patterns)], str(rng.choice(HOW))
        victims = sorted(copy.glob(pattern))
        victim = victims[int(rng.integers(len(victims)))]
        before = victim.read_bytes()
        damage(victim, how, victims, rng)
        reader = _reader(copy, victim, READ_BY[pattern])
        found = (
            "identical" if victim.read_bytes() == before else outcome(results, copy, victim, reader)
        )
        victim.write_bytes(before)
        _restore(results, copy, reader)
        note(table, f"product: {pattern}", found, count)


def damage(victim: Path, how: str, others: list[Path], rng: np.random.Generator) -> None:
    """Change the bytes of a product."""
    content = bytearray(victim.read_bytes())
    at, size = int(rng.integers(len(content))), int(rng.integers(1, 16384))
    if how == "a bit":
        content[at] ^= 1 << int(rng.integers(8))
    elif how in ("zeros", "noise"):
        size = min(size, len(content) - at)
        content[at : at + size] = bytes(size) if how == "zeros" else rng.bytes(size)
    elif how == "cut short":
        del content[at:]
    elif how == "of another day":
        content = bytearray(others[(others.index(victim) + 1) % len(others)].read_bytes())
    else:
        content = bytearray() if how == "empty" else content + rng.bytes(size)
    victim.write_bytes(content)


def _reader(copy: Path, victim: Path, record: str) -> Path:
    """The record of the stage that reads `victim`."""
    if record in ("lightcurves_record", "variability_record"):
        return Path(path(record, str(copy)))
    if record == "calset_record":
        folder = victim.parent if victim.name == "solutions.json" else victim.parent.parent
        return Path(path(record, str(copy), calset=folder.name))
    if victim.relative_to(copy).parts[0] == "mosaics":
        return Path(path(record, str(copy), mosaic=victim.parent.name))
    day = victim.relative_to(copy).parts[1].replace("-", "")
    return next(p for p in sorted(copy.glob("mosaics/*/*.json")) if p.stem.startswith(day))


def outcome(results: Path, copy: Path, victim: Path, reader: Path) -> str:
    """Run the stage that reads `victim`, and look at what it made."""
    whole = results / reader.relative_to(copy)
    words = words_of(whole, results, copy)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            status = main(words)
    except Exception as error:  # noqa: BLE001  (what must not be is what is counted here)
        return f"traceback: {''.join(traceback.format_exception(error))[-800:]}"
    named = victim.name if not victim.name.startswith("table.") else victim.parent.name
    if status:
        return "detected" if named in said.getvalue() else f"traceback: no name: {said.getvalue()}"
    return judge(whole, reader, named)


def judge(whole: Path, reader: Path, named: str) -> str:
    """The outcome of a stage that came to an end."""
    made, before = read_record(reader), read_record(whole)
    text = json.dumps(made) + "".join(
        file.read_text() for file in reader.parent.glob("*.csv") if file.stat().st_size
    )
    if named in made["reason"] or f"{named}: damaged" in text:
        return "detected"
    same = made["seal"]["products"] == before["seal"]["products"]
    return "identical" if same and _numbers(made) == _numbers(before) else "wrong"


def _numbers(record: dict[str, Any]) -> Any:
    return record["data"], record["checks"]


def _restore(results: Path, copy: Path, reader: Path) -> None:
    """Put the products of a stage back as they were."""
    whole = results / reader.relative_to(copy)
    if content_hash(whole) == (content_hash(reader) if reader.exists() else ""):
        return
    for name in read_record(whole)["seal"]["products"]:
        source, target = whole.parent / name, reader.parent / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    if (source := whole.parent / whole.stem).is_dir() and "published" in whole.parts:
        shutil.copytree(source, reader.parent / whole.stem, dirs_exist_ok=True)
    shutil.copy2(whole, reader)
