"""The plans of a results directory: one a kind of run, named by what it depends on.

Runs that select other data, or plan otherwise, share a results directory and keep a plan each; a
job finds its own from its own config. What is said of the whole directory (state, report) takes
the plan of the latest run and what others have left behind.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contimg.core.errors import ContimgError
from contimg.core.options import Options
from contimg.core.paths import path

_MEANS = {"processes", "scan"}  # leaves that say how the plan is made, not what is in it
KINDS = ("groups", "calsets", "tiles", "mosaics")
_DIGEST = ',\n "digest": "'


def plan_key(options: Sequence[Options]) -> str:
    """The name of the plan that `options` make: ten hexadecimal digits."""
    content = {}
    for model in options:
        leaves = model.planning if model.section == "mosaic" else set(type(model).model_fields)
        content[model.section] = model.model_dump(mode="json", include=set(leaves) - _MEANS)
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def plan_text(plan: dict[str, Any]) -> str:
    """JSON with one line an item: quick to write, and changes show line by line.

    The last line is a hash of all before it.
    """
    parts = []
    for key, value in plan.items():
        if isinstance(value, dict) and value:
            lines = (f"  {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items())
            parts.append(f" {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    text = "{\n" + ",\n".join(parts)
    return f'{text}{_DIGEST}{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n'


def read_plan(results: str, key: str | None = None) -> dict[str, Any]:
    """The plan `key` of a results directory, or that of the latest run there."""
    target = Path(path("plan", results, plan=key or latest(results)))
    return read_plan_file(target)


def read_plan_file(target: Path) -> dict[str, Any]:
    """A plan; :class:`ContimgError` when it is missing, cannot be read, or was changed."""
    try:
        text = target.read_text()
        content = json.loads(text)
    except FileNotFoundError:
        raise ContimgError(_no_plan(str(target))) from None
    except (ValueError, RecursionError) as error:
        raise ContimgError(f"{target}: not a readable plan ({error}); delete it") from None
    if not isinstance(content, dict):
        raise ContimgError(f"{target}: not a readable plan (no JSON object); delete it")
    digest = content.pop("digest", None)
    if digest not in (None, hashlib.sha256(text.rpartition(_DIGEST)[0].encode()).hexdigest()):
        raise ContimgError(f"{target}: not as it was written; delete it")
    return content


def keys(results: str) -> list[str]:
    """Names of the plans of a results directory, that of the latest run first."""
    top = Path(path("plan", results, plan="0")).parent.parent
    found = [(plan.stat().st_mtime_ns, plan.parent.name) for plan in top.glob("*/plan.json")]
    return [name for _, name in sorted(found, reverse=True)]


def readable(results: str) -> list[str]:
    """The same of those that can be read; of the others it is said that they cannot.

    A plan that is damaged costs its own run, which writes it again, and no other.
    """
    found = []
    for name in keys(results):
        try:
            read_plan(results, name)
            found.append(name)
        except ContimgError as error:
            print(f"plan: {error}, or start its run again", file=sys.stderr)
    return found


def latest(results: str) -> str:
    """Name of the plan of the latest run; :class:`ContimgError` when there is none."""
    found = keys(results)
    if not found:
        raise ContimgError(_no_plan(results))
    return found[0]


def calsets_of(plan: dict[str, Any]) -> dict[str, Any]:
    """The calsets of a plan, and those of other plans that its tiles keep."""
    return {**plan.get("borrowed", {}).get("calsets", {}), **plan["calsets"]}


def everything_planned(results: str, key: str | None = None) -> dict[str, Any]:
    """A plan, and what other plans of the directory hold that it does not.

    The items that only others plan are named in ``elsewhere``, by kind: they may have been
    given up, so that nothing is wrong where they have no products.
    """
    first = key or latest(results)
    whole = read_plan(results, first)
    whole["elsewhere"] = {kind: [] for kind in KINDS}
    for other in readable(results):
        if other == first:
            continue
        content = read_plan(results, other)
        for kind in KINDS:
            new = {name: item for name, item in content[kind].items() if name not in whole[kind]}
            whole[kind] |= new
            whole["elsewhere"][kind] += list(new)
    return whole


def read_rejected(results: str, key: str | None = None) -> list[dict[str, str]]:
    """Files that discovery rejected: ``path`` and ``reason``."""
    if key is None and not keys(results):
        return []
    table = Path(path("rejected", results, plan=key or latest(results)))
    if not table.exists():
        return []
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _no_plan(where: str) -> str:
    return (
        f"{where}: no plan yet; make it with snakemake --configfile YOURS, or with"
        " contimg discover --results RESULTS --raw-dir DIRECTORY"
    )
