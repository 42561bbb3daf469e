"""The reference antenna: by name, healthy, and why this one."""

from __future__ import annotations

from typing import Any

import numpy as np

from contimg.calibrate.health import Finding, Look
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import Axes

_OFFERED = 5  # CASA takes the next one where the first has no data
_STEADY_DEG = 10.0


def rank(
    seen: Look, findings: list[Finding], axes: Axes, prefer: list[str]
) -> list[dict[str, Any]]:
    """All antennas without a finding, best first, with what they were judged by.

    The score is the product of the unflagged part, of the amplitude's nearness to the array's,
    of the signal-to-noise ratio over the array's (at most 1), and of terms that fall with the
    wander of the phase and with the distance from the middle of the array, each to a half at
    10 degrees and at the farthest antenna; of the two correlations the worse one counts. Antennas
    of `prefer` come before all others, in its order.
    """
    bad = {finding.antenna for finding in findings}
    positions = axes.antenna_positions_m[seen.antennas]
    distance = np.linalg.norm(positions - np.median(positions, axis=0), axis=1)
    nearness = np.minimum(seen.level, 1 / np.maximum(seen.level, 1e-6)).min(axis=1)
    snr = 1 / np.maximum(seen.noise.max(axis=1), 1e-6)
    phase = seen.phase_rms_deg.max(axis=1)
    unflagged = seen.unflagged.min(axis=1)
    healthy = [i for i, a in enumerate(seen.antennas) if int(a) not in bad]
    typical = np.median(snr[healthy]) if healthy else 1.0
    ranking = []
    for index in healthy:
        score = (
            unflagged[index]
            * nearness[index]
            * min(snr[index] / typical, 1)
            / (1 + (phase[index] / _STEADY_DEG) ** 2)
            / (1 + distance[index] / distance.max())
        )
        ranking.append(
            {
                "antenna": axes.antenna_names[seen.antennas[index]],
                "score": round(float(score), 4),
                "unflagged": round(float(unflagged[index]), 4),
                "level": [round(float(x), 4) for x in seen.level[index]],
                "snr": round(float(snr[index]), 1),
                "phase_rms_deg": round(float(phase[index]), 2),
                "distance_m": round(float(distance[index]), 1),
            }
        )

    def order(row: dict[str, Any]) -> tuple[int, float, str]:
        name = row["antenna"]
        return (
            prefer.index(name) if name in prefer else len(prefer),
            -row["score"],
            name,
        )

    return sorted(ranking, key=order)


def named(wanted: list[str], axes: Axes, prefix: str, option: str) -> list[str]:
    """Antennas asked for by name, as the MS calls them; a bare number is a name, not an index.

    :class:`ContimgError` when the array has no antenna of that name.
    """
    result = []
    for name in wanted:
        full = f"{prefix}{name}" if name.isdigit() else name
        if full not in axes.antenna_names:
            known = ", ".join(axes.antenna_names[:4])
            raise ContimgError(f"{option}: no antenna named {name}; there are {known}, ...")
        result.append(full)
    return result


def choose(wanted: list[str], ranking: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Reference antennas to offer CASA, best first; those wanted that are passed over."""
    healthy = [row["antenna"] for row in ranking]
    if not healthy:
        raise DataQualityError("no antenna responds to the calibrator in both correlations")
    passed = [name for name in wanted if name not in healthy]
    order = [name for name in wanted if name in healthy]
    order += [name for name in healthy if name not in order]
    return order[:_OFFERED], passed
