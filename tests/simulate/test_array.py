"""The array has the spacings and the extent that are known of it."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.simulate import array


def lengths(positions: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(len(positions), 1)
    return np.linalg.norm(positions[first] - positions[second], axis=1)


def test_baselines_of_all_stations() -> None:
    baselines = lengths(array.itrf_offsets())
    assert baselines.size == 6786
    assert baselines.min() == pytest.approx(5.75, abs=0.01)
    assert baselines.max() == pytest.approx(2707.2, abs=1)
    assert np.median(baselines) == pytest.approx(265, abs=3)
    assert (baselines < 50).sum() == pytest.approx(561, abs=5)


def test_baselines_of_the_core() -> None:
    baselines = lengths(array.itrf_offsets()[:102])
    assert baselines.max() == pytest.approx(484, abs=1.5)
    assert np.median(baselines) == pytest.approx(202, abs=2)


def test_arms_and_extent() -> None:
    _, east, _ = array.meridian_offsets().T
    positions = array.meridian_offsets()
    lat = np.radians(array.TEE_LAT_DEG)
    north = -np.sin(lat) * positions[:, 0] + np.cos(lat) * positions[:, 2]
    assert np.ptp(east[:51]) == pytest.approx(396.9, abs=0.5)
    steps = np.diff(east[:51])
    assert np.median(steps) == pytest.approx(5.75, abs=0.01)
    gaps = {n + 1: step for n, step in enumerate(steps) if step > 6}  # station before the gap
    assert list(gaps) == [22, 28, 29, 35]
    assert gaps.pop(22) == pytest.approx(63, abs=0.5)
    assert list(gaps.values()) == pytest.approx([23] * 3, abs=0.1)
    assert np.ptp(north[51:102]) == pytest.approx(432.7, abs=0.5)
    assert north[[51, 101]] == pytest.approx([7.3, 440], abs=0.5)
    assert (np.ptp(east), np.ptp(north)) == pytest.approx((1769, 2220), abs=2)


def test_working_stations() -> None:
    full = array.active_stations(1, 14)
    assert full.size == np.unique(full).size == 96
    assert not set(full) & {10, 21, 22, 23, 52, 67, 117}
    small = array.active_stations(3, 8)
    assert small.size == 36 and set(small) < set(full)
    assert {103, 116} < set(small)
    assert array.active_stations(10, 0).max() < 103


def test_baseline_order() -> None:
    first, second = array.baselines(3)
    assert list(zip(first, second, strict=True)) == [
        *[(0, 0), (0, 1), (1, 1)],
        *[(0, 2), (1, 2), (2, 2)],
    ]
