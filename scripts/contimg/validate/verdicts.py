"""Collecting the checks of one file, group or Measurement Set, whatever the reader meets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from contimg.core.isolate import READ_ERRORS, explain
from contimg.core.records import Check, check, worst
from contimg.core.tables.antennas import AntennaTable


@dataclasses.dataclass(frozen=True)
class Settings:
    """Limits and references of the checks."""

    quick: bool
    n_times: int | None
    telescope: str
    subbands: int
    band_hz: tuple[float, float] | None
    max_clock_offset_s: float
    uvw_tolerance_m: float
    min_usable: float
    warn_usable: float
    positions: AntennaTable | None


@dataclasses.dataclass
class Subject:
    """What was looked at, its checks, and the facts that other checks need."""

    name: str
    kind: str  # file, group or ms
    path: str = ""
    checks: list[Check] = dataclasses.field(default_factory=list)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)  # arrays for the group's checks
    data: dict[str, Any] = dataclasses.field(default_factory=dict)  # what the record keeps

    @property
    def verdict(self) -> str:
        """The worst verdict of the checks."""
        return worst(self.checks)

    def limit(self, metric: str, value: float, unit: str = "", **limits: Any) -> None:
        """Hold a value against limits (see :func:`contimg.core.records.check`)."""
        self._append(check(metric, value, unit, **limits))

    def hold(
        self,
        metric: str,
        good: bool,
        reason: str,
        *,
        otherwise: str = "fail",
        value: float | None = None,
        unit: str = "",
        limit: str = "",
    ) -> bool:
        """A condition: pass when `good`, else verdict `otherwise` with the reason."""
        verdict = "pass" if good else otherwise
        self._append(Check(metric, value, unit, limit, verdict, "" if good else reason))
        return good

    @contextlib.contextmanager
    def attempt(self, metric: str) -> Iterator[None]:
        """Whatever a reader raises in this block becomes a failed check."""
        try:
            yield
        except READ_ERRORS as error:
            self._append(Check(metric, None, "", "readable", "fail", explain(error)))

    def _append(self, item: Check) -> None:
        reason = f"{self.name}: {item.reason}" if item.reason else ""
        self.checks.append(dataclasses.replace(item, reason=reason))
