"""Smoothing really smooths, and only that."""

from __future__ import annotations

import numpy as np

from contimg.calibrate.smooth import smooth

CHANNELS = 200


def noisy(shape: np.ndarray, sigma: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((2, 3, CHANNELS, 2)) * sigma
    return (shape[None, :, None] + noise[0] + 1j * noise[1]).astype(np.complex64)


def test_noise_goes_down_as_the_root_of_the_width():
    flat = noisy(np.ones(CHANNELS))
    good = np.ones(flat.shape, bool)
    for width in (4, 16):
        scatter = np.std(smooth(flat, good, width)[:, 20:-20] - 1)
        # variance under a triangle of half width w: 2 / (3 w)
        assert scatter / np.std(flat - 1) < 1.15 * np.sqrt(2 / (3 * width))


def test_a_slope_is_kept_to_the_edges():
    slope = np.linspace(0.5, 1.5, CHANNELS) * np.exp(1j * np.linspace(0, 0.3, CHANNELS))
    values = noisy(slope, sigma=0)
    error = np.abs(smooth(values, np.ones(values.shape, bool), 10) - slope[None, :, None])
    assert error.max() < 1e-3


def test_flagged_values_do_not_get_in():
    values = noisy(np.ones(CHANNELS), sigma=0)
    good = np.ones(values.shape, bool)
    values[:, 50:55], good[:, 50:55] = 1e6, False
    result = smooth(values, good, 8)
    assert np.abs(result[good] - 1).max() < 1e-5


def test_one_channel_is_no_smoothing():
    values = noisy(np.ones(CHANNELS))
    assert np.array_equal(smooth(values, np.ones(values.shape, bool), 1), values)
