"""The quick look at long light curves: right numbers, and no event is stopped there."""

import numpy as np
import pytest

from contimg.variability import lanes, screen
from contimg.variability.evidence import log_likelihood
from contimg.variability.filters import make_whitener
from contimg.variability.noise import Noise, covariance, noise_grid

TIMES = np.delete(np.arange(300.0), [3, 50, 51, 200])


def noisy(noise, random):
    """A light curve about zero with errors of 5 % and a process."""
    matrix = covariance(noise, TIMES, np.full(len(TIMES), 0.05), 1.0)
    return np.linalg.cholesky(matrix) @ random.standard_normal(len(TIMES)), matrix


NOISES = [Noise("white", 0, 1.0), Noise("walk", 0.1, 40.0), Noise("smooth", 0.05, 8.0)]
# more than are looked at together
GRID = [
    *NOISES,
    *(Noise(kernel, 0.07, 5.0 * k) for k in range(1, 9) for kernel in ("walk", "smooth")),
]


@pytest.mark.parametrize("noise", NOISES)
def test_sigma_of_a_template(noise):
    """Against the inverse of the covariance."""
    flux, matrix = noisy(noise, np.random.default_rng(1))
    variance = np.full(len(TIMES), 0.05**2)
    inverse, ones = np.linalg.inv(matrix), np.ones(len(TIMES))
    for centre, width in ((40.0, 6.0), (150.0, 30.0), (299.0, 12.0)):
        shapes = screen._shapes(TIMES, np.array([centre]), np.array([width]))
        models = [*range(len(NOISES), len(GRID)), GRID.index(noise)]
        found = lanes.largest(TIMES, flux, variance, models, GRID, shapes)[-1]
        distance = np.abs(TIMES - centre) / width
        shape = np.where(distance < screen.REACH, 0.5 ** ((2 * distance) ** 2), 0.0)
        shape = shape - ones * (ones @ inverse @ shape) / (ones @ inverse @ ones)
        expected = abs(shape @ inverse @ flux) / np.sqrt(shape @ inverse @ shape)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
        if noise.amplitude == 0:
            assert lanes.largest_in_white(flux, variance, shapes) == pytest.approx(found, rel=1e-9)


def test_likelihoods_of_many_models_are_those_of_each():
    flux, _ = noisy(NOISES[1], np.random.default_rng(4))
    variance = np.random.default_rng(5).uniform(0.002, 0.003, len(TIMES))
    grid = noise_grid(1.0, 300.0)
    found = lanes.log_likelihoods(TIMES, flux, variance, grid)
    for noise, value in zip(grid, found, strict=True):
        alone = log_likelihood(flux, make_whitener(TIMES, variance, *vars(noise).values()))
        assert value == pytest.approx(alone, abs=1e-3)
        matrix = covariance(noise, TIMES, np.sqrt(variance), 1.0)
        inverse, ones = np.linalg.inv(matrix), np.ones(len(TIMES))
        square = flux @ inverse @ flux - (ones @ inverse @ flux) ** 2 / inverse.sum()
        log_det = np.linalg.slogdet(matrix)[1] + np.log(inverse.sum())
        assert value == pytest.approx(-0.5 * (log_det + square), abs=1e-6)


def test_dips_pass_and_noise_stops():
    random = np.random.default_rng(2)
    grid = noise_grid(1.0, 300.0)
    variance = np.full(len(TIMES), 0.05**2)

    def passes(flux):
        null = lanes.log_likelihoods(TIMES, flux, variance, grid)
        return screen.promising(TIMES, flux, variance, null, grid)

    noises = (Noise("walk", 0.05, 60.0), Noise("smooth", 0.03, 10.0))
    alone = [passes(noisy(noises[k % 2], random)[0]) for k in range(30)]
    assert sum(alone) <= 6
    for depth, width in ((0.4, 6), (0.3, 20), (0.4, 60)):
        dip = -depth * np.exp(-np.log(2) * np.abs(2 * (TIMES - 140) / width) ** 3)
        for noise in (Noise("white", 0.0, 1.0), noises[1]):
            assert passes(noisy(noise, random)[0] + dip)
