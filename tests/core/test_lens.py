"""The Gaussian plasma lens against its analytic properties."""

import numpy as np
import pytest

from contimg.core import lens


def test_strength_has_the_codata_coefficient():
    freq_hz = 29_979_245_800.0  # 1 cm
    assert lens.alpha(freq_hz, 1.0, 1.0, 1.0) == pytest.approx(3.816, abs=5e-4)
    assert lens.alpha(1.405e9, 1.0, 1.0, 1.0) == pytest.approx(1737, abs=1)
    assert lens.alpha(1.405e9, 0.2, 0.5, 3.0) == pytest.approx(1737 * 0.1 / 9, rel=1e-3)


def test_strength_goes_as_wavelength_squared():
    assert lens.alpha_at(2.8e9, 4.0, 1.4e9) == pytest.approx(1.0)
    freqs = np.array([1.311e9, 1.499e9])
    direct = lens.alpha(freqs, 0.01, 1.0, 1.0)
    np.testing.assert_allclose(lens.alpha_at(freqs, direct[0], freqs[0]), direct)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.2, 5.0, 20.0, 300.0])
def test_gain_on_the_axis(alpha):
    assert lens.gain(0.0, alpha) == pytest.approx(1 / (1 + alpha), rel=1e-12)


@pytest.mark.parametrize("size", [0.05, 0.5])
@pytest.mark.parametrize("alpha", [0.3, 2.0, 20.0, 100.0])
def test_rays_are_moved_not_lost(alpha, size):
    reach = 20 + alpha / 2  # the rays of a strong lens go far
    u = np.linspace(-reach, reach, 20_001)
    excess = np.trapezoid(lens.smoothed_gain(u, alpha, size) - 1, u)
    assert excess == pytest.approx(0, abs=2e-4)


def test_point_source_conserves_flux_where_there_is_no_caustic():
    u = np.linspace(-40, 40, 40_001)
    assert np.trapezoid(lens.gain(u, 2.0) - 1, u) == pytest.approx(0, abs=1e-4)


def test_no_lens_no_change():
    u = np.linspace(-5, 5, 101)
    np.testing.assert_allclose(lens.gain(u, 0.0), 1.0)
    np.testing.assert_allclose(lens.gain(u, 1e-6), 1.0, atol=2e-6)
    np.testing.assert_allclose(lens.smoothed_gain(u, 0.0, 0.3), 1.0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 10.0])
def test_gain_is_symmetric(alpha):
    u = np.linspace(0, 6, 301)
    np.testing.assert_allclose(lens.gain(-u, alpha), lens.gain(u, alpha))
    np.testing.assert_allclose(
        lens.smoothed_gain(-u, alpha, 0.2), lens.smoothed_gain(u, alpha, 0.2), rtol=1e-9
    )


@pytest.mark.parametrize(("alpha", "caustic"), [(2.0, False), (2.24, False), (2.25, True)])
def test_caustics_only_above_the_critical_strength(alpha, caustic):
    assert (len(lens._branches(alpha)) == 3) == caustic
    u = np.linspace(0, 4, 4001)
    # where images exist in threes the parity of the middle one is negative
    slope = 1 + (1 - 2 * u**2) * alpha * np.exp(-(u**2))
    assert (slope.min() < 0) == caustic
    assert pytest.approx(2.241, abs=1e-3) == lens.ALPHA_CAUSTIC


def test_a_caustic_is_bright_but_finite():
    peak = lens.gain(np.linspace(0, 6, 60_001), 10.0).max()
    assert 20 < peak <= 2 * lens.MAX_IMAGE_GAIN + 1


def test_gain_counts_every_image():
    """Against a brute-force histogram of rays, for a lens with three images."""
    alpha = 20.0
    rays = np.linspace(-12, 12, 4_800_001)
    arrivals = rays * (1 + alpha * np.exp(-(rays**2)))
    edges = np.linspace(-6, 6, 61)
    counts = np.histogram(arrivals, edges)[0] * (rays[1] - rays[0]) / np.diff(edges)
    exact = np.diff(lens._rays_within(edges, alpha)) / np.diff(edges)
    np.testing.assert_allclose(exact, counts, atol=2e-4)


@pytest.mark.parametrize("size", [0.05, 0.3, 1.5])
def test_smoothing_is_the_convolution_with_the_source(size):
    """Every ray spread by the source, summed: the integral of B(u'(u) - u_obs) du."""
    alpha, sigma = 8.0, size / np.sqrt(8 * np.log(2))
    rays = np.linspace(-15, 15, 300_001)
    arrivals = rays * (1 + alpha * np.exp(-(rays**2)))
    at = np.array([0.0, 0.4, 1.3, 2.5, 4.0])
    spread = np.exp(-0.5 * ((arrivals - at[:, None]) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    expected = np.trapezoid(spread, rays, axis=1)
    np.testing.assert_allclose(lens.smoothed_gain(at, alpha, size), expected, rtol=2e-3)


def test_small_source_approaches_the_point_source():
    u = np.array([0.0, 0.5, 4.5])
    np.testing.assert_allclose(lens.smoothed_gain(u, 1.5, 0.01), lens.gain(u, 1.5), rtol=1e-4)


def test_impossible_lenses_are_refused():
    with pytest.raises(ValueError, match="strength"):
        lens.gain(0.0, -1.0)
    with pytest.raises(ValueError, match="source_size"):
        lens.smoothed_gain(0.0, 1.0, -0.1)
