"""One metric held against its limits, and what many of them come to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contimg.core.options import LimitValue

VERDICTS = ("pass", "warn", "fail")
UNMADE = "warn if not made"  # the limit of a check that could not be made


@dataclass(frozen=True)
class Check:
    """One metric held against its limits."""

    metric: str
    value: float | None
    unit: str
    limit: str
    verdict: str
    reason: str = ""
    # warn_above .. fail_below -> value, or [option, factor, power]: the limits, if by numbers
    limits: Mapping[str, float | list] = field(default_factory=dict)


def check(
    metric: str,
    value: float,
    unit: str = "",
    *,
    warn_above: float | None = None,
    fail_above: float | None = None,
    warn_below: float | None = None,
    fail_below: float | None = None,
) -> Check:
    """Compare `value` with the limits given; a value that is not finite fails."""
    tests = (
        ("fail", ">", fail_above),
        ("fail", "<", fail_below),
        ("warn", ">", warn_above),
        ("warn", "<", warn_below),
    )
    limit = ", ".join(f"{v} if {op} {lim:g}" for v, op, lim in tests if lim is not None)
    names = {"fail>": "fail_above", "fail<": "fail_below", "warn>": "warn_above"}
    limits = {
        names.get(verdict + op, "warn_below"): _named(lim)
        for verdict, op, lim in tests
        if lim is not None
    }
    if not math.isfinite(value):
        reason = f"{metric} is not a finite number"
        return Check(metric, None, unit, limit, "fail", reason, limits)
    for verdict, op, lim in tests:
        if lim is not None and (value > lim if op == ">" else value < lim):
            reason = f"{metric} {value:.4g} {op} {lim:g} {unit}".strip()
            return Check(metric, float(value), unit, limit, verdict, reason, limits)
    return Check(metric, float(value), unit, limit, "pass", limits=limits)


def _named(limit: float) -> float | list:
    """A limit as a record keeps it: its value, or the option that it comes from."""
    if isinstance(limit, LimitValue):
        return [limit.leaf, limit.factor, limit.power]
    return float(limit)


def held_against(entry: dict[str, Any], limits: Mapping[str, float]) -> dict[str, Any]:
    known = entry.get("limits", {})
    named = [limit[0] for limit in known.values() if isinstance(limit, list)]
    if entry["value"] is None or not named or not set(named) <= set(limits):
        return entry
    now = {
        name: LimitValue(factor * limits[leaf] ** power, leaf, factor, power)
        for name, (leaf, factor, power) in (
            (name, limit) for name, limit in known.items() if isinstance(limit, list)
        )
    }
    fixed = {name: limit for name, limit in known.items() if not isinstance(limit, list)}
    return json.loads(
        json.dumps(asdict(check(entry["metric"], entry["value"], entry["unit"], **fixed, **now)))
    )


def reasons(checks: Sequence[Check], verdict: str) -> str:
    return "; ".join(c.reason for c in checks if c.verdict == verdict and c.reason)


def not_made(metric: str, reason: str, unit: str = "") -> Check:
    """A warning that a check could not be made."""
    return Check(metric, None, unit, UNMADE, "warn", f"{metric}: not checked: {reason}")


def only_unmade(record: Mapping[str, Any]) -> bool:
    """Whether all that a record warns of is that checks could not be made."""
    warnings = [c for c in record.get("checks", []) if c["verdict"] == "warn"]
    return bool(warnings) and all(c["limit"] == UNMADE for c in warnings)


def inherited(records: Iterable[Mapping[str, Any]]) -> list[Check]:
    """The warnings of the inputs, as warnings of what is made from them.

    A product is no better than what its numbers come from, until something measured clears it.
    Where the inputs' checks could not be made, that is what it says too.
    """
    return [
        Check(
            metric=f"{record['stage']} of {record['product']}",
            value=None,
            unit="",
            limit=UNMADE if only_unmade(record) else "",
            verdict="warn",
            reason=f"{record['product']} ({record['stage']}): {record['reason']}",
        )
        for record in records
        if record["verdict"] == "warn"
    ]


def worst(checks: Sequence[Check]) -> str:
    """The worst verdict of `checks` (``pass`` for none)."""
    return max((c.verdict for c in checks), key=VERDICTS.index, default="pass")
