"""Small JSON files that can be done without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none, or none that can be read.

    For notes and caches, which are written again; products and their records are read by
    :mod:`contimg.core.records`, which says what is wrong with them.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def published_files(manifest: Path) -> list[dict[str, Any]]:
    """The files of a publication by its manifest: ``name``, ``bytes``, ``sha256`` of each.

    None where nothing was published (a placeholder), or where the manifest is not one: names that
    lead out of its folder are followed by nobody.
    """
    entries = read_object(manifest).get("files")
    return entries if isinstance(entries, list) and all(map(_is_entry, entries)) else []


def _is_entry(entry: Any) -> bool:
    form = {"name": str, "bytes": int, "sha256": str}
    if not isinstance(entry, dict) or not all(isinstance(entry.get(k), v) for k, v in form.items()):
        return False
    return Path(entry["name"]).name == entry["name"]
