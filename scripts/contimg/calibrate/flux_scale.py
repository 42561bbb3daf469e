"""The flux density of a calibrator, measured against the catalogued sources around it.

A calibrator that varies has a known spectrum and position but no known level. Gains solved with a
wrong level make every other source wrong by the same factor, so the level is where the sources of
the field come out as catalogued. From a sample of the band, averaged over blocks of channels:

1. gains g of every block and correlation, and their phases in time, from the model as it stands;
2. amplitudes a of the calibrator, of each of the brightest field sources, and of all the rest
   together, in least squares: V_pq = g_p conj(g_q) sum_i a_i M_i;
3. the robust mean A of the a of the field sources; the model becomes M_i a_i / A, and 1 is next,
   until the calibrator stays the same.

Then a / A of the calibrator is its flux density over that of its table. The field sources are not
held to the catalogue one by one, so that one that is wrong spoils neither the gains nor (the mean
is robust) the scale. What is averaged is averaged alike in data and models, which takes care of
smearing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate.health import blocks, solve_gains
from contimg.calibrate.options import ScaleOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.errors import DataQualityError
from contimg.core.ms import Axes, open_table
from contimg.core.predict import apparent_flux, predict
from contimg.core.robust import robust_mean

_ROUNDS = 50
_SETTLED = 1e-4  # relative change of the calibrator


@dataclass(frozen=True)
class FluxScale:
    """What the field says of the calibrator."""

    factor: float  # flux density of the calibrator over that of its table
    error: float  # of the factor: noise and scatter of the field sources
    scatter: float  # relative, of the field sources beyond their noise
    iterations: int
    sources: list[dict[str, Any]]  # each field source: name, apparent flux density, amplitude

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio of the factor."""
        return self.factor / self.error

    def describe(self) -> dict[str, Any]:
        """What the record says."""
        return {
            "factor": round(self.factor, 5),
            "error": round(self.error, 5),
            "snr": round(self.snr, 1),
            "scatter": round(self.scatter, 4),
            "sources": len(self.sources),
            "iterations": self.iterations,
            "field": self.sources,
        }


@dataclass(frozen=True)
class Sample:
    """Averages over the channels of each block, for the cross-correlations in use."""

    data: NDArray[np.complex64]  # (time, block, corr, baseline)
    models: NDArray[np.complex64]  # (component, time, block, baseline) [Jy]
    count: NDArray[np.float32]  # (time, block, baseline) channels averaged
    first: NDArray[np.int64]  # (baseline,) antennas, counted from 0 without gaps
    second: NDArray[np.int64]

    def matrices(self, product: NDArray, weight: NDArray) -> tuple[NDArray, NDArray]:
        """(..., baseline) as Hermitian (..., antenna, antenna): product over weight, and weight."""
        n = int(max(self.first.max(), self.second.max())) + 1
        ratio = np.zeros((*product.shape[:-1], n, n), np.complex128)
        full = np.zeros(ratio.shape)
        value = product / np.where(weight > 0, weight, 1)
        ratio[..., self.first, self.second] = value
        ratio[..., self.second, self.first] = value.conj()
        full[..., self.first, self.second] = full[..., self.second, self.first] = weight
        return ratio, full

    def pair(self, gain: NDArray) -> NDArray:
        """g_p conj(g_q) of gains (..., antenna)."""
        return gain[..., self.first] * gain[..., self.second].conj()


def measure(
    ms: Path,
    axes: Axes,
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    chosen: slice,
    uvrange: str,
    options: ScaleOptions,
) -> FluxScale:
    """Flux scale of the calibrator, first of `sources`, from the others, in integrations `chosen`.

    `ms` holds the raw data with its flags; `uvrange` is a CASA selection. Raises
    :class:`DataQualityError` when the field has too few or too faint sources for it.
    """
    picked = _pick(sources, axes, beam, chosen, options)
    sample = _average(ms, axes, sources, beam, chosen, uvrange, picked)
    size = np.ones(len(sample.models))
    members = slice(1, 1 + picked.size)
    phase: NDArray | None = None
    iterations = 0
    while True:
        iterations += 1
        gain, phase = _gains(sample, size, phase)
        amplitude, error = _amplitudes(sample, gain, phase)
        mean, mean_error, scatter = robust_mean(amplitude[members], error[members])
        if not mean > 0:
            raise DataQualityError("flux scale: the field sources are not seen at all")
        before, size = size, amplitude / mean
        if abs(size[0] - before[0]) < _SETTLED * size[0]:
            break
        if iterations == _ROUNDS:
            raise DataQualityError(f"flux scale: not settled after {_ROUNDS} rounds")
    apparent = apparent_flux(sources, beam, float(axes.freq_hz.mean()), axes.pointing_rad)
    found = FluxScale(
        factor=float(size[0]),
        error=float(size[0] * np.hypot(mean_error / mean, error[0] / amplitude[0])),
        scatter=float(scatter / mean),
        iterations=iterations,
        sources=[
            {
                "name": str(sources["name"].iloc[row]),
                "apparent_jy": round(float(apparent[row]), 4),
                "measured_over_catalogue": round(float(size[1 + k]), 4),
                "error": round(float(error[1 + k] / mean), 4),
            }
            for k, row in enumerate(picked)
        ],
    )
    if not found.snr >= options.field_min_snr:
        raise DataQualityError(
            f"flux scale: {picked.size} field sources give the scale to {1 / found.snr:.1%},"
            f" {1 / options.field_min_snr:.1%} is asked for (flux_scale.field_min_snr)"
        )
    return found


