"""Flux densities of the sources around a calibrator, fitted to its transit and not believed.

Gains solved with a wrong flux density of a field source take up part of the misfit: the source is
pulled towards its catalogued flux density in everything that they calibrate, and the calibrator
gets ghosts about it. So the catalogue gives places and spectra, and the data the levels: from a
sample of the band

1. gains of every block and correlation, and their phases in time, from the model as it stands;
2. flux densities of all field sources together by maximum likelihood
   (:mod:`contimg.core.fluxfit`), that of the calibrator fixed: it alone is the anchor;

again until nothing moves by more than a tenth of its error. A source keeps its catalogued flux
density where the data know nothing better: below five sigma and without contradiction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate.flux_scale import Sample, sampled, solve_sample
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import at_level, flux_density
from contimg.core.coords import distinct
from contimg.core.fluxfit.design import Design, design
from contimg.core.fluxfit.solve import fit
from contimg.core.fluxfit.sweep import Arrays, model_of
from contimg.core.ms import Axes
from contimg.core.records import Check, check

_ROUNDS = 20
_SETTLED = 0.1  # of an error
_KNOWN = 5.0  # sigma from which the data say more than the catalogue
_SAME_RAD = np.radians(5 / 3600)
_FAINTEST_JY = 1e-6  # of a source that the data say is not there


@dataclass(frozen=True)
class FieldFit:
    """The model as fitted; arrays (source,), calibrator first, hold in the middle of the band."""

    sources: pd.DataFrame  # the model, to solve with
    catalogued_jy: NDArray[np.float64]
    fitted_jy: NDArray[np.float64]  # NaN for what was not fitted
    error_jy: NDArray[np.float64]
    response: NDArray[np.float64]  # of the beam, mean over the transit
    rounds: int
    moved: float  # in the last round, in errors
    amplitude_rms: float  # change of the gains from those of the catalogue's flux densities
    phase_rms_deg: float

    def describe(self) -> dict[str, Any]:
        """What the record says."""
        rows = np.flatnonzero(np.isfinite(self.fitted_jy))
        rows = rows[np.argsort(-self.fitted_jy[rows] * self.response[rows], kind="stable")]
        return {
            "rounds": self.rounds,
            "moved_sigma": round(self.moved, 4),
            "gain_amplitude_change_rms": round(self.amplitude_rms, 6),
            "gain_phase_change_rms_deg": round(self.phase_rms_deg, 4),
            "sources": [
                {
                    "name": str(self.sources["name"].iloc[k]),
                    "catalogued_jy": round(float(self.catalogued_jy[k]), 6),
                    "fitted_jy": round(float(self.fitted_jy[k]), 6),
                    "error_jy": round(float(self.error_jy[k]), 6),
                    "beam": round(float(self.response[k]), 4),
                }
                for k in rows
            ],
        }

    def settled(self) -> Check:
        """Has it settled?"""
        return check(
            "movement of the field's flux densities in the last round",
            self.moved,
            "errors",
            warn_above=_SETTLED,
        )


def fit_field(
    ms: Path,
    axes: Axes,
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    chosen: slice,
    uvrange: str,
) -> FieldFit:
    """Fit the sources after the first, the calibrator, in integrations `chosen` of the raw data.

    `uvrange` is a CASA selection. Raises :class:`contimg.core.errors.DataQualityError` when there
    is nothing to fit to.
    """
    sample, thin = sampled(ms, axes, chosen, uvrange)
    middle = float(axes.freq_hz.mean())
    model = design(sources, beam, thin, unit_hz=middle)
    catalogued = flux_density(sources, middle)[:, 0]
    place = np.radians(sources[["ra_deg", "dec_deg"]].to_numpy().T)
    fixed = ~distinct(*place, _SAME_RAD)
    fixed[0] = True
    flux, fitted, error = catalogued, np.full(len(sources), np.nan), np.full(len(sources), np.nan)
    known = np.zeros(len(sources), bool)
    phase, first, moved, rounds = None, None, np.inf, 0
    while moved > _SETTLED and rounds < _ROUNDS:
        rounds += 1
        gain, phase = solve_sample(sample, visibilities(model, flux), phase)
        first = gain if first is None else first
        found = fit(model, _corrected(sample, gain, phase), start=flux, fixed=fixed, tolerance=0.03)
        fitted = np.where(fixed, np.nan, found.flux_jy)
        error = np.where(fixed, np.nan, found.error_jy)
        known |= _known(catalogued, fitted, error)  # none goes back, or it might go on for ever
        before, flux = flux, np.where(known, np.maximum(fitted, _FAINTEST_JY), catalogued)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = float(np.nanmax(np.abs(flux - before) / error, initial=0.0))
    amplitude, turn = _changes(first, gain)
    return FieldFit(
        sources=at_level(sources, flux, middle),
        catalogued_jy=catalogued,
        fitted_jy=fitted,
        error_jy=error,
        response=model.amplitude.mean(axis=(0, 2)),
        rounds=rounds,
        moved=moved,
        amplitude_rms=amplitude,
        phase_rms_deg=turn,
    )


def _known(catalogued: NDArray, fitted: NDArray, error: NDArray) -> NDArray[np.bool_]:
    """Where the data know better than the catalogue."""
    with np.errstate(invalid="ignore"):
        return (fitted > _KNOWN * error) | (np.abs(fitted - catalogued) > _KNOWN * error)


def visibilities(model: Design, flux: NDArray) -> NDArray[np.complex64]:
    """Model of flux densities (source,) in a sample: (time, block, baseline) [Jy]."""
    return np.stack([block.T for block in model_of(model, flux)])


def _corrected(sample: Sample, gain: NDArray, phase: NDArray) -> Arrays:
    """Stokes I of the sample after the gains, and its weight."""
    data, weight = [], []
    for time, raw in enumerate(sample.data):
        pair = sample.pair(gain * phase[time])  # (block, corr, baseline)
        good = (pair != 0).all(axis=1)  # both correlations, as everywhere
        power = (np.abs(pair) ** 2).sum(axis=1)
        value = (pair.conj() * raw).sum(axis=1) / np.where(power > 0, power, 1)
        data.append(np.where(good, value, 0).T)
        weight.append((good * sample.count[time] * power).T)
    return Arrays(np.stack(data).astype(np.complex64), np.stack(weight).astype(np.float32))


def _changes(first: NDArray, last: NDArray) -> tuple[float, float]:
    """Rms change of gains (block, corr, antenna): relative amplitude, phase [deg]."""
    good = (first != 0) & (last != 0)
    ratio = np.where(good, last, 1) / np.where(good, first, 1)
    common = np.angle(np.where(good, ratio / np.abs(ratio), 0).sum(axis=-1, keepdims=True))
    ratio = (ratio * np.exp(-1j * common))[good]
    phase = np.degrees(np.angle(ratio))
    return float(np.sqrt(np.mean((np.abs(ratio) - 1) ** 2))), float(np.sqrt(np.mean(phase**2)))
