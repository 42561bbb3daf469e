"""``contimg verify``: are the products in a results folder what their records promised?

Every product is read and held against size and hash in the record of its job, and every published
file against the manifest of its publication, at the speed of the disk.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg.core import plans
from contimg.core.command import Command
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.groups import read_manifest
from contimg.core.objects import published_files
from contimg.core.paths import MADE_WITH, PATTERNS, fields, path, place_of
from contimg.core.records import read_record
from contimg.core.seals import difference
from contimg.operate.named import NamedFiles, some
from contimg.report import runs

_REMOVED = {"ms", "cal_ms", "calibrated_ms"}  # after their last use, unless keep_ms
_SAY_S = 5.0  # between two lines of progress


class VerifyFiles(NamedFiles):
    """What is looked at."""

    all: bool = Field(False, description="everything in the results directory")
    repair: bool = Field(
        False, description="delete what is damaged, so that the next run makes it again"
    )
    threads: int = Field(4, ge=1, description="files that are read at a time")


@dataclass(frozen=True)
class Promised:
    """A file or directory, what was promised of it, and what was found wrong with it."""

    path: Path
    promise: dict[str, Any]
    wrong: str = ""


def run(files: VerifyFiles) -> int:
    """Say what is damaged, gone or without a promise; 1 when something is."""
    if files.repair and runs.going_on(files.results):
        raise ContimgError(f"a run works on {files.results}; stop it or wait for its end")
    wanted = ["*"] if files.all else some(files.wanted(), "products, or give --all")
    records = [record for record in _records(files.results) if _is_meant(record, wanted)]
    if not records:
        raise ContimgError(f"{files.results}: no records of {', '.join(wanted)}")
    began = time.monotonic()
    promised, bad, unsealed = _promised(records)
    bad |= _manifests(files.results, wanted)
    if files.all:
        bad |= _plans(files.results)
        bad |= dict.fromkeys(runs.damaged(files.results), "not a readable note of a run")
    present = [p for p in promised if p.path.exists()]
    gone = [p.path for p in promised if not p.path.exists() and not _may_be_gone(p.path)]
    seen = _look(present, files.threads)
    bad |= {p.path: p.wrong for p in seen if p.wrong}
    for file, why in bad.items():
        print(f"damaged: {file}: {why}" + (_deleted(file) if files.repair else ""))
    for file in gone:
        print(f"gone: {file}: the next run makes it again")
    for record in unsealed:
        print(f"nothing promised: {record}: made by hand or by an earlier version")
    size, took = sum(p.promise["bytes"] for p in present), time.monotonic() - began
    print(
        f"{len(records)} records, {len(present)} products, {size / 1e9:.3g} GB in {took:.1f} s"
        f" ({size / 1e9 / max(took, 1e-3):.2g} GB/s): {len(bad)} damaged, {len(gone)} gone"
    )
    return 1 if (bad and not files.repair) or gone else 0


def _records(results: str) -> Iterator[Path]:
    for name in MADE_WITH:
        pattern = PATTERNS[name].format(**dict.fromkeys(fields(name), "*"))
        found = ((file, place_of(file)) for file in sorted(Path(results).glob(pattern)))
        yield from (file for file, place in found if place is not None and place[0] == name)


def _is_meant(record: Path, wanted: list[str]) -> bool:
    place = place_of(record)
    assert place is not None
    names = [*place[2].values(), str(record)]
    return "*" in wanted or any(fnmatch.filter(names, pattern) for pattern in wanted)


def _promised(records: list[Path]) -> tuple[list[Promised], dict[Path, str], list[Path]]:
    """(what the records promise, records that are bad and why, those that promise nothing)."""
    promised: list[Promised] = []
    bad: dict[Path, str] = {}
    unsealed = []
    for record in records:
        try:
            content = read_record(record)
        except DamagedError as error:
            bad[record] = error.what
            continue
        if content["verdict"] == "fail" and content.get("data", {}).get("damaged"):
            bad[record] = f"failed, because damaged: {', '.join(content['data']['damaged'])}"
        if "seal" not in content:
            unsealed.append(record)
        for name, promise in content.get("seal", {}).get("products", {}).items():
            product = Path(os.path.normpath(record.parent / name))
            promised.append(Promised(product, promise))
            if product.name == "manifest.json" and product.exists():
                promised += _published(product)
    return promised, bad, unsealed


def _manifests(results: str, wanted: list[str]) -> dict[Path, str]:
    """Manifests of groups that are not as they were written, and why."""
    bad = {}
    for manifest in sorted(Path(results).glob(PATTERNS["manifest"].format(day="*", group="*"))):
        if place_of(manifest) is not None and _is_meant(manifest, wanted):
            try:
                read_manifest(manifest)
            except DamagedError as error:
                bad[manifest] = error.what
    return bad


def _plans(results: str) -> dict[Path, str]:
    """Plans that cannot be read or are not as they were written, and why."""
    bad = {}
    for key in plans.keys(results):
        plan = Path(path("plan", results, plan=key))
        try:
            plans.read_plan_file(plan)
        except ContimgError as error:
            bad[plan] = str(error).removeprefix(f"{plan}: ").removesuffix("; delete it")
    return bad


def _published(manifest: Path) -> Iterator[Promised]:
    """The files of a publication; none of one that holds nothing, or is damaged itself."""
    for entry in published_files(manifest):
        yield Promised(manifest.parent / entry["name"], entry)


def _may_be_gone(path: Path) -> bool:
    place = place_of(path)
    return place is not None and place[0] in _REMOVED


def _look(promised: list[Promised], threads: int) -> list[Promised]:
    """Read all of it, and say every few seconds how far it is."""
    total, done, said = sum(p.promise["bytes"] for p in promised), 0, time.monotonic()
    found = []
    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(lambda p: difference(p.path, p.promise), promised)
        for product, wrong in zip(promised, results, strict=True):
            found.append(Promised(product.path, product.promise, wrong))
            done += product.promise["bytes"]
            if time.monotonic() - said > _SAY_S:
                said = time.monotonic()
                print(f"verify: {done / 1e9:.3g} of {total / 1e9:.3g} GB", file=sys.stderr)
    return found


def _deleted(path: Path) -> str:
    """Delete what is damaged; a record that is gone lets its whole job run again."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return "; deleted, the next run makes it again"


COMMAND = Command(
    help="Are the products what their records promised? (--repair: let the next run make them).",
    files=VerifyFiles,
    options=(),
    run=run,
)
