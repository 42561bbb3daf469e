"""The simulated sky: a calibrator, constant sources, one lensed source and one variable."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from contimg.core.catalog import flux_density
from contimg.core.coords import j2000_name, j2000_seconds, separation
from contimg.core.errors import ContimgError
from contimg.core.groups import Group
from contimg.simulate.options import SimulateOptions, random
from contimg.simulate.schedule import BAND_MAX_HZ, BAND_MIN_HZ, first_transit

KINDS = ("calibrator", "ese", "variable", "field")
REF_FREQ_HZ = 1.405e9
# The two variable sources lie in this ring about the calibrator: inside the beam of its tile,
# outside the brightest side lobes.
_RING_DEG = (0.3, 0.5)
# Beyond this distance in lens sizes exp(-u^2) leaves nothing of the lens.
_LENS_REACH = 10.0
_LENS_NODES = 33
_TRIES_PER_SOURCE = 2000


def make_sky(simulate: SimulateOptions, groups: list[Group]) -> pd.DataFrame:
    """The catalogue: columns of :mod:`contimg.core.catalog` and ``kind``; unlensed fluxes."""
    ra, dec = _positions(simulate, groups)
    n_field = simulate.field_sources
    rng = random(simulate, "fluxes")
    flux = np.concatenate(
        [
            [simulate.calibrator_flux_jy, simulate.ese_flux_jy, simulate.variable_flux_jy],
            _fluxes(simulate, rng.random(n_field)),
        ]
    )
    index = rng.normal(simulate.spectral_index_mean, simulate.spectral_index_scatter, 3 + n_field)
    index[0] = simulate.calibrator_spectral_index
    return pd.DataFrame(
        {
            "name": unique_names(ra, dec),
            "ra_deg": ra,
            "dec_deg": dec,
            "flux_jy": flux,
            "ref_freq_hz": REF_FREQ_HZ,
            "spectral_index": index,
            "log_poly": "",
            "kind": [*KINDS[:3], *["field"] * n_field],
        }
    )


def flux_factor(
    simulate: SimulateOptions, kind: str, mjd: float, freq_hz: ArrayLike
) -> NDArray[np.float64]:
    """Flux of a source of that kind over its catalogue flux, at every frequency.

    ``ese``: a Gaussian plasma lens that crosses the source with u = (t - t_mid) / t_a (Clegg,
    Fey & Lazio 1998, ApJ 496, 253). ``variable``: an achromatic sinusoid. Others: one.
    """
    freq = np.atleast_1d(np.asarray(freq_hz, dtype=float))
    if kind == "ese" and simulate.ese_alpha > 0:
        mid = first_transit(simulate) + simulate.ese_mid_epoch * simulate.cadence_days
        return _lens_gain(simulate, (mjd - mid) / simulate.ese_time_days, freq)
    if kind == "variable":
        phase = 2 * np.pi * (mjd - first_transit(simulate)) / simulate.variable_period_days
        return np.full(freq.shape, 1 + simulate.variable_amplitude * math.sin(phase))
    return np.ones(freq.shape)


def true_flux(
    simulate: SimulateOptions, sky: pd.DataFrame, mjd: float, freq_hz: ArrayLike
) -> NDArray[np.float64]:
    """Flux density [Jy] at `mjd` (UTC) of every source (rows) at every frequency (columns)."""
    if "kind" not in sky.columns:
        raise ContimgError("the simulated catalogue lacks the column kind; run simulate-sky")
    flux = flux_density(sky, freq_hz)
    for row, kind in enumerate(sky["kind"]):
        if kind in ("ese", "variable"):
            flux[row] *= flux_factor(simulate, kind, mjd, freq_hz)
    return flux


def unique_names(ra_deg: ArrayLike, dec_deg: ArrayLike) -> list[str]:
    """``Jhhmm+ddmm``; from the second source of a name on ``Jhhmmss+ddmmss``, then a letter."""
    names: list[str] = []
    taken: set[str] = set()
    for ra, dec in zip(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg), strict=True):
        long = j2000_seconds(float(ra), float(dec))
        options = [j2000_name(float(ra), float(dec)), long, *(long + c for c in "abcdefgh")]
        name = next((option for option in options if option not in taken), None)
        if name is None:
            raise ContimgError(f"too many sources at {long}; raise min_separation_arcsec")
        taken.add(name)
        names.append(name)
    return names


def _lens_gain(
    simulate: SimulateOptions, u_obs: float, freq_hz: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gain of the lensed source at `u_obs` lens sizes from the axis, at every frequency.

    The source size smooths the gain in frequency, so a few nodes over the band give all channels.
    """
    if abs(u_obs) > _LENS_REACH * (1 + simulate.ese_source_size):
        return np.ones(freq_hz.shape)
    from scipy.interpolate import CubicSpline

    from contimg.core.lens import alpha_at, smoothed_gain

    nodes = np.linspace(BAND_MIN_HZ, BAND_MAX_HZ, _LENS_NODES)
    gains = [
        float(smoothed_gain(u_obs, float(alpha), simulate.ese_source_size))
        for alpha in alpha_at(nodes, simulate.ese_alpha, REF_FREQ_HZ)
    ]
    return CubicSpline(nodes, gains)(freq_hz)