def _pick(
    sources: pd.DataFrame, axes: Axes, beam: PrimaryBeam, chosen: slice, options: ScaleOptions
) -> NDArray[np.int64]:
    """Rows of the field sources that are fitted one by one, brightest first."""
    pointing = (axes.pointing_rad[0][chosen], axes.pointing_rad[1][chosen])
    freq = float(axes.freq_hz.mean())
    apparent = apparent_flux(sources, beam, freq, pointing)
    unit = sources.assign(flux_jy=1.0, ref_freq_hz=freq, spectral_index=0.0, log_poly="")
    response = apparent_flux(unit, beam, freq, pointing)
    order = np.argsort(-apparent, kind="stable")
    inside = [int(r) for r in order if r > 0 and response[r] >= options.field_min_pb]
    if len(inside) < options.field_min_sources:
        raise DataQualityError(
            f"flux scale: {len(inside)} catalogued sources where the beam is above"
            f" {options.field_min_pb:g}; at least {options.field_min_sources} are needed"
            " (flux_scale.field_min_sources)"
        )
    return np.array(inside[: options.field_max_sources])


def _average(
    ms: Path,
    axes: Axes,
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    chosen: slice,
    uvrange: str,
    picked: NDArray[np.int64],
) -> Sample:
    """Data, and models of the calibrator, of each picked source, and of the rest together."""
    width, starts = blocks(axes)
    first, second, cross = _pairs(axes)
    channels = np.concatenate([np.arange(start, start + width) for start in starts])
    thin = replace(_during(axes, chosen), freq_hz=axes.freq_hz[channels])
    rest = np.setdiff1d(np.arange(1, len(sources)), picked)
    groups = [[0], *([row] for row in picked), *([rest] if rest.size else [])]
    shape = (thin.mjd.size, len(starts), cross.size)
    data = np.zeros((*shape[:2], 2, cross.size), np.complex64)
    models = np.zeros((len(groups), *shape), np.complex64)
    count = np.zeros(shape, np.float32)
    selected = _selected(ms, uvrange, axes).reshape(axes.shape)[chosen][:, cross]
    predictions = [predict(sources.iloc[rows], beam, thin) for rows in groups]
    for time, (raw, good) in enumerate(_read(ms, axes, chosen, width, starts)):
        good = good[:, cross] & selected[time][:, None]  # (block, baseline, channel)
        count[time] = good.sum(axis=-1)
        norm = np.where(count[time] > 0, count[time], 1)
        data[time] = np.where(good[:, None], raw[:, :, cross], 0).sum(axis=-1) / norm[:, None]
        for number, prediction in enumerate(predictions):
            model = next(prediction)[cross].reshape(cross.size, len(starts), width)
            models[number, time] = np.where(good, model.swapaxes(0, 1), 0).sum(axis=-1) / norm
    return Sample(data, models, count, first, second)


def sampled(ms: Path, axes: Axes, chosen: slice, uvrange: str) -> tuple[Sample, Axes]:
    """Data alone, no models, and the axes of their blocks, cross-correlations only."""
    width, starts = blocks(axes)
    first, second, cross = _pairs(axes)
    during = _during(axes, chosen)
    thin = replace(
        during,
        ant1=axes.ant1[cross],
        ant2=axes.ant2[cross],
        uvw_m=during.uvw_m[:, cross],
        freq_hz=np.array([axes.freq_hz[start : start + width].mean() for start in starts]),
        # nothing smears: the model of the tables (core/predict.py) does not know it either
        width_hz=0.0,
        integration_s=0.0,
    )
    selected = _selected(ms, uvrange, axes).reshape(axes.shape)[chosen][:, cross]
    data, count = [], []
    for time, (raw, good) in enumerate(_read(ms, axes, chosen, width, starts)):
        good = good[:, cross] & selected[time][:, None]
        count.append(good.sum(axis=-1))
        norm = np.where(count[-1] > 0, count[-1], 1)
        data.append(np.where(good[:, None], raw[:, :, cross], 0).sum(axis=-1) / norm[:, None])
    shape = (0, thin.mjd.size, len(starts), cross.size)
    return (
        Sample(
            np.stack(data).astype(np.complex64),
            np.zeros(shape, np.complex64),
            np.stack(count).astype(np.float32),
            first,
            second,
        ),
        thin,
    )


