"""What parts of the band say of a dip."""

from dataclasses import replace

import numpy as np
import pytest

from contimg.variability.bands import (
    Colour,
    Measured,
    Parts,
    colour,
    log_colour_factor,
    over_posterior,
    split,
    together,
    well_measured,
)
from contimg.variability.ese import Verdict, coloured
from contimg.variability.profiles import LENS, Dips, change_at

MJD0, TIMES = 60000.0, np.arange(60.0)
FREQ = np.array([1.335e9, 1.382e9, 1.429e9, 1.476e9])
MIDDLE = float(FREQ.mean())


def lens(draws: int) -> Dips:
    """The same lens (alpha 5, size 0.3) of 12 days `draws` times."""
    place = (20.0, 3.0, 0.0, 12.0, 30.0)
    return Dips(np.full(draws, LENS), *(np.full(draws, v) for v in place))


def parts(change, error: float, random: np.random.Generator) -> Parts:
    """Four parts of the band, relative; `change` of a frequency over the middle one, squared."""
    flux = np.concatenate([1 + change((MIDDLE / f) ** 2) for f in FREQ])
    flux = flux + error * random.normal(size=len(flux))
    epoch = np.tile(np.arange(len(TIMES)), len(FREQ))
    columns = np.tile(MJD0 + TIMES, len(FREQ)), flux, np.full(len(flux), error)
    return Parts(*columns, np.repeat(FREQ, len(TIMES)), epoch, MIDDLE)


def factors(change, error: float, number: int) -> np.ndarray:
    random, dips = np.random.default_rng(5), lens(3)
    depth = np.full(3, 0.5)
    return np.array(
        [log_colour_factor(parts(change, error, random), dips, depth, MJD0) for _ in range(number)]
    )


def test_colour_of_what_is_achromatic_is_no_evidence_in_the_mean():
    """The mean of a Bayes factor is one where the other hypothesis holds (nine of ten are grey)."""
    one = lens(1)
    grey = np.exp(factors(lambda _: change_at(one, 0.5, 1.0, TIMES), 0.1, 400))
    assert grey.mean() - 3 * grey.std() / 20 < (1 + 1 / 0.9) / 2
    assert grey.min() >= 0.5


def test_colour_of_a_lens_is_evidence_and_without_signal_there_is_none():
    one = lens(1)
    seen = factors(lambda r: change_at(one, 0.5, r, TIMES), 0.05, 20)
    assert np.median(seen) > 2
    unseen = factors(lambda r: change_at(one, 0.5, r, TIMES), 50.0, 20)
    assert np.abs(unseen).max() < 0.05


def test_a_dip_that_lasts_for_most_epochs():
    """Parts are over their medians, which are in the dip, and it over the baseline."""
    long = Dips(np.array([LENS]), *(np.array([v]) for v in (20.0, 3.0, 0.0, 45.0, 24.0)))
    made = parts(lambda r: change_at(long, 0.7, r, TIMES), 1e-3, np.random.default_rng(6))
    level = np.array([np.median(made.flux[made.freq_hz == f]) for f in FREQ])
    assert level.max() < 0.5
    over = np.repeat(level, len(TIMES))
    seen = replace(made, flux=made.flux / over, error=made.error / over)
    found = colour(seen, long, 0.7 / level.mean(), MJD0)
    assert found.value == pytest.approx(1, abs=0.15)


def test_one_part_low_by_itself_is_no_lens():
    """As by interference: the dip is in the lowest part alone, where a lens changes all."""
    one, most = lens(1), (MIDDLE / FREQ[0]) ** 2
    alone = factors(lambda r: (r == most) * change_at(one, 0.5, 1.0, TIMES), 0.02, 5)
    assert alone.max() < 1


def test_a_verdict_with_colour():
    probability = np.array([0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.0])
    verdict = Verdict(3.0, probability, np.array([0.0, 1, 2, 3, 4]), None)
    found = coloured(verdict, np.log(5.0))
    assert found.log_factor == pytest.approx(3 + np.log(5))
    assert found.probability[2] == pytest.approx(2.5 / 3)
    np.testing.assert_allclose(found.odds[1:] - verdict.odds[1:], np.log(5))
    assert found.odds[0] == 0
    # a dip that is achromatic is not for that a block
    assert (coloured(verdict, -0.5).odds == verdict.odds).all()


def test_a_colour_knows_what_the_posterior_makes_of_it():
    """Draws that differ by more than the noise widen the error; equal ones do not."""
    same = over_posterior([Colour(1.2, 0.1)] * 5)
    assert (same.value, same.error) == (pytest.approx(1.2), pytest.approx(0.1))
    values = np.random.default_rng(1).normal(1.0, 2.0, 400)
    spread = over_posterior([Colour(float(v), 0.02) for v in values])
    assert spread.value == pytest.approx(1.0, abs=0.4) and spread.error == pytest.approx(2, rel=0.2)
    assert over_posterior([]) is None


def test_frequencies_that_are_nearly_the_same_are_one_part_measured_once():
    """Two receivers 0.5 % apart at each of two frequencies, and a third with too few epochs."""
    mjd = np.repeat(MJD0 + np.arange(9.0), 5)
    freq = np.tile([1.30e9, 1.3065e9, 1.45e9, 1.457e9, 3.0e9], 9)
    flux = np.tile([1.0, 9.0, 2.0, 9.0, 7.0], 9)
    seen = (freq < 2e9) | (mjd < MJD0 + 4)
    rows = Measured(*(v[seen] for v in (mjd, flux, 0.1 * flux, freq)))
    found = well_measured(rows)
    assert set(found.flux) == {1.0, 2.0} and len(found.mjd) == 18
    np.testing.assert_allclose(np.unique(found.freq_hz), [1.30325e9, 1.4535e9])
    parts = split(found)
    assert (parts.flux == 1).all() and (parts.epoch == np.repeat(np.arange(9), 2)).all()
    times, level, error = together(found)
    np.testing.assert_allclose(times, MJD0 + np.arange(9.0))
    np.testing.assert_allclose(level, 1.5)
    np.testing.assert_allclose(error, 0.15 / np.sqrt(2))


def test_of_no_measurement_nothing_is_left():
    assert not len(well_measured(Measured(*(np.empty(0) for _ in range(4)))).mjd)