def _fluxes(simulate: SimulateOptions, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power-law counts between the limits, by inversion of the cumulative distribution [Jy]."""
    low, high = (s**-simulate.count_slope for s in (simulate.flux_min_jy, simulate.flux_max_jy))
    return (low + uniform * (high - low)) ** (-1 / simulate.count_slope)


def _positions(
    simulate: SimulateOptions, groups: list[Group]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS positions [deg] in the order calibrator, ese, variable, field; none is blended."""
    rng = random(simulate, "positions")
    found = [(simulate.calibrator_ra_deg, simulate.calibrator_dec_deg)]
    for _ in range(2):
        _place(simulate, found, lambda: _in_ring(simulate, rng))
    for _ in range(simulate.field_sources):
        _place(simulate, found, lambda: _in_strip(simulate, groups, rng))
    ra, dec = np.array(found).T
    return ra % 360, dec


def _place(simulate: SimulateOptions, found: list, draw) -> None:
    """Append a drawn position that keeps its distance from those found so far."""
    limit = math.radians(simulate.min_separation_arcsec / 3600)
    ra, dec = np.radians(np.array(found)).T
    for _ in range(_TRIES_PER_SOURCE):
        position = draw()
        if separation(*np.radians(position), ra, dec).min() >= limit:
            found.append(position)
            return
    raise ContimgError(
        f"no room for source {len(found) + 1}: {simulate.min_separation_arcsec:g} arcsec apart; "
        "lower field_sources or min_separation_arcsec, or raise field_radius_deg"
    )


def _in_ring(simulate: SimulateOptions, rng: np.random.Generator) -> tuple[float, float]:
    distance, angle = rng.uniform(*_RING_DEG), rng.uniform(0, 2 * np.pi)
    dec = simulate.calibrator_dec_deg + distance * math.cos(angle)
    ra = simulate.calibrator_ra_deg + distance * math.sin(angle) / math.cos(math.radians(dec))
    return ra, dec


def _in_strip(
    simulate: SimulateOptions, groups: list[Group], rng: np.random.Generator
) -> tuple[float, float]:
    """Uniform on the sky over the tiles' range in right ascension and declination."""
    radius = simulate.field_radius_deg
    # relative to the calibrator, so that a strip across 0h is one interval
    offsets = [(g.ra_deg - simulate.calibrator_ra_deg + 180) % 360 - 180 for g in groups]
    decs = [g.dec_deg for g in groups]
    margin = radius / math.cos(math.radians(np.mean(decs)))
    ra = simulate.calibrator_ra_deg + rng.uniform(min(offsets) - margin, max(offsets) + margin)
    low, high = math.radians(min(decs) - radius), math.radians(max(decs) + radius)
    return ra, math.degrees(math.asin(rng.uniform(math.sin(low), math.sin(high))))
