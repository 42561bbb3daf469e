"""Declination strips: groups that point alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contimg.core.groups import Group


def strip_deg(group: Group) -> float:
    """Pointing declination [deg]: apparent for a drift scan, ICRS for a tracked field."""
    return group.dec_app_deg if group.dec_app_deg is not None else group.dec_deg


def linked(values: NDArray[np.float64], tolerance: float) -> NDArray[np.int64]:
    """Number of the cluster of each value; neighbours within `tolerance` are in one cluster.

    Unlike rounding, this never separates values that differ by less than the tolerance.
    """
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order]) > tolerance
    numbers = np.empty(len(values), dtype=np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(steps)])[: len(values)]
    return numbers


def strips(groups: Sequence[Group], tolerance_deg: float) -> NDArray[np.int64]:
    """Number of each group's strip, from south to north."""
    return linked(np.array([strip_deg(g) for g in groups], dtype=float), tolerance_deg)
