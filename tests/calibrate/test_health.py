"""Health of antennas from made-up gains: what is found, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.calibrate.health import Look, examine, find_step, solve_gains
from contimg.calibrate.options import CalibrateOptions

TIMES = 24
X = np.linspace(-1, 1, TIMES)
NOISE = 0.01


def series(seed: int = 1, step: complex = 0, at: int = 12, drift: float = 0) -> np.ndarray:
    """Relative gain of one feed: one, with a cubic drift, a step and noise."""
    rng = np.random.default_rng(seed)
    noise = NOISE * (rng.standard_normal(TIMES) + 1j * rng.standard_normal(TIMES))
    smooth = 1 + drift * (0.5 * X + X**2 - 0.3 * X**3) * np.exp(0.7j)
    return smooth + step * (np.arange(TIMES) >= at) + noise


@pytest.mark.parametrize("step", [0.2, -0.15j, 0.3 * np.exp(2j)])
@pytest.mark.parametrize("at", [2, 9, 12, 21])
def test_a_step_is_found_where_it_is(step, at):
    found = find_step(series(step=step, at=at), NOISE)
    assert found is not None
    assert found[0] == at
    assert abs(found[1] - step) < 5 * NOISE


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_step(seed):
    assert find_step(series(seed), NOISE) is None


@pytest.mark.parametrize("drift", [0.1, 0.3, 0.6])
def test_a_drift_is_no_step(drift):
    """Larger than any step that is flagged, but smooth."""
    assert find_step(series(drift=drift), NOISE) is None


def test_a_step_on_a_slope_is_found():
    found = find_step(series(step=0.2, at=10) + 0.2 * X, NOISE)
    assert found is not None and found[0] == 10


def test_flagged_times_are_stepped_over():
    course = series(step=0.2, at=10)
    course[[3, 9, 15]] = np.nan
    found = find_step(course, NOISE)
    assert found is not None and found[0] == 10


def test_too_few_times_tell_nothing():
    course = np.full(TIMES, np.nan, complex)
    course[:5] = [1, 1, 1, 2, 2]
    assert find_step(course, NOISE) is None


def test_gains_are_solved_whatever_antenna_is_missing():
    rng = np.random.default_rng(3)
    true = rng.uniform(0.5, 1.5, (4, 12)) * np.exp(1j * rng.uniform(-3, 3, (4, 12)))
    weight = np.ones((4, 12, 12)) - np.eye(12)
    weight[0, 0], weight[0, :, 0] = 0, 0
    found = solve_gains(true[..., :, None] * true[..., None, :].conj() * weight, weight)
    assert found[0, 0] == 0
    product = found[..., :, None] * found[..., None, :].conj()
    expected = true[..., :, None] * true[..., None, :].conj()
    assert np.abs((product - expected) * weight).max() < 1e-3


def look(courses: np.ndarray, level=None, unflagged=None) -> Look:
    """A look at antennas with these courses (time, antenna) in both correlations."""
    course = np.repeat(courses[:, :, None], 2, axis=2)
    shape = course.shape[1:]
    return Look(
        antennas=np.arange(shape[0]) * 3,  # numbers with gaps: not the index
        unflagged=np.ones(shape) if unflagged is None else unflagged,
        level=np.ones(shape) if level is None else level,
        course=course,
        noise=np.full(shape, NOISE),
        mjd=60000 + np.arange(TIMES) / 1e4,
    )


def test_healthy_antennas_are_left_alone():
    assert examine(look(np.stack([series(s) for s in range(5)], axis=1)), CalibrateOptions()) == []


def test_each_fault_is_named_at_its_feed():
    courses = np.stack([series(s) for s in range(4)], axis=1)
    courses[:, 3] = series(9, step=0.4, at=7)
    level, unflagged = np.ones((4, 2)), np.ones((4, 2))
    level[1, 0], unflagged[2, 1] = 0.02, 0
    found = examine(look(courses, level, unflagged), CalibrateOptions())
    reasons = {(f.antenna, f.corr): f.reason for f in found}
    assert {antenna for antenna, _ in reasons} == {3, 6, 9} and len(reasons) == 6
    assert reasons[3, 1] == reasons[6, 0] == "its other correlation is bad"
    assert "no coherent signal" in reasons[3, 0]
    assert reasons[6, 1] == "no unflagged data"
    assert "gain steps by 0.4" in reasons[9, 0] and "MJD 60000.0007" in reasons[9, 0]


def test_limits_are_those_of_the_options():
    courses = np.stack([series(step=0.2)], axis=1)
    seen = look(courses, level=np.full((1, 2), 0.3))
    assert examine(seen, CalibrateOptions(max_jump=0.3)) == []
    assert len(examine(seen, CalibrateOptions(max_jump=0.1))) == 2
    assert len(examine(seen, CalibrateOptions(max_jump=0.3, min_coherence=0.4))) == 2
