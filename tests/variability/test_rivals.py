"""Evidence of flares: an integral over their parameters, not the best of them."""

import numpy as np
import pytest

from contimg.variability.banks import BUMP, CLASSES, MAX_FLARE, Bank, flares, make_banks
from contimg.variability.density import make_problem
from contimg.variability.evidence import fit_templates, log_sum, make_series, weigh, whiteners
from contimg.variability.noise import Noise
from contimg.variability.rivals import sharpen

WHITE = [Noise("white", 0.0, 1.0)]
TIMES = np.arange(60.0)
FLARE, STEP = CLASSES.index("flare"), CLASSES.index("step")


def sharpened(change):
    """ln Bayes factors (C,) of a light curve of 5 % errors, and its problem."""
    flux = 1 + change + 0.05 * np.random.default_rng(4).standard_normal(len(TIMES))
    series = make_series(TIMES, flux, np.full(len(TIMES), 0.05))
    banks = make_banks(TIMES, 3, 2.0, None)
    evidence = weigh(series, lambda: banks, WHITE)
    filters, about = whiteners(series, WHITE), (series.times, series.flux, series.variance)
    problem = make_problem(*about, filters, evidence.null, 3, 2.0, None)
    found = sharpen(problem, banks, evidence, WHITE, np.random.default_rng(1))
    return found[0], problem


def by_draws(problem, peak, decay, number=100_000):
    """ln Bayes factor of flares, their parameters drawn from the prior about a strong one.

    Peaks are even in time, decay times in logarithm from one to 59 days; half are bumps, half
    rise in up to 0.375 of their decay times.
    """
    random = np.random.default_rng(2)
    decays = decay * np.exp(random.uniform(-0.7, 0.7, number))
    peaks = peak + random.uniform(-3, 3, number)
    rises = np.where(random.uniform(size=number) < 0.5, -BUMP, random.uniform(0, 0.375, number))
    parameters = np.column_stack([peaks, rises * decays, decays])
    one, zero = np.full(number, MAX_FLARE), np.zeros(number)
    bank = Bank(flares(*parameters.T, TIMES), zero, zero, one, parameters)
    factor = fit_templates(problem.white(0), bank).log_factor
    part = 6 / 59 * 1.4 / np.log(59)
    return float(log_sum(factor) - np.log(number) + np.log(part))


@pytest.mark.parametrize("size", [0.3, 1.0])
def test_evidence_of_a_flare_is_the_mean_over_the_prior(size):
    peak, decay = 20.3, 6.0
    since = TIMES - peak
    change = size * np.where(since >= 0, np.exp(-since / decay), np.exp(since / (0.1 * decay)))
    found, problem = sharpened(change)
    assert found[FLARE] == pytest.approx(by_draws(problem, peak, decay), abs=1.0)


@pytest.mark.parametrize(("at", "size"), [(50, 0.3), (40, 0.4), (15, -0.3)])
def test_a_step_is_no_flare_that_does_not_decay(at, size):
    found, _ = sharpened(size * (at < TIMES))
    assert found[STEP] > found[FLARE] + 2
