"""The commands of a finished run, for a copy of its results."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path


def words_of(record: Path, results: Path, copy: Path) -> list[str]:
    """The words of the command that wrote `record`, below `results`, with `copy` for the results.

    The run may have named its results by any path: the one that its command gives the record.
    """
    words = shlex.split(json.loads(record.read_bytes())["run"]["command"])[1:]
    place = f"/{record.relative_to(results).as_posix()}"
    named = next(word for word in words if word.endswith(place)).removesuffix(place)
    root = re.compile(rf"(^|=){re.escape(named)}(?=/|$)")
    return [root.sub(lambda found: f"{found[1]}{copy}", word) for word in words]
