"""The robust mean: as good as the weighted one on good values, deaf to a wrong minority."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.core.robust import clipped_rms, median, robust_mean, robust_rms, scatter


def test_robust_mean_of_good_values_is_the_weighted_one():
    rng = np.random.default_rng(0)
    errors = rng.uniform(0.01, 0.1, 40)
    means, quoted = [], []
    for _ in range(150):
        values = 2 + errors * rng.standard_normal(40)
        mean, error, _ = robust_mean(values, errors)
        means.append(mean)
        quoted.append(error)
    best = 1 / np.sqrt((1 / errors**2).sum())
    assert np.std(means) < 1.15 * best
    assert np.mean(quoted) == pytest.approx(np.std(means), rel=0.25)
    assert np.mean(means) == pytest.approx(2, abs=0.2 * best)


def test_clipped_rms_is_unbiased_certain_and_deaf_to_outliers():
    rng = np.random.default_rng(4)
    values = 3 * rng.standard_normal((400, 500))
    rms = np.array([clipped_rms(row) for row in values])
    assert rms.mean() == pytest.approx(3, rel=0.003)
    assert rms.std() < 1.1 * 3 / np.sqrt(2 * 500)  # hardly more than that of the plain one
    values[:, :10] = 100.0
    assert np.mean([clipped_rms(row) for row in values]) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("wrong", [1, 3])
def test_robust_mean_lets_a_minority_have_its_share_and_no_more(wrong):
    rng = np.random.default_rng(1)
    shift, scatters, off = [], [], []
    for _ in range(80):
        values, errors = 1 + 0.03 * rng.standard_normal(12), np.full(12, 0.01)
        good, _, _ = robust_mean(values, errors)
        spoilt = values.copy()
        spoilt[:wrong] *= 1.5
        mean, error, scatter = robust_mean(spoilt, errors)
        shift.append(mean - good)
        off.append((mean - 1) / error)
        scatters.append(scatter)
    # without the robust part: 0.5 wrong / 12
    assert np.abs(np.mean(shift)) < 0.002 * wrong
    assert np.std(off) < 1.6
    assert 0.02 < np.median(scatters) < 0.06


def test_median_ignores_what_is_not_finite():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((5, 7, 6))
    assert np.allclose(median(values, 1), np.median(values, 1))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0, 0, 0], values[1, 1, 1] = np.inf, -np.inf
    values[3] = np.nan
    finite = np.where(np.isfinite(values), values, np.nan)
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        for axis in (None, 0, 2, -1, (0, 2), (1, 2)):
            kept = np.nanmedian(finite, axis, keepdims=True)
            assert np.allclose(median(values, axis), np.nanmedian(finite, axis), equal_nan=True)
            assert np.allclose(median(values, axis, keepdims=True), kept, equal_nan=True)
    assert np.isnan(median(np.empty(0)))


def test_scatter_is_the_standard_deviation_of_noise_and_deaf_to_a_minority():
    values = 3 + 2 * np.random.default_rng(3).standard_normal((4, 40_000))
    values[:, ::50] = 1e6
    values[:, 1] = np.nan
    assert scatter(values, 1) == pytest.approx(np.full(4, 2), rel=0.04)
    assert robust_rms(values[0]) == scatter(values[0])
    # about zero: noise of 2 about 3 is larger
    assert (scatter(values, 1, centred=False) > 4).all()
    assert np.isnan(robust_rms(np.full(3, np.nan)))
