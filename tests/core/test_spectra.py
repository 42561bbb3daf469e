"""Spectra measured in parts of the band: which sources have one, and what it is in between."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contimg.core.catalog import FITTED, flux_density, scaled
from contimg.core.spectra import CATALOGUED, OWN, SMOOTH, between, deviation, parabola

PART_HZ = np.linspace(1.31e9, 1.49e9, 19)


def bump(freq_hz):
    """A caustic: 60 MHz wide, at the low end of the band."""
    return 0.4 + np.exp(-0.5 * ((freq_hz - 1.36e9) / 25e6) ** 2)


def test_between_the_parts_a_smooth_spectrum_is_kept():
    freq = np.linspace(1.311e9, 1.489e9, 200)
    assert between(PART_HZ, bump(PART_HZ), freq) == pytest.approx(bump(freq), abs=0.01)


def test_a_part_without_data_is_bridged_and_nothing_runs_away_outside():
    factor = bump(PART_HZ)
    factor[9] = np.nan
    assert between(PART_HZ, factor, PART_HZ[9:10]) == pytest.approx(bump(PART_HZ[9]), abs=0.02)
    far = between(PART_HZ, bump(PART_HZ), np.array([1.0e9, 2.0e9]))
    assert far == pytest.approx(bump(np.array([1.305e9, 1.495e9])), abs=0.03)


def test_a_table_with_a_fitted_spectrum():
    nodes = " ".join(f"{f / 1e9}:{v}" for f, v in zip(PART_HZ, bump(PART_HZ), strict=True))
    table = pd.DataFrame(
        {"flux_jy": [2.0, 3.0], "ref_freq_hz": 1.4e9, "spectral_index": [-0.7, 0.0]}
    ).assign(log_poly="", **{FITTED: [nodes, ""]})
    at = PART_HZ[3]
    found = flux_density(scaled(table, 2.0), at)[:, 0]
    assert found == pytest.approx([4.0 * (at / 1.4e9) ** -0.7 * bump(at), 6.0])


def test_which_sources_deviate():
    """Quiet, steeper, behind a lens, behind a lens but faint, behind a lens with blank parts."""
    hz = np.linspace(1.316e9, 1.494e9, 16)
    flux = np.ones(5)
    error = np.array([0.01, 0.01, 0.004, 0.1, 0.004])
    rng = np.random.default_rng(3)
    noise = 4 * error * rng.normal(size=(16, 5))
    lens = bump(hz) / bump(hz).mean()
    true = np.stack([np.ones(16), (hz / 1.4e9) ** 3, lens, lens, lens], axis=1)
    part = true + noise
    part[5:8, 4] = np.nan
    each = np.tile(4 * error, (16, 1))
    found = deviation(hz, flux, error, part, each, least_snr=100, chi2=4)
    assert found.tolist() == [CATALOGUED, SMOOTH, OWN, CATALOGUED, OWN]
    curve = parabola(hz, part[:, 1], each[:, 1])
    assert np.sqrt(np.mean((curve - true[:, 1]) ** 2)) < 0.03  # a part is good to 0.04
    assert curve.mean() == pytest.approx(true[:, 1].mean(), abs=0.03)


def test_no_spectrum_is_told_where_something_else_disturbs_the_parts():
    """Sidelobes of a source that is not fitted: in the parts of faint sources, and of a bright."""
    hz = np.linspace(1.316e9, 1.494e9, 16)
    rng = np.random.default_rng(4)
    flux = np.r_[1.0, np.full(12, 0.05)]
    error = np.full(13, 0.01)
    noise = 4 * error * rng.normal(size=(16, 13))
    lens = bump(hz) / bump(hz).mean()
    true = np.concatenate([lens[:, None], np.full((16, 12), 0.05)], axis=1)
    sidelobes = 0.2 * np.sin(hz[:, None] / 1e9 * rng.uniform(30, 90, 13))
    each = np.tile(4 * error, (16, 1))
    limits = {"least_snr": 50, "chi2": 4}
    assert deviation(hz, flux, error, true + noise, each, **limits).tolist() == [OWN] + 12 * [0]
    assert not deviation(hz, flux, error, true + noise + sidelobes, each, **limits).any()
