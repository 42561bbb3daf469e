"""Metrics against their definitions and against simulations."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from contimg.variability import metrics
from contimg.variability.ese import LightCurve
from contimg.variability.options import VariabilityOptions
from contimg.variability.pairs import largest_pair, p_largest_pair
from contimg.variability.products import measured

RANDOM = np.random.default_rng(5)
FLUX = 1 + 0.1 * RANDOM.normal(size=15)
ERROR = RANDOM.uniform(0.02, 0.1, 15)


def test_v_and_eta_equal_the_published_forms():
    n, w = len(FLUX), 1 / ERROR**2
    s2 = n / (n - 1) * (np.mean(FLUX**2) - np.mean(FLUX) ** 2)
    assert metrics.modulation(FLUX) == pytest.approx(np.sqrt(s2) / np.mean(FLUX))
    eta = n / (n - 1) * (np.mean(w * FLUX**2) - np.mean(w * FLUX) ** 2 / np.mean(w))
    assert metrics.eta(FLUX, ERROR) == pytest.approx(eta)


def test_debiased_modulation():
    expected = np.sqrt(np.var(FLUX, ddof=1) - np.mean((0.5 * ERROR) ** 2)) / FLUX.mean()
    assert metrics.debiased_modulation(FLUX, 0.5 * ERROR)[0] == pytest.approx(expected)
    value, error = metrics.debiased_modulation(FLUX, 10 * ERROR)
    assert value == 0 and error > 0


def test_error_of_the_debiased_modulation_is_its_scatter():
    """A source that varies by 10 % with errors of 5 %: the errors' part of the scatter."""
    random = np.random.default_rng(2)
    true = 1 + 0.1 * random.normal(size=200)
    found = np.array(
        [
            metrics.debiased_modulation(true + 0.05 * random.normal(size=200), np.full(200, 0.05))
            for _ in range(400)
        ]
    )
    assert np.median(found[:, 1]) == pytest.approx(found[:, 0].std(), rel=0.25)


def test_limit_of_the_modulation():
    """At most 5 % of sources of 8 % lie above their own limit."""
    random = np.random.default_rng(3)
    error = np.full(30, 0.3)
    limits = [
        metrics.modulation_limit(1 + np.hypot(0.08, 0.3) * random.normal(size=30), error)
        for _ in range(600)
    ]
    assert np.mean(np.array(limits) < 0.08) == pytest.approx(0.05, abs=0.025)