def _pairs(axes: Axes) -> tuple[NDArray, NDArray, NDArray]:
    """Antennas, counted without gaps, of the cross-correlations, and the numbers of these."""
    antennas = np.union1d(axes.ant1, axes.ant2)
    first, second = (np.searchsorted(antennas, a) for a in (axes.ant1, axes.ant2))
    cross = np.flatnonzero(first != second)
    return first[cross], second[cross], cross


def _during(axes: Axes, chosen: slice) -> Axes:
    """Axes of some integrations."""
    return replace(
        axes,
        mjd=axes.mjd[chosen],
        uvw_m=axes.uvw_m[chosen],
        pointing_rad=(axes.pointing_rad[0][chosen], axes.pointing_rad[1][chosen]),
    )


def _read(
    ms: Path, axes: Axes, chosen: slice, width: int, starts: list[int]
) -> Iterator[tuple[NDArray, NDArray]]:
    """Of each time: data (block, corr, baseline, channel), and which are good in both
    correlations.
    """
    n_base = axes.shape[1]
    with open_table(ms) as table:
        for time in range(*chosen.indices(axes.mjd.size)):
            rows = {"startrow": time * n_base, "nrow": n_base}
            slices = [([start, 0], [start + width - 1, 1]) for start in starts]
            data = np.stack([table.getcolslice("DATA", *where, **rows) for where in slices])
            flags = np.stack([table.getcolslice("FLAG", *where, **rows) for where in slices])
            yield np.moveaxis(data, -1, 1), ~flags.any(axis=-1)


def _selected(ms: Path, uvrange: str, axes: Axes) -> NDArray[np.bool_]:
    """The rows of a CASA selection of baselines."""
    if not uvrange:
        return np.ones(axes.mjd.size * axes.ant1.size, bool)
    from casatools import ms as ms_tool

    tool = ms_tool()
    tool.open(str(ms))
    tool.msselect({"uvdist": uvrange})
    rows = tool.range(["rows"])["rows"]
    tool.done()
    selected = np.zeros(axes.mjd.size * axes.ant1.size, bool)
    selected[rows] = True
    return selected


def _gains(sample: Sample, size: NDArray, phase: NDArray | None) -> tuple[NDArray, NDArray]:
    """Gains (block, corr, antenna) of the whole time and phasors (time, corr, antenna)."""
    model = np.tensordot(size.astype(np.float32), sample.models, 1)
    return solve_sample(sample, model, phase)


def solve_sample(
    sample: Sample, model: NDArray, phase: NDArray | None
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Gains (block, corr, antenna) of the whole time and phasors (time, corr, antenna).

    `model` (time, block, baseline) [Jy]; `phase` are the phasors of an earlier call, None at first.
    """
    if phase is None:
        phase = np.ones((sample.data.shape[0], sample.data.shape[2], 1))
    model = model[:, :, None]
    product = sample.count[:, :, None] * sample.data * model.conj()
    power = sample.count[:, :, None] * np.abs(model) ** 2  # equal in both correlations
    n_antennas = int(max(sample.first.max(), sample.second.max())) + 1
    turn = sample.pair(np.broadcast_to(phase, (*phase.shape[:2], n_antennas)))[:, None]
    total = np.broadcast_to(power.sum(axis=0), product.shape[1:])
    gain = solve_gains(*sample.matrices((product * turn.conj()).sum(axis=0), total))
    pair = sample.pair(gain)
    course = solve_gains(
        *sample.matrices(
            (product * pair.conj()).sum(axis=1), (power * np.abs(pair) ** 2).sum(axis=1)
        )
    )
    return gain, np.where(course == 0, 1, course / np.where(course == 0, 1, np.abs(course)))


def _amplitudes(sample: Sample, gain: NDArray, phase: NDArray) -> tuple[NDArray, NDArray]:
    """Amplitudes (component,) in least squares and their errors, from the residuals."""
    n = len(sample.models)
    matrix, right, power, used = np.zeros((n, n)), np.zeros(n), 0.0, 0
    for time, data in enumerate(sample.data):
        pair = sample.pair(gain * phase[time])  # (block, corr, baseline)
        count = sample.count[time][:, None]
        weight = (count * np.abs(pair) ** 2).sum(axis=1)
        target = (count * pair.conj() * data).sum(axis=1)
        # real and imaginary parts side by side: only the real part of conj(a) b is wanted
        models = np.ascontiguousarray(sample.models[:, time]).reshape(n, -1).view(np.float32)
        matrix += (models * np.repeat(weight.ravel(), 2)) @ models.T
        right += models @ target.astype(np.complex64).ravel().view(np.float32)
        good = (pair != 0) & (count > 0)
        power += float(np.where(good, count * np.abs(data) ** 2, 0).sum())
        used += int(good.sum())
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        raise DataQualityError("flux scale: no unflagged data of the field sources") from None
    amplitude = inverse @ right
    variance = max(power - float(amplitude @ right), 0.0) / (2 * max(used - n, 1))
    return amplitude, np.sqrt(variance * np.diag(inverse))
