"""Tiles that are calibrated keep the calsets they were offered.

A day that is added brings calsets that are offered to tiles of the day before as well. Those that
were calibrated stay as they are, unless the config asks for better calsets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contimg.core.paths import path


def keep_calsets(plan: dict[str, Any], results: str, better: bool) -> None:
    """Put into ``tiles`` of `plan` the calsets that tiles calibrated before were offered.

    With `better`, a tile to which a calset nearer in time than the one it was calibrated with is
    offered now gets the new offers. A tile that could not be calibrated gets them in any case, and
    so does one whose calset the plan does not have any more.
    """
    for name, tile in plan["tiles"].items():
        choice = _choice(Path(path("calset_choice", results, group=name)))
        used = [entry["calset"] for entry in choice.get("used", [])]
        offered = [entry["calset"] for entry in choice.get("candidates", [])]
        known = [calset for calset in offered if calset in plan["calsets"]]
        if not used or len(known) < len(offered) or not tile["calsets"]:
            continue
        nearer = _before(tile["calsets"], used[0])
        if not (better and set(nearer) - set(offered)):
            tile["calsets"] = known


def _before(calsets: list[str], name: str) -> list[str]:
    """Those offered before `name`; offers are nearest in time first."""
    return calsets[: calsets.index(name)] if name in calsets else calsets


def _choice(file: Path) -> dict[str, Any]:
    """The choice of a tile's calset; empty where there is none that can be read."""
    try:
        content = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