def test_probability_of_constancy_is_uniform_for_constant_sources():
    random = np.random.default_rng(1)
    p = [metrics.p_constant(1 + ERROR * random.normal(size=15), ERROR) for _ in range(2000)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_largest_pair_by_brute_force():
    best = max(
        itertools.combinations(range(15), 2),
        key=lambda p: abs(FLUX[p[0]] - FLUX[p[1]]) / np.hypot(ERROR[p[0]], ERROR[p[1]]),
    )
    vs, m, a, b = largest_pair(FLUX, ERROR)
    assert (a, b) == best
    assert vs == pytest.approx((FLUX[a] - FLUX[b]) / np.hypot(ERROR[a], ERROR[b]))
    assert m == pytest.approx(2 * (FLUX[a] - FLUX[b]) / (FLUX[a] + FLUX[b]))


@pytest.mark.parametrize("epochs", [2, 12, 180])
def test_pair_probability_is_that_of_the_studentised_range(epochs):
    for vs in (1.0, 3.0, 5.0):
        expected = stats.studentized_range.sf(np.sqrt(2) * vs, epochs, np.inf)
        assert p_largest_pair(-vs, epochs) == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_pair_probability_for_two_epochs_is_gaussian():
    assert p_largest_pair(6.0, 2) == pytest.approx(2 * stats.norm.sf(6.0), rel=1e-4)


def test_pair_probability_holds_for_unequal_errors():
    random = np.random.default_rng(2)
    draws = [largest_pair(ERROR * random.normal(size=15), ERROR)[0] for _ in range(2000)]
    p = np.array([p_largest_pair(vs, 15) for vs in draws])
    assert 0.02 < (p < 0.05).mean() < 0.065


def test_deviation_over_own_scatter_is_bounded():
    """Why max|f - mean| / std detects nothing: no dip can reach 5 in fewer than 27 epochs."""
    for epochs in (12, 26):
        flux = np.ones(epochs)
        flux[3] = 1e-6
        largest = np.max(np.abs(flux - flux.mean())) / np.std(flux)
        assert largest <= np.sqrt(epochs - 1) * (1 + 1e-9)
        assert largest <= 5.0 + 1e-9
    long_dip = np.where(np.arange(180) < 30, 0.01, 1.0)
    assert np.max(np.abs(long_dip - long_dip.mean())) / np.std(long_dip) < 2.5


def test_fluxes_that_cancel_have_no_m():
    flux, error = np.array([0.1, -0.1, 0.0]), np.full(3, 0.01)
    vs, m, *_ = largest_pair(flux, error)
    assert vs == pytest.approx(0.2 / np.hypot(0.01, 0.01)) and np.isnan(m)


def test_offsets_are_those_of_the_whole_covariance():
    """Chi-square, mean and its error against the inverse of the covariance."""
    random = np.random.default_rng(8)
    shapes = 0.1 * (np.arange(15)[:, None] % 3 == [0, 1, 2])
    inverse = np.linalg.inv(np.diag(ERROR**2) + shapes @ shapes.T)
    flux = FLUX + shapes @ random.normal(size=3)
    weight = inverse.sum()
    mean = inverse.sum(axis=0) @ flux / weight
    amplitudes, mean_error = metrics.offsets(flux, ERROR, shapes)
    less = flux - shapes @ amplitudes
    assert metrics.weighted_mean(less, ERROR)[0] == pytest.approx(mean)
    assert mean_error == pytest.approx(weight**-0.5)
    chi_square = (flux - mean) @ inverse @ (flux - mean)
    assert metrics.eta(less, ERROR, amplitudes) == pytest.approx(chi_square / 14)


@pytest.mark.parametrize("error", [1e-9, 1e-3, 1e3])
def test_probability_of_constancy_is_uniform_whatever_strips_differ_by(error):
    random, strip = np.random.default_rng(3), np.arange(20) // 5 % 2
    curves = [
        LightCurve(
            f"s{k}",
            60000.0 + np.arange(20),
            (1 + 0.02 * random.normal(size=2)[strip] + error * random.normal(size=20)),
            np.full(20, error),
            strip=strip,
        )
        for k in range(1000)
    ]
    p = [measured(c, VariabilityOptions())["p_constant"] for c in curves]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    if error < 0.02:
        without = VariabilityOptions(strip_offset=0.0)
        assert np.mean([measured(c, without)["p_constant"] < 1e-3 for c in curves]) > 0.3


def test_metrics_are_those_of_what_is_left_of_strips():
    """One source of 1 Jy that varies in one strip and is 4 % fainter in the other."""
    strip = np.arange(40) // 10 % 2
    flux, error = 1 - 0.04 * strip + 0.001 * np.tile([1.0, -1.0], 20), np.full(40, 0.001)
    curve = LightCurve("a", 60000.0 + np.arange(40), flux, error, strip=strip)
    row, raw = (measured(c, VariabilityOptions()) for c in (curve, replace(curve, strip=None)))
    assert row["v"] == pytest.approx(0.001 / 0.98, rel=0.05) and raw["v"] > 0.02
    assert row["mean_flux_jy"] == pytest.approx(0.98, abs=1e-4)
    # half of 2 % of it squared, twice: two strips tell no more of the mean
    assert row["mean_flux_err_jy"] == pytest.approx(0.0196 / np.sqrt(2), rel=0.01)
    assert abs(row["m_at_vs_max"]) < 0.003 < 0.04 < abs(raw["m_at_vs_max"])
