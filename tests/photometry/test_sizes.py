"""Elliptical Gaussians in the visibilities, against sources of known size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contimg.core.coords import north_of
from contimg.core.fluxfit.sizes import FWHM, Turned, fit_gaussian
from contimg.core.predict import gaussian_shapes

ARCSEC = np.radians(1 / 3600)


def observed(
    flux_jy: float, major: float, minor: float, pa: float, sigma_jy: float, seed: int
) -> Turned:
    """2,000 baselines of up to 5,000 wavelengths; axes [arcsec], position angle [deg]."""
    random = np.random.default_rng(seed)
    uv = random.normal(scale=1500, size=(2000, 2))
    angle = np.radians(pa)
    # u is to the east, v to the north; the major axis lies along (sin pa, cos pa)
    along = uv @ [np.sin(angle), np.cos(angle)] * major * ARCSEC / FWHM
    across = uv @ [np.cos(angle), -np.sin(angle)] * minor * ARCSEC / FWHM
    phase = 2 * np.pi * uv @ (np.array([1.0, -0.5]) * ARCSEC)
    value = flux_jy * np.exp(-2 * np.pi**2 * (along**2 + across**2) + 1j * phase)
    noise = random.normal(scale=sigma_jy, size=(2000, 2)) @ [1, 1j]
    return Turned(uv, value + noise, np.full(2000, sigma_jy**-2))


def test_a_gaussian_is_found():
    found = fit_gaussian(observed(0.5, 60.0, 25.0, 130.0, 0.01, 1))
    assert found.flux_jy == pytest.approx(0.5, rel=0.01)
    assert found.major_arcsec == pytest.approx(60, rel=0.02)
    assert found.minor_arcsec == pytest.approx(25, rel=0.05)
    assert found.pa_deg == pytest.approx(130, abs=1)
    assert found.step / ARCSEC == pytest.approx([1.0, -0.5], abs=0.2)
    assert found.chi2 > 1000


def test_errors_are_those_of_the_scatter():
    """Of 60 noises; with the size known they would be smaller by the inflation."""
    found = [fit_gaussian(observed(0.2, 30.0, 30.0, 0.0, 0.05, seed)) for seed in range(60)]
    flux = np.array([f.flux_jy for f in found])
    major = np.array([f.major_arcsec for f in found])
    formal = 0.05 / np.sqrt(2000)  # of a point
    assert flux.mean() == pytest.approx(0.2, abs=4 * flux.std() / np.sqrt(60))
    assert np.std(major) == pytest.approx(np.mean([f.size_error_arcsec for f in found]), rel=0.35)
    uv2 = 2 * 1500**2 * (30 * ARCSEC / FWHM) ** 2 * np.pi**2
    power = 1 / (1 + 4 * uv2)  # mean square of the Gaussian over the baselines
    known = formal / np.sqrt(power)
    assert np.mean([f.inflation for f in found]) * known == pytest.approx(flux.std(), rel=0.3)


def test_a_point_is_not_better_with_a_size():
    """2 (chi^2 of a point - chi^2 of a Gaussian) is small; three parameters more."""
    better = [fit_gaussian(observed(0.2, 0.0, 0.0, 0.0, 0.02, seed)).chi2 for seed in range(40)]
    assert np.max(better) < 25 and np.median(better) < 4


@pytest.mark.parametrize("dec0_deg", [0.0, 55.0, 80.0])
def test_position_angles_are_from_north_at_the_source(dec0_deg):
    """What is found in the plane of l and m, and the model that is made of it, are one Gaussian."""
    centre = np.radians([150.0, dec0_deg])
    place = np.radians([150.0 + 1.5 / np.cos(np.radians(dec0_deg)), dec0_deg + 1.0])
    pa = 37.0 - np.degrees(north_of(*place, *centre))  # as it is put into the model
    table = pd.DataFrame(
        {
            **{"ra_deg": [np.degrees(place[0])], "dec_deg": [np.degrees(place[1])]},
            **{"major_arcsec": [60.0], "minor_arcsec": [20.0], "pa_deg": [pa]},
        }
    )
    shape = gaussian_shapes(table, tuple(centre), 1e5)[0, :2]  # of u and v
    _, axes = np.linalg.eigh(shape @ shape.T)
    angle = np.degrees(np.arctan2(axes[0, 1], axes[1, 1])) % 180
    assert angle == pytest.approx(37.0, abs=0.1)
