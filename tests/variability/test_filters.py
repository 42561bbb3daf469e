"""Inner products of templates that are zero nearly everywhere, against the inverse covariance."""

import numpy as np
import pytest

from contimg.variability.banks import allows_dips, constrained, make_banks, sines
from contimg.variability.filters import draw_process, make_whitener, supports
from contimg.variability.noise import Noise, covariance
from contimg.variability.profiles import ALPHAS, IMPACTS, SIZES, Dips, changes, pieces

TIMES = np.delete(np.arange(280.0), [3, 50, 51, 200])


@pytest.mark.parametrize(
    "noise",
    [Noise("white", 0, 1.0), Noise("walk", 0.1, 40.0), Noise("smooth", 0.2, 3.0)],
)
def test_products_by_the_inverse(noise):
    """Of every class; the last process forgets so fast that states fade to nothing."""
    random = np.random.default_rng(1)
    flux, error = 0.1 * random.normal(size=len(TIMES)), np.full(len(TIMES), 0.02)
    inverse = np.linalg.inv(covariance(noise, TIMES, error, 1.0))
    white = make_whitener(TIMES, error**2, *vars(noise).values()).of(flux)
    for name, bank in make_banks(TIMES, 3, 2.0, None).of_class.items():
        first, last = bank.support.T
        assert name == "periodic" or np.mean(last - first) < 0.8 * len(TIMES)
        found = white.products(bank.packed)[1]
        rows = random.choice(bank.templates.shape[1], 200)
        t = bank.templates[:, rows].astype(float)
        tt = np.einsum("nk,nm,mk->k", t, inverse, t, optimize=True)
        np.testing.assert_allclose(found[0, rows], tt, rtol=1e-4)
        for k, other in ((1, flux), (2, np.ones(len(TIMES)))):
            sigma = np.abs(found[k, rows] - other @ inverse @ t) / np.sqrt(tt)
            assert sigma.max() < 1e-3 * np.sqrt(other @ inverse @ other)


def test_support_of_blocks_of_templates():
    templates = np.zeros((30, 70), np.float32)
    templates[5:9, 3], templates[7:20, 40] = 1.0, -0.5
    assert supports(templates)[:2].tolist() == [[5, 9], [7, 20]]
    assert np.ptp(supports(templates)[2]) == 0  # nothing


def test_a_bank_has_dips_where_epochs_allow_them():
    random = np.random.default_rng(2)
    seen = set()
    for number in (5, 6, 7, 8, 12, 30):
        for _ in range(8):
            times = np.cumsum(np.exp(2 * random.normal(size=number)))
            times -= times[0]
            has = "ese" in make_banks(times, 3, 2.0, None).of_class
            assert allows_dips(times, 3, 2.0, None) == has
            seen.add(has)
    assert seen == {True, False}


def test_pieces_are_the_templates_where_they_are_not_zero():
    """Dips of every kind and shape against whole ones, and who of them is constrained."""
    random = np.random.default_rng(3)
    number, span = 400, TIMES[-1]
    shape = random.uniform(0, (len(ALPHAS) - 1, len(SIZES) - 1, len(IMPACTS) - 1), (number, 3))
    width, t0 = np.exp(random.uniform(0, 5, number)), random.uniform(-20, span + 20, number)
    dips = Dips(random.integers(3, size=number), *shape.T, width, t0)
    whole, found = changes(dips, TIMES), pieces(dips, TIMES)
    keep = constrained(found, len(TIMES), 3)
    enough = ((whole < -0.5).sum(axis=0) >= 3) & ((np.abs(whole) < 0.2).sum(axis=0) >= 3)
    assert (keep == (enough & (whole.min(axis=0) < -0.8))).all() and 50 < keep.sum() < 350
    templates, support = found.whole(len(TIMES), keep)
    np.testing.assert_array_equal(templates, whole[:, keep].astype(np.float32))
    np.testing.assert_array_equal(support, supports(templates))


def test_flares_and_sines_of_a_bank():
    banks = make_banks(TIMES, 3, 2.0, None).of_class
    peak, rise, decay = banks["flare"].parameters.T
    since = TIMES[:, None] - peak
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        up = np.where(rise > 0, np.exp(np.minimum(since, 0) / rise), 0.0)
        bump = np.exp(-4 * np.log(2) * (since / rise) ** 2)
    down = np.where(since >= -1e-6, np.exp(-np.maximum(since, 0) / decay), up)
    expected = np.where(rise < 0, bump, down)
    np.testing.assert_allclose(banks["flare"].templates, expected, atol=1e-5)
    bank = banks["periodic"]
    wave = sines(bank.parameters[:, 0], TIMES)
    np.testing.assert_allclose(bank.templates, wave, atol=1e-6)


class OneNormal:
    """In place of random numbers: zeros but for one of them."""

    def __init__(self, place: int):
        self.place = place

    def standard_normal(self, shape):
        values = np.zeros(shape)
        values.flat[self.place] = 1.0
        return values


@pytest.mark.parametrize("noise", [Noise("walk", 0.1, 40.0), Noise("smooth", 0.2, 8.0)])
def test_draws_of_a_process_have_its_covariance(noise):
    """A draw is linear in its normal numbers: their columns times themselves are the covariance."""
    times = TIMES[::7] + np.arange(40) % 3 * 0.3
    columns = [draw_process(times, noise, OneNormal(k)) for k in range(2 * len(times))]
    expected = covariance(noise, times, np.zeros(len(times)), 1.0)
    np.testing.assert_allclose(np.transpose(columns) @ columns, expected, rtol=1e-6, atol=1e-12)
