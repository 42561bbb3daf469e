"""Faults of the inventory: plans, their tables, the table of headers, manifests of groups.

The inventory can be made again from the raw files, and the start of the next run does so, but that
it does not read manifests whose size is right: the job that needs one does. An outcome is
``identical`` (afterwards the inventory is what it was, and so is the plan that the run follows),
``detected`` (the run, or the reader of the manifest, refuses and names the file), or a bad one.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from contimg.config import read_config
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.groups import read_manifest
from contimg.core.isolate import ReaderError, isolated
from contimg.report import runs
from contimg.run.start import start
from faults.products import HOW, damage
from faults.sets import GONE

_SECONDS = 120.0
INVENTORY = (
    "inventory/plans/*/plan.json",
    "inventory/plans/*/groups.parquet",
    "inventory/plans/*/*.csv",
    "inventory/files.parquet",
    "inventory/groups/*/*.json",
)


def campaign(
    results: Path, numbers: range, seed: int, work: Path, table: dict[str, Counter[str]]
) -> None:
    """Faults of the inventory of a finished run's raw files, by number; counted in `table`."""
    from faults.campaign import note

    place = work / "inventory"
    place.mkdir()
    config = read_config(settings(results, place))
    (plan, _), whole = started(config), files_of(place)
    for count in numbers:
        rng = np.random.default_rng([seed, count])
        pattern, how = INVENTORY[count % len(INVENTORY)], str(rng.choice([*HOW, GONE]))
        victims = sorted(place.glob(f"results/{pattern}"))
        victim = victims[int(rng.integers(len(victims)))]
        if how == GONE:
            victim.unlink()
        else:
            damage(victim, how, victims, rng)
        note(table, f"inventory: {pattern}", outcome(config, plan, place, whole, victim), count)
        shutil.rmtree(place / "results")
        for name, content in whole.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)


def settings(results: Path, place: Path) -> dict[str, Any]:
    """Those of the run in `results`, of raw files that are there now."""
    last = runs.latest(str(results))
    assert last is not None, f"{results}: no run was there"
    content, there = last["config"], Path(last["directory"])
    content["simulate"]["enabled"] = False
    content["results"] = str(place / "results")
    for name in ("catalog", "field_model", "targets"):
        content[name] = str(results.absolute() / "simulated/catalog.csv")
    content["discover"]["raw_dir"] = str(there / content["discover"]["raw_dir"])
    content["plan"]["calibrators"] = str(there / content["plan"]["calibrators"])
    return content


def started(config: Any) -> tuple[dict[str, Any], str]:
    """The plan that a run follows; why it refuses to start.

    In a process of its own, as it holds the lock of the results as long as it lives.
    """
    return isolated(_start, config, timeout_s=_SECONDS)


def _start(config: Any) -> tuple[dict[str, Any], str]:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return start(config, write=True), ""
    except ContimgError as error:
        return {}, str(error)
    except Exception as error:  # noqa: BLE001  (what must not be is what is counted here)
        return {}, "".join(traceback.format_exception(error))[-1500:]


def outcome(config: Any, plan: dict[str, Any], place: Path, whole: dict, victim: Path) -> str:
    """What the start of the next run makes of a damaged `victim`."""
    try:
        found, said = started(config)
    except ReaderError as error:
        return "hang" if "no answer" in str(error) else f"traceback: {error}"
    if said:
        named = victim.name in said and "Traceback" not in said
        return "detected" if named else f"traceback: {said}"
    after = files_of(place)
    differ = sorted(n for n in whole.keys() | after.keys() if whole.get(n) != after.get(n))
    if found != plan:
        return "wrong: another plan"
    if not differ:
        return "identical"
    manifest = victim.parents[1].name == "groups" and differ == [str(victim.relative_to(place))]
    return "detected" if manifest and refused(victim) else f"wrong: {differ}"


def refused(manifest: Path) -> bool:
    """Whether a job that reads a manifest refuses it and names it."""
    try:
        read_manifest(manifest)
    except DamagedError as error:
        return str(manifest) in str(error)
    return False


def files_of(place: Path) -> dict[str, bytes]:
    """Names and contents of the inventory."""
    files = [f for f in place.rglob("*") if f.is_file() and f.name != "run.lock"]
    return {f.relative_to(place).as_posix(): f.read_bytes() for f in files}
