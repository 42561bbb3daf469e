"""Tiles that are calibrated keep the calsets they were offered.

A day that is added brings calsets that are offered to tiles of the day before as well. Those that
were calibrated stay as they are, unless the config asks for better calsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contimg.core.objects import read_object
from contimg.core.paths import path


def keep_calsets(
    plan: dict[str, Any], results: str, better: bool, others: Mapping[str, Any] | None = None
) -> None:
    """Put into ``tiles`` of `plan` the calsets that tiles calibrated before were offered.

    With `better`, a tile to which a calset nearer in time than the one it was calibrated with is
    offered now gets the new offers. A tile that could not be calibrated gets them in any case, and
    so does one whose calset nobody knows any more. Calsets that only `others` plan (a wider
    selection of days) are put into ``borrowed``, with their groups.
    """
    lent: Mapping[str, Any] = others or {"calsets": {}, "tiles": {}}
    borrowed: dict[str, dict[str, Any]] = {"calsets": {}, "tiles": {}}
    for name, tile in plan["tiles"].items():
        choice = read_object(Path(path("calset_choice", results, group=name)))
        used = [entry["calset"] for entry in choice.get("used", [])]
        offered = [entry["calset"] for entry in choice.get("candidates", [])]
        foreign = [calset for calset in offered if calset not in plan["calsets"]]
        lendable = all(_lends(lent, calset) for calset in foreign)
        if not used or not lendable or not (tile["calsets"] or foreign):
            continue
        nearer = _before(tile["calsets"], used[0])
        if better and set(nearer) - set(offered):
            continue
        tile |= {"calsets": offered, "reason": ""}
        for calset in foreign:
            group = lent["calsets"][calset]["group"]
            borrowed["calsets"][calset] = lent["calsets"][calset]
            borrowed["tiles"][group] = lent["tiles"][group]
    plan["borrowed"] = borrowed


def _lends(plan: Mapping[str, Any], calset: str) -> bool:
    return calset in plan["calsets"] and plan["calsets"][calset].get("group") in plan["tiles"]


def _before(calsets: list[str], name: str) -> list[str]:
    """Those offered before `name`; offers are nearest in time first."""
    return calsets[: calsets.index(name)] if name in calsets else calsets
