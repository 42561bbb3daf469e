"""The state of a product, from its record alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.errors import ContimgError
from contimg.core.records import VERDICTS


@dataclass(frozen=True)
class State:
    """What a record says of its product; `content` is empty where there is no readable record."""

    state: str
    verdict: str
    reason: str
    content: dict[str, Any]


def state_of(record: str | Path) -> State:
    """``done`` (the verdict may be a warning), ``failed`` (or unreadable) or ``pending``."""
    try:
        text = Path(record).read_text()
    except FileNotFoundError:
        return State("pending", "", "", {})
    except (OSError, UnicodeDecodeError) as error:
        return State("failed", "fail", f"unreadable record: {error}", {})
    try:
        content = json.loads(text)
        verdict, reason = content["verdict"], content["reason"]
        if verdict not in VERDICTS:
            raise ContimgError(f"{record}: verdict {verdict!r} is none of {', '.join(VERDICTS)}")
    except (ContimgError, KeyError, TypeError, json.JSONDecodeError) as error:
        return State("failed", "fail", f"unreadable record {record}: {error}", {})
    return State("failed" if verdict == "fail" else "done", verdict, reason, content)
