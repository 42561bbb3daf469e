"""Templates are what lenses do; filters are the Gaussian processes they stand for."""

import numpy as np
import pytest

from contimg.core.lens import axisymmetric_gain, smoothed_gain
from contimg.variability.banks import CLASSES, make_banks
from contimg.variability.filters import make_whitener
from contimg.variability.lanes import log_likelihoods
from contimg.variability.noise import covariance, noise_grid
from contimg.variability.profiles import (
    ALPHAS,
    IMPACTS,
    LENS,
    RING,
    SIZES,
    SMOOTH,
    Dips,
    change_at,
    changes,
    depths,
    place,
)


def dip(kind, alpha, size, impact=0.0, width=10.0, t0=0.0):
    shape = place(alpha, ALPHAS), place(size, SIZES), impact
    return Dips(np.array([kind]), *(np.atleast_1d(float(v)) for v in (*shape, width, t0)))


def test_an_axisymmetric_lens_moves_rays_and_loses_none():
    radius = np.linspace(0, 40, 8001)
    for alpha in (0.5, 3.0, 10.0):
        excess = (axisymmetric_gain(radius, alpha, 0.3) - 1) * radius
        assert np.trapezoid(excess, radius) == pytest.approx(0, abs=2e-3)
    centre = axisymmetric_gain(np.zeros(1), 1.0, 0.02)[0]
    assert centre == pytest.approx(1 / (1 + 1.0) ** 2, rel=1e-3)


def test_an_axisymmetric_lens_is_what_rays_do():
    random = np.random.default_rng(0)
    ray = random.uniform(-9, 9, (2, 4_000_000))
    seen = ray * (1 + 4.0 * np.exp(-(ray**2).sum(axis=0))) + random.normal(0, 0.2, ray.shape)
    radius = np.hypot(*seen)
    edges = np.linspace(0.4, 4, 13)
    count, _ = np.histogram(radius, edges)
    fine = np.linspace(0.4, 4, 12 * 40 + 1)
    expected = axisymmetric_gain(fine, 4.0, 0.2 * np.sqrt(8 * np.log(2))) * fine
    within = np.array([np.trapezoid(expected[40 * k : 40 * k + 41], dx=0.0075) for k in range(12)])
    number = within * 2 * np.pi * ray.shape[1] / 18**2
    assert (np.abs(count - number) < 4 * np.sqrt(number) + 0.01 * number).all()


@pytest.mark.parametrize(("alpha", "size"), [(0.6, 0.3), (5.0, 0.5), (20.0, 1.0)])
def test_templates_are_gains_of_lenses(alpha, size):
    one = dip(LENS, alpha, size)
    grid = np.linspace(0, 30, 30001)
    change = smoothed_gain(grid, alpha, size) - 1
    half = grid[np.flatnonzero(change < change.min() / 2)[-1]]
    times = np.linspace(-6, 6, 200)
    expected = np.interp(np.abs(times) / 5 * half, grid, change)
    found = changes(one, times)[:, 0] * depths(one)[0]
    # caustics between two shapes of the table are a little blurred
    assert np.abs(found - expected).mean() < 0.03
    assert depths(one)[0] == pytest.approx(-change.min(), abs=0.01)


def test_rings_at_an_impact():
    one = dip(RING, 3.0, 0.5, impact=2.0)
    grid = np.linspace(0, 20, 20001)
    change = axisymmetric_gain(np.hypot(grid, IMPACTS[2]), 3.0, 0.5) - 1
    half = grid[np.flatnonzero(change < change.min() / 2)[-1]]
    times = np.linspace(-6, 6, 200)
    expected = np.interp(np.abs(times) / 5 * half, grid, change)
    found = changes(one, times)[:, 0] * depths(one)[0]
    assert np.abs(found - expected).mean() < 0.03


@pytest.mark.parametrize("kind", [LENS, RING, SMOOTH])
def test_width_is_that_at_half_depth(kind):
    times = np.linspace(-9, 9, 20001)
    low = times[changes(dip(kind, 4.0, 0.5, width=7.0), times)[:, 0] < -0.5]
    assert np.ptp(low) == pytest.approx(7.0, rel=0.03)


def test_a_lens_at_a_longer_wave():
    """The same lens of strength 3 where it is 1.3 times as strong."""
    here, times = dip(LENS, 3.0, SIZES[5]), np.linspace(-12, 12, 300)
    grid = np.linspace(0, 30, 30001)
    change = smoothed_gain(grid, 3.0, SIZES[5]) - 1
    scale = 5 / grid[np.flatnonzero(change < change.min() / 2)[-1]]
    expected = smoothed_gain(np.abs(times) / scale, 3.9, SIZES[5]) - 1
    found = change_at(here, float(depths(here)[0]), 1.3, times)
    assert np.abs(found - expected).mean() < 0.03


def test_dips_are_constrained_by_the_epochs():
    times = np.arange(40.0)
    bank = make_banks(times, 3, 2.0, None).of_class["ese"]
    assert ((bank.templates < -0.5).sum(axis=0) >= 3).all()
    assert ((np.abs(bank.templates) < 0.2).sum(axis=0) >= 3).all()
    assert bank.parameters[:, 4].max() > 30  # as wide as the light curve
    assert "ese" not in make_banks(np.arange(5.0), 3, 2.0, None).of_class


def test_every_class_has_templates_of_one_weight():
    banks = make_banks(np.arange(60.0), 3, 2.0, None)
    assert set(banks.of_class) == set(CLASSES)
    for bank in banks.of_class.values():
        weight = np.exp(bank.log_weight[:: 3 if bank.pairs else 1]).sum()
        assert 0.6 < weight < 1.01  # what the epochs do not constrain is left out


@pytest.mark.parametrize("index", [0, 3, 8, 20, 35])
def test_filters_are_gaussian_processes(index):
    random = np.random.default_rng(index)
    times = np.sort(random.uniform(0, 60, 30))
    error = random.uniform(0.02, 0.08, 30)
    noise = noise_grid(2.0, 60.0)[index]
    matrix = covariance(noise, times, error, 1.0)
    inverse = np.linalg.inv(matrix)
    flux, templates = random.normal(size=30), random.normal(size=(30, 5)).astype(np.float32)
    filt = make_whitener(times, error**2, noise.kernel, noise.amplitude, noise.tau_days)
    (ones, mean, square), (tt, ty, t1) = filt.products(flux, templates)
    assert filt.log_det == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-6)
    assert ones == pytest.approx(inverse.sum(), rel=1e-4)
    known = -0.5 * (np.linalg.slogdet(matrix)[1] + np.log(ones) + square - mean**2 / ones)
    assert log_likelihoods(times, flux, error**2, [noise])[0] == pytest.approx(known, rel=1e-4)
    assert mean == pytest.approx(inverse.sum(axis=0) @ flux, rel=1e-3, abs=1e-2)
    assert square == pytest.approx(flux @ inverse @ flux, rel=1e-4)
    np.testing.assert_allclose(tt, np.diag(templates.T @ inverse @ templates), rtol=1e-4)
    np.testing.assert_allclose(ty, templates.T @ inverse @ flux, rtol=1e-3, atol=0.3)
    np.testing.assert_allclose(t1, templates.T @ inverse.sum(axis=0), rtol=1e-3, atol=0.3)
