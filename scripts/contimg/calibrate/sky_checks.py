"""The model that a calset was solved with, held against the sky that it was solved on.

A table of sources can be right in form and wrong all the same: in another unit, of another field,
or with most of it missing. Two figures tell:

* the part of the field's power (flux density squared, as it arrives in the visibilities) that the
  model holds: 1 - <R_x conj R_y> / <F_x conj F_y>, with F the corrected visibilities without the
  calibrator, R those without the whole model, x and y the two correlations, whose noise is
  independent and drops out;
* the ratio of catalogued to measured flux density of the field sources, the calibrator being the
  anchor (:mod:`contimg.calibrate.field`); where the field sets the scale, that of the calibrator.

A check that can not be made is a warning with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate.field import FieldFit, visibilities
from contimg.calibrate.flux_scale import sampled, solve_sample
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.fluxfit.design import design
from contimg.core.ms import Axes
from contimg.core.records import Check, check, not_made
from contimg.core.robust import robust_mean

HELD = "part of the field's power in the model"
RATIO = "catalogued over measured flux density of the field"
SCALE = "flux density of the calibrator over that of its table"
_HARM = 0.05  # of the calibrator; what is left out and above spoils gains and tiles
_SEEN = 5.0  # sigma of the field's power
_FAINT = 0.01  # of the calibrator; a field below drowns in errors of the gains
_COMPARED = 10.0  # sigma of the sources that are compared
_FEWEST = 3


@dataclass(frozen=True)
class Held:
    """How much of what is around the calibrator its model explains."""

    part: float  # of the field's power
    field_jy: float  # root of the field's power
    error_jy: float  # of that root, by noise
    calibrator_jy: float  # root of the calibrator's power

    def describe(self) -> dict[str, Any]:
        """What the record says."""
        return {key: round(float(value), 6) for key, value in vars(self).items()}


def measure_held(
    ms: Path,
    axes: Axes,
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    chosen: slice,
    uvrange: str,
) -> Held:
    """Power of the field, and of what `sources` (calibrator first) leave of it.

    From a sample of the band of the raw data in `ms`, in integrations `chosen`, on the baselines
    of the CASA selection `uvrange`, with gains solved here.
    """
    sample, thin = sampled(ms, axes, chosen, uvrange)
    middle = float(axes.freq_hz.mean())
    model = design(sources, beam, thin, unit_hz=middle)
    flux = flux_density(sources, middle)[:, 0]
    whole = visibilities(model, flux)
    alone = visibilities(model, np.where(np.arange(flux.size) == 0, flux, 0.0))
    gain, phase = solve_sample(sample, whole, None)
    sums = np.zeros(5)  # weight, field, what is left, variance of the field, calibrator
    for time, raw in enumerate(sample.data):
        pair = sample.pair(gain * phase[time])  # (block, corr, baseline)
        weight = sample.count[time] * np.abs(pair).prod(axis=1)
        data = raw / np.where(pair == 0, 1, pair)
        field = _product(data - alone[time][:, None])
        left = _product(data - whole[time][:, None])
        sums += (
            weight.sum(),
            (weight * field.real).sum(),
            (weight * left.real).sum(),
            ((weight * field.imag) ** 2).sum(),
            (weight * np.abs(alone[time]) ** 2).sum(),
        )
    total, power, rest, variance, calibrator = sums
    root = np.sqrt(max(power, 0.0) / total)
    error = np.sqrt(variance) / total
    return Held(
        part=float(1 - rest / power) if power > 0 else 0.0,
        field_jy=float(root),
        error_jy=float(error / (2 * root)) if root > 0 else float(np.sqrt(error)),
        calibrator_jy=float(np.sqrt(calibrator / total)),
    )


def _product(values: NDArray) -> NDArray:
    """One correlation times the conjugate of the other, of (block, corr, baseline)."""
    return values[:, 0] * values[:, 1].conj()


def sky_checks(field: FieldFit | None, held: Held | None, kind: str) -> list[Check]:
    """Both checks, of a model of the kind `kind`; what is None could not be measured."""
    other = f"the model is of the kind {kind}, not of a catalogue"
    if kind != "catalog":
        return [not_made(HELD, other), not_made(RATIO, other)]
    alone = "no catalogued source around the calibrator is in the model"
    return [_held(held, alone, of_field=field is not None), _ratio(field, alone)]


def scale_check(factor: float) -> Check:
    """The calibrator as the field has it: no source varies by what a wrong unit makes of it."""
    return check(SCALE, factor, warn_below=0.5, warn_above=2.0, fail_below=0.1, fail_above=10.0)


def _held(held: Held | None, reason: str, *, of_field: bool) -> Check:
    """`of_field`: whether the model has anything but the calibrator."""
    if held is None:
        return not_made(HELD, reason)
    if held.field_jy < max(_FAINT * held.calibrator_jy, _SEEN * held.error_jy):
        return not_made(
            HELD,
            f"no field is seen: {held.field_jy:.3g} +- {held.error_jy:.2g} Jy beside"
            f" {held.calibrator_jy:.3g} Jy",
        )
    left = held.field_jy * np.sqrt(max(1 - held.part, 0.0))
    harm = left > _HARM * held.calibrator_jy
    if not of_field and not harm:
        seen = f"{held.field_jy:.3g} Jy are seen around {held.calibrator_jy:.3g} Jy"
        return not_made(HELD, f"{reason}; {seen}")
    return check(HELD, held.part, warn_below=0.7, fail_below=0.25 if harm else None)


def _ratio(field: FieldFit | None, reason: str) -> Check:
    if field is None:
        return not_made(RATIO, reason)
    with np.errstate(invalid="ignore"):
        bright = np.maximum(field.fitted_jy, field.catalogued_jy) > _COMPARED * field.error_jy
    if bright.sum() < _FEWEST:
        return not_made(
            RATIO, f"{bright.sum()} field sources of {_COMPARED:g} sigma, {_FEWEST} are needed"
        )
    catalogued = field.catalogued_jy[bright]
    mean, error, _ = robust_mean(
        field.fitted_jy[bright] / catalogued, field.error_jy[bright] / catalogued
    )
    sure = abs(mean - 1) > 3 * error
    return check(
        RATIO,
        1 / mean if mean > 0 else np.inf,
        warn_below=0.85 if sure else None,
        warn_above=1.15 if sure else None,
        fail_below=0.5,
        fail_above=2.0,
    )
