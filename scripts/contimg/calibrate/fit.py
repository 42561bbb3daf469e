"""How well data agree with a model, and data corrected by gains: what refinement stands on.

All is judged by the ratio of every baseline, integration and correlation, over the whole band:
c = sum(w D M*) / sum(w |M|^2), of variance s^2 / sum(w |M|^2), with s^2 the variance of a sample
of unit weight. Right gains make c the same number everywhere; the scale of the model drops out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.ms import Axes, open_table


@dataclass(frozen=True)
class State:
    """Agreement of data and model; arrays are (time, baseline, corr) unless said otherwise."""

    power: NDArray[np.float64]  # sum over channels of w |M|^2
    weight: NDArray[np.float64]  # sum over channels of w
    ant1: NDArray[np.int64]  # (baseline,)
    ant2: NDArray[np.int64]
    alive: NDArray[np.bool_]  # (antenna, corr) has unflagged data
    variance: float  # of a sample of unit weight
    flagged: float  # fraction of the data
    snr: float  # of the model in all of the data
    chi2: float  # reduced; about 1 when only noise is left

    @property
    def numbers(self) -> int:
        """Two of every baseline and correlation with data: what a wrong model is wrong by."""
        return int(2 * (self.power.sum(axis=0) > 0).sum())

    def signal(self, times: int) -> float:
        """Signal to noise ratio of the model in the data of the median feed in `times`."""
        each = np.zeros(self.alive.shape)
        mean = self.power.sum(axis=0) * times / self.power.shape[0]
        np.add.at(each, self.ant1, mean)
        np.add.at(each, self.ant2, mean)
        return float(np.sqrt(np.median(each[self.alive]) / self.variance))


def measure(ms: Path, axes: Axes, variance: float | None = None, parameters: int = 0) -> State:
    """Compare DATA and MODEL_DATA; `parameters` (real) were fitted, `variance` is known if given.

    The variance comes from differences between neighbouring integrations, where sources that the
    model lacks nearly cancel; the median keeps interference out.
    """
    n_base = axes.shape[1]
    shape = (*axes.shape, 2)
    power, cross, weight = np.zeros(shape), np.zeros(shape, complex), np.zeros(shape)
    noise, flagged, previous = [], 0.0, None
    with open_table(ms) as table:
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            good = ~table.getcol("FLAG", **rows)
            data, model = table.getcol("DATA", **rows), table.getcol("MODEL_DATA", **rows)
            w = good * table.getcol("WEIGHT", **rows)[:, None, :]
            flagged += 1 - good.mean()
            power[time] = (w * np.abs(model) ** 2).sum(axis=1)
            cross[time] = (w * data * model.conj()).sum(axis=1)
            weight[time] = w.sum(axis=1)
            left = data - model
            if previous is not None:
                both = (w > 0) & (previous[1] > 0)
                spread = 1 / w[both] + 1 / previous[1][both]
                if both.any():
                    change = np.abs(left[both] - previous[0][both]) ** 2
                    noise.append(np.median(change / spread) / np.log(2))
            previous = left, w
    if variance is None:
        variance = float(np.mean(noise)) if noise else np.nan
    seen = power > 0
    ratio = cross / np.where(seen, power, 1)
    scale = cross.sum(axis=(0, 1)).real / np.maximum(power.sum(axis=(0, 1)), 1e-300)
    excess = float((np.abs(ratio - scale) ** 2 * power)[seen].sum())
    free = max(seen.sum() - (parameters + 2) / 2, 1)
    alive = np.zeros((len(axes.antenna_names), 2), bool)
    for antennas in (axes.ant1, axes.ant2):
        np.logical_or.at(alive, antennas, seen.any(axis=0))
    return State(
        *(power, weight, axes.ant1, axes.ant2, alive, variance),
        flagged=flagged / axes.mjd.size,
        snr=float(cross.sum().real / np.sqrt(power.sum() * variance / 2)),
        chi2=excess / (variance * free),
    )


def anchored(gains: NDArray[np.complex128], state: State) -> NDArray[np.complex128]:
    """Gains (time, antenna, corr) without what all antennas share; feeds that are NaN get 1.

    The phase of the antennas' mean is zero at each time and in each correlation. The mean of the
    amplitude of g_p g_q over times and baselines, weighted as the data are, is 1 in each
    correlation.
    """
    solved = np.isfinite(gains) & state.alive
    gains = np.where(solved, gains, 1)
    unit = np.where(solved, gains / np.abs(gains), 0).sum(axis=1, keepdims=True)
    gains = np.where(solved, gains * np.exp(-1j * np.angle(unit)), gains)
    size = np.abs(gains)
    product = size[:, state.ant1] * size[:, state.ant2]
    total = state.weight.sum(axis=(0, 1))
    mean = (product * state.weight).sum(axis=(0, 1)) / np.where(total > 0, total, 1)
    return gains / np.sqrt(np.where(mean > 0, mean, 1))


def correct(ms: Path, axes: Axes, gains: NDArray[np.complex128], *, weigh: bool) -> None:
    """Divide DATA by g_p conj(g_q), gains (time, antenna, corr); scale WEIGHT too if `weigh`."""
    n_base = axes.shape[1]
    with open_table(ms, writable=True) as table:
        spectrum = weigh and "WEIGHT_SPECTRUM" in table.colnames()
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            pair = gains[time, axes.ant1] * gains[time, axes.ant2].conj()
            table.putcol("DATA", table.getcol("DATA", **rows) / pair[:, None], **rows)
            if not weigh:
                continue
            power = np.abs(pair) ** 2
            weight = table.getcol("WEIGHT", **rows) * power
            table.putcol("WEIGHT", weight, **rows)
            table.putcol("SIGMA", table.getcol("SIGMA", **rows) / np.sqrt(power), **rows)
            if spectrum:
                each = table.getcol("WEIGHT_SPECTRUM", **rows) * power[:, None]
                table.putcol("WEIGHT_SPECTRUM", each, **rows)
