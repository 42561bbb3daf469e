"""From a product back to the raw files, along the inputs that the records name."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contimg.core.paths import root_of
from contimg.core.records import content_hash, input_path, read_record


def lineage(records: Sequence[Path]) -> list[dict[str, Any]]:
    """Every record and group manifest behind `records`, nearest first, with its inputs.

    What lies below the results is named from there. A step whose file is gone is listed as
    ``missing``.
    """
    steps = []
    waiting = deque(records)
    seen: set[Path] = set()
    while waiting:
        path = waiting.popleft()
        if path in seen:
            continue
        seen.add(path)
        if not path.exists():
            steps.append({"record": _place(path), "missing": True})
            continue
        content = json.loads(path.read_bytes())
        if "stage" in content:
            content = read_record(path)
            steps.append(
                {
                    "record": _place(path),
                    "sha256": content_hash(path),
                    "stage": content["stage"],
                    "product": content["product"],
                    "verdict": content["verdict"],
                    "inputs": content["inputs"],
                }
            )
            named = (input_path(item, path) for item in content["inputs"])
            waiting.extend(file for file in named if file.suffix == ".json")
        elif "files" in content:  # manifest of a group: the raw data
            steps.append(
                {
                    "record": _place(path),
                    "sha256": content_hash(path),
                    "stage": "raw",
                    "inputs": [{k: f[k] for k in ("path", "bytes")} for f in content["files"]],
                }
            )
    return steps


def _place(path: Path) -> str:
    root = root_of(path)
    return path.as_posix() if root is None else path.relative_to(root).as_posix()
