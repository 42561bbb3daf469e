"""The state of a product, from its record alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.disk import no_file
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.records import parse_record


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
        if why := no_file(record):
            raise DamagedError(record, why)
        content = parse_record(record, Path(record).read_bytes())
        verdict, reason = content["verdict"], content["reason"]
    except FileNotFoundError:
        return State("pending", "", "", {})
    except OSError as error:
        return State("failed", "fail", f"unreadable record: {error}", {})
    except (ContimgError, KeyError) as error:
        return State("failed", "fail", f"unreadable record: {error}", {})
    return State("failed" if verdict == "fail" else "done", verdict, reason, content)
