"""Flux densities of the sources around a calibrator, fitted to its transit and not believed.

Gains solved with a wrong flux density of a field source take up part of the misfit: the source is
pulled towards its catalogued flux density in everything that they calibrate, and the calibrator
gets ghosts about it. So the catalogue gives places and spectra, and the data the levels: from a
sample of the band

1. gains of every block and correlation, and their phases in time, from the model as it stands;
2. flux densities of all field sources together by maximum likelihood
   (:mod:`contimg.core.fluxfit`), that of the calibrator fixed: it alone is the anchor;
3. those of bright sources in every block, where they are not what the catalogue's spectrum makes of
   the whole (a source behind a lens): they are sources with a spectrum of their own from then on;

again until nothing moves by more than a tenth of its error. A source keeps its catalogued flux
density where the data know nothing better: below five sigma and without contradiction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate.flux_scale import Sample, sampled, solve_sample
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import FITTED, at_level, flux_density
from contimg.core.coords import distinct
from contimg.core.fluxfit.design import Design, design
from contimg.core.fluxfit.solve import Solution, fit, residuals
from contimg.core.fluxfit.sweep import Arrays, model_of
from contimg.core.ms import Axes
from contimg.core.records import Check, check
from contimg.core.spectra import CATALOGUED, OWN, deviation, parabola

_ROUNDS = 20
_SETTLED = 0.1  # of an error
_KNOWN = 5.0  # sigma from which the data say more than the catalogue
_BRIGHT = 20.0  # sigma from which a source may have a spectrum that the catalogue does not know
_OTHER_SPECTRUM = 4.0  # chi^2 a block, from which a slope and a curvature are not all of it
_NEAR = 3.0  # errors that fluxes may still move by when spectra are looked at
_FAINTEST_FACTOR = 0.01
_SAME_RAD = np.radians(5 / 3600)
_FAINTEST_JY = 1e-6  # of a source that the data say is not there


@dataclass(frozen=True)
class FieldFit:
    """The model as fitted; arrays (source,), calibrator first, hold in the middle of the band."""

    sources: pd.DataFrame  # the model, to solve with
    catalogued_jy: NDArray[np.float64]
    fitted_jy: NDArray[np.float64]  # NaN for what was not fitted
    error_jy: NDArray[np.float64]
    block_hz: NDArray[np.float64]  # (block,)
    block_factor: NDArray[np.float64]  # (block, source): fitted spectrum over the catalogue's shape
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
            "block_mhz": (self.block_hz / 1e6).round(3).tolist(),
            "sources": [self._source(k) for k in rows],
        }

    def _source(self, k: int) -> dict[str, Any]:
        """One of them; with `factor` a block where its spectrum is not the catalogue's."""
        factor = self.block_factor[:, k]
        return {
            "name": str(self.sources["name"].iloc[k]),
            "catalogued_jy": round(float(self.catalogued_jy[k]), 6),
            "fitted_jy": round(float(self.fitted_jy[k]), 6),
            "error_jy": round(float(self.error_jy[k]), 6),
            "beam": round(float(self.response[k]), 4),
            **({} if (factor == 1).all() else {"factor": factor.round(4).tolist()}),
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
    base = design(sources, beam, thin, unit_hz=middle)
    catalogued = flux_density(sources, middle)[:, 0]
    place = np.radians(sources[["ra_deg", "dec_deg"]].to_numpy().T)
    fixed = ~distinct(*place, _SAME_RAD)
    fixed[0] = True
    flux, fitted, error = catalogued, np.full(len(sources), np.nan), np.full(len(sources), np.nan)
    spectra = _Spectra(sources, beam, thin, middle)
    known = np.zeros(len(sources), bool)
    phase, first, moved, rounds = None, None, np.inf, 0
    while moved > _SETTLED and rounds < _ROUNDS:
        rounds += 1
        model = replace(base, amplitude=base.amplitude * spectra.by_source())
        gain, phase = solve_sample(sample, visibilities(model, flux), phase)
        first = gain if first is None else first
        data = _corrected(sample, gain, phase)
        # what has a spectrum of its own is fitted by blocks alone
        held = fixed | spectra.own
        found = fit(model, data, start=flux, fixed=held, tolerance=0.03)
        fitted = np.where(fixed, np.nan, found.flux_jy)
        error = np.where(fixed, np.nan, np.where(held, error, found.error_jy))
        known |= _known(catalogued, fitted, error)  # none goes back, or it might go on for ever
        before, flux = flux, np.where(known, np.maximum(fitted, _FAINTEST_JY), catalogued)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = float(np.nanmax(np.abs(flux - before) / error, initial=0.0))
        if moved < _NEAR:
            looked = spectra.refine(model, data, np.where(known, fitted, 0.0), error, flux)
            moved = max(moved, looked)
    level = spectra.levelled()
    flux, fitted = flux * level, fitted * level
    amplitude, turn = _changes(first, gain)
    return FieldFit(
        sources=spectra.noted(at_level(sources, flux, middle)),
        catalogued_jy=catalogued,
        fitted_jy=fitted,
        error_jy=error,
        block_hz=thin.freq_hz,
        block_factor=spectra.factor,
        response=base.amplitude.mean(axis=(0, 2)),
        rounds=rounds,
        moved=moved,
        amplitude_rms=amplitude,
        phase_rms_deg=turn,
    )


class _Spectra:
    """What bright sources are in every block of the band over what the catalogue makes of them.

    `factor` (block, source) is one but for sources whose blocks differ by more than noise; `kind`
    (source,) says how much, is decided in every round, and never taken back.
    """

    def __init__(self, sources: pd.DataFrame, beam: PrimaryBeam, axes: Axes, unit: float) -> None:
        self.sources, self.beam, self.axes, self.unit = sources, beam, axes, unit
        self.factor = np.ones((axes.freq_hz.size, len(sources)))
        self.kind = np.full(len(sources), CATALOGUED)

    @property
    def own(self) -> NDArray[np.bool_]:
        """Sources (source,) that are not fitted with the catalogue's spectrum."""
        return self.kind != CATALOGUED

    def by_source(self) -> NDArray[np.float32]:
        """(1, source, block), for the amplitudes of a design."""
        return self.factor.T[None].astype(np.float32)

    def refine(
        self, model: Design, data: Arrays, fitted: NDArray, error: NDArray, flux: NDArray
    ) -> float:
        """Factors of the next round from fits in every block; how far they moved, in errors.

        `model` is that of this round, `fitted` and `error` (source,) what it gave; what is taken
        out of `data` of the other sources is `flux`.
        """
        with np.errstate(invalid="ignore"):
            bright = np.flatnonzero((fitted > _BRIGHT * error) | self.own)
        if not bright.size:
            return 0.0
        found = self._by_block(model, data, bright, flux)
        part, each = found.part_flux_jy, found.part_error_jy
        hz = self.axes.freq_hz
        kind = deviation(
            *(hz, found.flux_jy, found.error_jy, part, each),
            least_snr=_BRIGHT,
            chi2=_OTHER_SPECTRUM,
        )
        self.kind[bright] = np.maximum(self.kind[bright], kind)
        moved = 0.0
        for place, row in enumerate(bright):
            if self.kind[row] == CATALOGUED:
                continue
            its, error = part[:, place], each[:, place]
            if self.kind[row] != OWN:
                its = parabola(hz, its, error)
            with np.errstate(invalid="ignore", divide="ignore"):
                moved = max(moved, float(np.nanmax(np.abs(its - flux[row]) / error, initial=0.0)))
            ratio = np.where(np.isfinite(its), its, flux[row]) / flux[row]
            self.factor[:, row] = np.maximum(self.factor[:, row] * ratio, _FAINTEST_FACTOR)
        return moved

    def _by_block(self, model: Design, data: Arrays, rows: NDArray, flux: NDArray) -> Solution:
        """Sources `rows` in each block, the others taken out as they are."""
        others = flux.copy()
        others[rows] = 0
        left = [block.data for block in residuals(model, data, others)]
        alone = design(self.sources.iloc[rows], self.beam, self.axes, unit_hz=self.unit)
        return fit(
            replace(alone, amplitude=model.amplitude[:, rows]),
            Arrays(np.stack(left).astype(np.complex64), data.weight),
            parts=len(self.factor),
            start=flux[rows],
            tolerance=0.03,
        )

    def levelled(self) -> NDArray[np.float64]:
        """(source,) the mean factor over the band, which is taken out."""
        level = self.factor.mean(axis=0)
        self.factor = self.factor / level
        return level

    def noted(self, table: pd.DataFrame) -> pd.DataFrame:
        """`table` of the sources with the fitted spectra."""
        ghz = self.axes.freq_hz / 1e9
        text = [
            " ".join(f"{at:.9f}:{value:.6f}" for at, value in zip(ghz, factor, strict=True))
            if own
            else ""
            for factor, own in zip(self.factor.T, self.own, strict=True)
        ]
        result = table.assign(**{FITTED: text})
        result.attrs = table.attrs
        return result


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
