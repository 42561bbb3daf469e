"""The robust mean: as good as the weighted one on good values, deaf to a wrong minority."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.core.robust import robust_mean


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
