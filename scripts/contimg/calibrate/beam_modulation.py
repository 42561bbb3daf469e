"""Bright sources freed of what the drift through the beam does to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate.options import ApplyOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import at_level, read_sources, with_flux
from contimg.core.coords import distinct
from contimg.core.fluxfit.design import design
from contimg.core.fluxfit.solve import fit
from contimg.core.ms import Axes, open_table, read_axes
from contimg.core.predict import apparent_flux, beam_track, predict
from contimg.core.stokes import read_stokes_i, summed_weight

_CHANNELS = 32  # that the flux densities are fitted to
_SAME_RAD = np.radians(5 / 3600)


def remove_modulation(
    ms: Path, catalog: Path | None, beam: PrimaryBeam, options: ApplyOptions
) -> list[dict[str, Any]]:
    """Subtract what the drift through the beam does to bright sources; what they are.

    Only S (B(t) - mean B) is subtracted, which has no mean over the unflagged data: a source
    keeps the average flux density that was measured but no longer changes while the visibilities
    are put into one image, where that cannot be deconvolved. S is fitted to the data, of all
    sources together: the catalogue's has no part in it.
    """
    if catalog is None:
        return []
    axes = read_axes(ms)
    middle = float(axes.freq_hz.mean())
    sources, _ = with_flux(read_sources(catalog), axes.freq_hz)
    apparent = apparent_flux(sources, beam, middle, axes.pointing_rad)
    order = np.argsort(-apparent, kind="stable")
    sources = sources.iloc[order[apparent[order] >= options.drift_min_jy]]
    place = np.radians(sources[["ra_deg", "dec_deg"]].to_numpy().T)
    sources = sources[distinct(*place, _SAME_RAD)].reset_index(drop=True)
    if sources.empty:
        return []
    flux = _fitted(ms, axes, sources, beam)
    track = beam_track(sources, beam, np.array([middle]), axes.pointing_rad)[..., 0]
    with np.errstate(invalid="ignore"):  # of sources that the data do not see
        drifting = np.ptp(track, axis=0) * flux > options.drift_min_jy
    sources, flux = sources[drifting].reset_index(drop=True), flux[drifting]
    if sources.empty:
        return []
    _subtract(ms, axes, at_level(sources, flux, middle), beam)
    named = zip(sources["name"], flux, strict=True)
    return [{"name": str(name), "flux_jy": float(f)} for name, f in named]


def _fitted(ms: Path, axes: Axes, sources: pd.DataFrame, beam: PrimaryBeam) -> NDArray[np.float64]:
    """Flux densities in the middle of the band [Jy], NaN for what the data do not see."""
    n_chan = axes.freq_hz.size
    channels = np.unique(np.linspace(0, n_chan - 1, min(_CHANNELS, n_chan)).round().astype(int))
    # without smearing, as what is subtracted has none
    thin = dataclasses.replace(
        axes, freq_hz=axes.freq_hz[channels], width_hz=0.0, integration_s=0.0
    )
    model = design(sources, beam, thin, unit_hz=float(axes.freq_hz.mean()))
    return fit(model, read_stokes_i(ms, axes, channels), tolerance=0.1).flux_jy


def _subtract(ms: Path, axes: Axes, sources: pd.DataFrame, beam: PrimaryBeam) -> None:
    weight = summed_weight(ms, axes)
    n_base = axes.shape[1]
    with open_table(ms, writable=True) as table:
        for time, stokes_i in enumerate(predict(sources, beam, axes, weight)):
            rows = {"startrow": time * n_base, "nrow": n_base}
            data = table.getcol("DATA", **rows)
            table.putcol("DATA", data - stokes_i[..., None], **rows)
