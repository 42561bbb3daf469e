"""Subband against subband: the calibrated data over the fitted model, amplitude and phase."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.core.fluxfit.sweep import Arrays, parts_of
from contimg.core.records import Check
from contimg.image.against import significant

_FEWEST = 2


class Ratio:
    """Sums over times of data times conjugated model, and of the model's power, by channel."""

    def __init__(self, n_channels: int) -> None:
        self.cross = np.zeros(n_channels, complex)
        self.power = np.zeros(n_channels)

    def add(self, blocks: Arrays, time: int, model: NDArray[np.complexfloating]) -> None:
        """One time; `model` (baseline, channel)."""
        weight = blocks.weight[time]
        self.cross += (weight * blocks.data[time] * model.conj()).sum(axis=0)
        self.power += (weight * np.abs(model) ** 2).sum(axis=0)

    def describe(self, subbands: int, noise: float) -> list[dict[str, Any]]:
        """Amplitude and phase of each subband with data; `noise` that of unit weight."""
        part = parts_of(self.power.size, min(subbands, self.power.size))
        found = []
        for number in range(int(part.max()) + 1):
            power = float(self.power[part == number].sum())
            if power <= 0:
                continue
            ratio = self.cross[part == number].sum() / power
            error = noise / np.sqrt(power)
            found.append(
                {
                    "subband": number,
                    "amplitude": round(float(np.abs(ratio)), 5),
                    "phase_deg": round(float(np.degrees(np.angle(ratio))), 3),
                    "error": round(float(error), 5),
                }
            )
        return found


def checks(found: list[dict[str, Any]], max_error: float) -> list[Check]:
    """The subband that is farthest from the others, in amplitude and in phase."""
    names = ("amplitude of a subband against the others", "phase of a subband against the others")
    limits = (max_error, float(np.degrees(max_error)))
    units = ("", "deg")
    if len(found) < _FEWEST:
        why = f"{len(found)} subbands with data and a model"
        return [
            significant(name, None, None, unit, warn_above=limit, why_not=why)
            for name, unit, limit in zip(names, units, limits, strict=True)
        ]
    error = np.array([item["error"] for item in found])
    size = np.array([item["amplitude"] for item in found])
    phase = np.array([item["phase_deg"] for item in found])
    result = []
    for name, unit, limit, values, sigma in (
        (names[0], units[0], limits[0], size / _others(size) - 1, error),
        (names[1], units[1], limits[1], phase - _others(phase), np.degrees(error)),
    ):
        worst = int(np.argmax(np.abs(values)))
        found_worst = (float(values[worst]), float(sigma[worst]))
        result.append(significant(name, *found_worst, unit, warn_above=limit, fail_above=3 * limit))
    return result


def _others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each value the median of all others."""
    return np.array([np.median(np.delete(values, k)) for k in range(values.size)])
