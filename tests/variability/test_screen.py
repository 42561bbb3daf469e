"""The quick look at long light curves: right numbers, and no event is stopped there."""

import numpy as np
import pytest

from contimg.variability import screen
from contimg.variability.evidence import log_likelihood
from contimg.variability.filters import make_whitener
from contimg.variability.noise import Noise, covariance, noise_grid

TIMES = np.delete(np.arange(300.0), [3, 50, 51, 200])


def noisy(noise, random):
    """A light curve about zero with errors of 5 % and a process."""
    matrix = covariance(noise, TIMES, np.full(len(TIMES), 0.05), 1.0)
    return np.linalg.cholesky(matrix) @ random.standard_normal(len(TIMES)), matrix


@pytest.mark.parametrize(
    "noise", [Noise("white", 0, 1.0), Noise("walk", 0.1, 40.0), Noise("smooth", 0.05, 8.0)]
)
def test_sigma_of_a_template(noise):
    """Against the inverse of the covariance."""
    flux, matrix = noisy(noise, np.random.default_rng(1))
    filt = make_whitener(TIMES, np.full(len(TIMES), 0.05**2), *vars(noise).values())
    inverse, ones = np.linalg.inv(matrix), np.ones(len(TIMES))
    for centre, width in ((40.0, 6.0), (150.0, 30.0), (299.0, 12.0)):
        shapes = screen._shapes(TIMES, np.array([centre]), np.array([width]))
        found = screen._largest(filt.transition, filt.gain, filt.root, filt.white(flux), *shapes)
        distance = np.abs(TIMES - centre) / width
        shape = np.where(distance < screen.REACH, 0.5 ** ((2 * distance) ** 2), 0.0)
        shape = shape - ones * (ones @ inverse @ shape) / (ones @ inverse @ ones)
        expected = abs(shape @ inverse @ flux) / np.sqrt(shape @ inverse @ shape)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_dips_pass_and_noise_stops():
    random = np.random.default_rng(2)
    grid = noise_grid(1.0, 300.0)
    variance = np.full(len(TIMES), 0.05**2)
    filters = [make_whitener(TIMES, variance, *vars(noise).values()) for noise in grid]

    def passes(flux):
        null = np.array([log_likelihood(flux, filt) for filt in filters])
        return screen.promising(TIMES, flux, null, lambda h: filters[h], grid)

    noises = (Noise("walk", 0.05, 60.0), Noise("smooth", 0.03, 10.0))
    alone = [passes(noisy(noises[k % 2], random)[0]) for k in range(30)]
    assert sum(alone) <= 6
    for depth, width in ((0.4, 6), (0.3, 20), (0.4, 60)):
        dip = -depth * np.exp(-np.log(2) * np.abs(2 * (TIMES - 140) / width) ** 3)
        for noise in (Noise("white", 0.0, 1.0), noises[1]):
            assert passes(noisy(noise, random)[0] + dip)
