"""The predictor against a direct sum over sources, baseline by baseline."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from contimg.core import predict as module
from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines, separation
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import Axes
from contimg.core.predict import antenna_uvw, predict

CENTRE = (2.2, 0.97)


def made_axes(rng, antennas: int = 7, times: int = 3) -> Axes:
    ant1, ant2 = np.triu_indices(antennas, 1)
    position = rng.normal(size=(times, antennas, 3)) * 800
    drift = np.linspace(-0.01, 0.01, times)
    return Axes(
        mjd=60953.6 + np.arange(times) / 6700,
        integration_s=12.9,
        ant1=ant1,
        ant2=ant2,
        antenna_names=[f"A{i}" for i in range(antennas)],
        antenna_positions_m=position[0],
        uvw_m=position[:, ant1] - position[:, ant2],
        freq_hz=np.linspace(1.31e9, 1.5e9, 5),
        width_hz=3.8e7,
        phase_center_rad=CENTRE,
        pointing_rad=(CENTRE[0] + drift, np.full(times, CENTRE[1])),
    )


def made_sources(rng, number: int = 6) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": [f"s{i}" for i in range(number)],
            "ra_deg": np.degrees(CENTRE[0]) + rng.uniform(-2, 2, number),
            "dec_deg": np.degrees(CENTRE[1]) + rng.uniform(-1, 1, number),
            "flux_jy": rng.uniform(0.1, 5, number),
            "ref_freq_hz": 1.4e9,
            "spectral_index": rng.normal(-0.7, 0.3, number),
            "log_poly": "",
        }
    )


def direct(sources, beam, axes, mean=0.0) -> np.ndarray:
    """(time, baseline, channel), one source at a time."""
    total = np.zeros((*axes.shape, axes.freq_hz.size), complex)
    for i, s in enumerate(sources.itertuples()):
        ra, dec = np.radians([s.ra_deg, s.dec_deg])
        l_cos, m_cos, n_cos = direction_cosines(ra, dec, *axes.phase_center_rad)
        path = axes.uvw_m @ np.array([l_cos, m_cos, n_cos - 1])
        offset = separation(ra, dec, *axes.pointing_rad)
        response = beam.power(offset[:, None], axes.freq_hz)
        if not np.isscalar(mean):
            response = response - mean[i]
        flux = s.flux_jy * (axes.freq_hz / s.ref_freq_hz) ** s.spectral_index
        total += (flux * response)[:, None] * np.exp(
            2j * np.pi * path[..., None] * axes.freq_hz / C_M_S
        )
    return total


def test_against_a_direct_sum():
    rng = np.random.default_rng(2)
    axes, sources = made_axes(rng), made_sources(rng)
    beam = PrimaryBeam(InstrumentOptions())
    found = np.stack(list(predict(sources, beam, axes)))
    expected = direct(sources, beam, axes)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("defect", ["speed of light of 3e8", "no w", "flat spectra", "no beam"])
def test_a_classic_defect_is_noticed(monkeypatch, defect):
    rng = np.random.default_rng(2)
    axes, sources = made_axes(rng), made_sources(rng)
    beam = PrimaryBeam(InstrumentOptions())
    expected = direct(sources, beam, axes)
    if defect == "speed of light of 3e8":
        monkeypatch.setattr(module, "C_M_S", 3e8)
    elif defect == "no w":
        monkeypatch.setattr(
            module, "direction_cosines", lambda *a: (*direction_cosines(*a)[:2], np.ones(6))
        )
    elif defect == "flat spectra":
        sources = sources.assign(spectral_index=0.0)
    else:
        beam = PrimaryBeam(InstrumentOptions(beam_model="gaussian", beam_fwhm_deg=170))
    found = np.stack(list(predict(sources, beam, axes)))
    assert np.abs(found - expected).max() > 1e-2 * np.abs(expected).max()


def test_many_channels_lose_no_accuracy():
    """The phases of a run of channels come from one another; far sources turn fastest."""
    rng = np.random.default_rng(5)
    axes = dataclasses.replace(
        made_axes(rng, antennas=4, times=1), freq_hz=1.31e9 + np.arange(768) * 244140.625
    )
    sources = made_sources(rng).assign(dec_deg=np.degrees(CENTRE[1]) + np.linspace(-30, 30, 6))
    flat = PrimaryBeam(InstrumentOptions(beam_model="gaussian", beam_fwhm_deg=170))
    found = np.stack(list(predict(sources, flat, axes)))
    expected = direct(sources, flat, axes)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_uneven_channels():
    rng = np.random.default_rng(6)
    axes = dataclasses.replace(
        made_axes(rng), freq_hz=np.array([1.31e9, 1.32e9, 1.40e9, 1.41e9, 1.5e9])
    )
    sources, beam = made_sources(rng), PrimaryBeam(InstrumentOptions())
    expected = direct(sources, beam, axes)
    found = np.stack(list(predict(sources, beam, axes)))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_gaussians_against_many_points():
    """A Gaussian of 40 x 15 arcsec as a mesh of points, beside a point."""
    rng = np.random.default_rng(7)
    axes = made_axes(rng, antennas=5, times=2)
    axes = dataclasses.replace(axes, uvw_m=axes.uvw_m * 0.4)
    sources = made_sources(rng, number=2).assign(
        ra_deg=np.degrees(CENTRE[0]) + np.array([0.3, -0.2]),
        dec_deg=np.degrees(CENTRE[1]) + np.array([0.1, 0.2]),
        major_arcsec=[40.0, np.nan],
        minor_arcsec=[15.0, np.nan],
        pa_deg=[30.0, np.nan],
    )
    flat = PrimaryBeam(InstrumentOptions(beam_model="gaussian", beam_fwhm_deg=170))
    found = np.stack(list(predict(sources, flat, axes)))
    step = np.arange(-25, 26) * 0.16  # in standard deviations
    weight = np.exp(-0.5 * (step[:, None] ** 2 + step**2)).ravel()
    along, across = (a.ravel() for a in np.meshgrid(step, step, indexing="ij"))
    sigma = np.array([40.0, 15.0]) / np.sqrt(8 * np.log(2)) / 3600
    east = sigma[0] * along * np.sin(np.pi / 6) + sigma[1] * across * np.cos(np.pi / 6)
    north = sigma[0] * along * np.cos(np.pi / 6) - sigma[1] * across * np.sin(np.pi / 6)
    first = sources.iloc[[0] * weight.size].drop(columns=["major_arcsec", "minor_arcsec"])
    mesh = first.assign(
        ra_deg=first["ra_deg"] + east / np.cos(np.radians(first["dec_deg"])),
        dec_deg=first["dec_deg"] + north,
        flux_jy=first["flux_jy"] * weight / weight.sum(),
    )
    expected = direct(pd.concat([mesh, sources.iloc[1:]]), flat, axes)
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    unresolved = direct(sources, flat, axes)
    assert np.abs(unresolved - expected).max() > 0.3 * np.abs(expected).max()


def test_sources_without_flux_are_refused():
    rng = np.random.default_rng(8)
    sources = made_sources(rng)
    sources.loc[2, "flux_jy"] = np.nan
    with pytest.raises(ContimgError, match="1 sources without flux density or position: s2"):
        next(predict(sources, PrimaryBeam(InstrumentOptions()), made_axes(rng)))


def test_no_sources_give_nothing():
    rng = np.random.default_rng(9)
    axes = made_axes(rng)
    found = np.stack(list(predict(made_sources(rng, 0), PrimaryBeam(InstrumentOptions()), axes)))
    assert found.shape == (*axes.shape, axes.freq_hz.size) and not found.any()


def test_antennas_of_a_full_array_with_autocorrelations():
    """Where rounding makes the common shift of all antennas look like something to solve for."""
    rng = np.random.default_rng(10)
    position = rng.normal(size=(2, 96, 3)) * 800
    ant1, ant2 = np.triu_indices(96)
    uvw = position[:, ant1] - position[:, ant2]
    found, antennas = antenna_uvw(uvw, ant1, ant2)
    assert antennas.size == 96
    shift = found - position
    assert np.abs(shift - shift[:, :1]).max() < 1e-6


def test_modulation_has_no_weighted_mean_at_a_source():
    rng = np.random.default_rng(3)
    axes, sources = made_axes(rng, times=9), made_sources(rng, number=1)
    beam = PrimaryBeam(InstrumentOptions())
    weight = rng.uniform(0, 1, (9, axes.freq_hz.size))
    model = np.stack(list(predict(sources, beam, axes, weight)))
    unit = direct(sources.assign(flux_jy=1.0, spectral_index=0.0), beam, axes)
    phasor = unit / np.abs(unit)
    steady = (model * phasor.conj() * weight[:, None]).sum(axis=0)
    assert np.abs(steady).max() < 1e-5 * np.abs(model).max() * weight.sum(axis=0).max()
    assert np.abs(model).max() > 0.01 * sources["flux_jy"].iloc[0]


def test_uvw_that_do_not_close_are_refused():
    rng = np.random.default_rng(4)
    axes = made_axes(rng)
    axes.uvw_m[1, 2] += 1.0
    with pytest.raises(ContimgError, match="do not close"):
        antenna_uvw(axes.uvw_m, axes.ant1, axes.ant2)
