"""The ESE statistic, its false-alarm probability, and what does and does not fire it."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from contimg.core.lens import smoothed_gain
from contimg.variability.ese import search_all
from contimg.variability.noise import covariance, deviance, learn_priors, noise_grid
from contimg.variability.options import VariabilityOptions
from contimg.variability.polish import best_match
from contimg.variability.search import Search
from contimg.variability.shapes import Lenses, changes, depths
from contimg.variability.significance import NullDistribution, first_null
from contimg.variability.templates import make_bank
from variability import made

OPTIONS = VariabilityOptions()
QUICK = VariabilityOptions(bootstrap_draws=400)
TIMES = np.arange(12.0)


@pytest.fixture(scope="module")
def bank():
    return make_bank(TIMES, 3, 2.0, 60.0)


def make_search(bank, error=0.03):
    grid = noise_grid(1.0, 11.0)
    prior = np.full(len(grid), 0.3 / (len(grid) - 1))
    prior[0] = 0.7
    return Search(TIMES, np.full(12, error), 1.0, bank, grid, prior)


def test_templates_are_dips_that_the_epochs_constrain(bank):
    depth = depths(bank.lenses)
    low = (bank.change < -0.5 * depth).sum(axis=0)
    assert (low >= 3).all()
    assert ((bank.change > -0.2 * depth).sum(axis=0) >= 3).all()
    assert (bank.change.min(axis=0) < -0.8 * depth).all()
    assert (bank.change > -1).all()


@pytest.mark.parametrize("template", [3, 200, 900, 2000])
def test_width_of_a_template_is_that_of_its_dip(bank, template):
    lens = bank.lenses[np.array([template])]
    t = lens.t0 + np.linspace(-0.9, 0.9, 4001) * lens.width
    low = t[changes(lens, t)[0] < -depths(lens) / 2]
    assert np.ptp(low) == pytest.approx(lens.width[0], rel=0.02)


def test_templates_are_gains_of_lenses(bank):
    lens = bank.lenses[np.array([1500])]
    alpha, size = float(lens.alpha[0]), float(lens.size[0])
    u = np.linspace(0, 10, 4001)
    change = smoothed_gain(u, alpha, size) - 1
    half = u[np.argmax(change > change.min() / 2)]
    at = np.abs(TIMES - lens.t0) / (lens.width / 2) * half
    expected = smoothed_gain(at, alpha, size) - 1
    np.testing.assert_allclose(bank.change[:, 1500], expected, atol=0.02)


def test_long_series_keep_the_bank_small():
    assert 500 < len(make_bank(np.arange(180.0), 3, 2.0, 60.0)) < 4000


def test_too_short_a_series_has_no_template():
    assert len(make_bank(np.arange(5.0), 3, 2.0, 60.0)) == 0


def test_deviance_is_that_of_a_gaussian_with_the_mean_integrated_out():
    flux = 1 + 0.1 * np.random.default_rng(0).normal(size=12)
    noise = noise_grid(1.0, 11.0)[9]
    matrix = covariance(noise, TIMES, np.full(12, 0.03), 1.0)
    density = stats.multivariate_normal(np.zeros(12), matrix)
    means = np.linspace(-9, 11, 20001)
    logs = density.logpdf(flux - means[:, None])
    evidence = np.log(np.trapezoid(np.exp(logs - logs.max()), means)) + logs.max()
    expected = -2 * evidence - 11 * np.log(2 * np.pi)
    assert deviance(noise, TIMES, np.full(12, 0.03), 1.0, flux) == pytest.approx(expected)


def test_statistic_by_brute_force(bank):
    """One template, one noise model: chi-square with and without, minimised numerically."""
    search = make_search(bank)
    k = 400
    flux = 0.8 * (1 + 0.5 * bank.change[:, k]) + 0.03 * np.random.default_rng(1).normal(size=12)
    matrix = covariance(search.grid[4], TIMES, search.error, 1.0)

    def chi_square(parameters):
        mean, fraction = parameters
        residual = flux - mean * (1 + fraction * bank.change[:, k])
        return residual @ np.linalg.solve(matrix, residual)

    bounds = [(0.01, 3), (0, 1)]
    lens = minimize(chi_square, [0.8, 0.3], bounds=bounds).fun
    null = minimize(lambda p: chi_square([p[0], 0.0]), [0.8], bounds=bounds[:1]).fun
    change = bank.change[:, k]
    nulls = search.null(flux[None])
    value = search.evaluate_under(flux[None], change[None, None], nulls, np.array([4]))[0, 0]
    assert nulls[4, 0] - nulls.min() + value == pytest.approx(null - lens, rel=1e-3)
    _, baseline = search.solve(flux, change, 4)
    assert baseline == pytest.approx(0.8, abs=0.1)


def test_flux_cannot_become_negative(bank):
    """A dip deeper than all of the flux is fitted with all of it and no more."""
    search = make_search(bank)
    k = int(np.argmax(depths(bank.lenses)))
    for polished in (False, True):
        match = best_match(search, 1 + 3 * bank.change[:, k], polished=polished)
        assert 0 < match.fraction <= 1 + 1e-9


def test_scan_agrees_with_evaluation_one_by_one(bank):
    search = make_search(bank)
    random = np.random.default_rng(2)
    flux = 1 + 0.03 * random.normal(size=(20, 12))
    flux[3] *= made.lens_dip(TIMES, 6.0, 5.0, 0.4)
    flux[4] *= made.lens_dip(TIMES, 6.0, 5.0, 0.8)
    statistic, template = search.scan(flux)
    every = np.tile(bank.change.T, (2, 1, 1))
    exact = search.evaluate(flux[3:5], every, search.null(flux[3:5]))[0]
    np.testing.assert_allclose(statistic[3:5], exact.max(axis=1), atol=2e-3)
    np.testing.assert_array_equal(template[3:5], exact.argmax(axis=1))


def test_polishing_finds_a_lens_between_the_templates(bank):
    search = make_search(bank, error=0.01)
    lens = Lenses(*np.array([[10.0], [0.9], [4.37], [5.73]]))
    flux = 1 + 0.7 * changes(lens, TIMES)[0]
    rough = best_match(search, flux, polished=False)
    fine = best_match(search, flux, polished=True)
    assert fine.statistic > rough.statistic + 10
    # a dozen points leave several lenses possible; the dip itself is well known
    assert fine.lens.t0[0] == pytest.approx(5.73, abs=0.8)
    assert fine.lens.width[0] == pytest.approx(4.37, abs=1)


def test_extrapolated_tail_is_not_too_small(bank):
    """Against far more simulations than the extrapolation has seen."""
    search = make_search(bank)
    small = first_null(search, np.random.default_rng(1))
    larger = NullDistribution(
        search.prior,
        [
            np.sort(search.scan(search.simulate(k, 200, np.random.default_rng(k)))[0])
            for k in range(len(search.prior))
        ],
    )
    random, draws = np.random.default_rng(2), 1500
    many = np.concatenate(
        [search.scan(search.simulate(k, draws, random))[0] for k in range(len(search.prior))]
    )
    order = np.argsort(-many)
    tail = np.cumsum(np.repeat(search.prior / draws, draws)[order])
    threshold = [many[order][np.searchsorted(tail, p)] for p in (0.1, 0.01, 0.001)]
    assert small.probability(threshold[0]) == pytest.approx(0.1, rel=0.5)
    assert 0.005 < larger.probability(threshold[1]) < 0.04
    assert 0.0005 < larger.probability(threshold[2]) < 0.008


def test_prior_of_a_source_comes_from_the_others():
    deviances = np.tile([0.0, 40, 40, 40, 40], (20, 1))
    deviances[3] = [400, 40, 0, 40, 40]
    prior = learn_priors(deviances)
    np.testing.assert_allclose(prior.sum(axis=1), 1)
    assert prior[3, 2] < 0.01 < 0.04 < prior[0, 2]
    changed = deviances.copy()
    changed[3] = [400, 40, 40, 40, 0]
    np.testing.assert_allclose(learn_priors(changed)[3], prior[3], rtol=1e-6)


@pytest.mark.parametrize("amplitudes", [(0.0, 0.0), (0.05, 0.2)], ids=["constant", "walk"])
def test_false_alarms_are_as_frequent_as_declared(amplitudes):
    random = np.random.default_rng(7)
    curves = []
    for k in range(80):
        amplitude = random.uniform(*amplitudes)
        relative = np.ones(12)
        if amplitude:
            relative = made.walk(TIMES, amplitude, 10 ** random.uniform(0.5, 2.3), random)
        curves.append(made.curve(f"s{k:03d}", relative, random.uniform(0.01, 0.05), random))
    events = search_all(curves, QUICK)
    p = np.array([event.false_alarm_probability for event in events.values()])
    for level in (0.5, 0.2, 0.1, 0.05):
        assert stats.binomtest(int((p < level).sum()), len(p), level).pvalue > 0.002
    assert p.min() > 0.01 / len(p)


@pytest.fixture(scope="module")
def run():
    """A run of constant sources, an ESE, two ordinary variables and a bad measurement."""
    random = np.random.default_rng(21)
    outlier = np.where(TIMES == 6, 0.6, 1.0)
    relative = {f"c{k:02d}": np.ones(12) for k in range(24)} | {
        "ese": made.lens_dip(TIMES, 6.0, 5.0, 0.4),
        "outlier": outlier,
        "sine": 1 + 0.25 * np.sin(2 * np.pi * TIMES / 7.3),
        "trend": np.linspace(0.85, 1.15, 12),
    }
    curves = [made.curve(name, values, 0.03, random) for name, values in relative.items()]
    return curves, search_all(curves, OPTIONS)


def test_an_event_is_found_first(run):
    _, events = run
    p = {name: event.false_alarm_probability for name, event in events.items()}
    assert min(p, key=p.get) == "ese"
    assert p["ese"] < 1e-4 < OPTIONS.false_alarm_probability / len(p)
    event = events["ese"]
    assert event.depth == pytest.approx(0.4, abs=0.12)
    assert event.t0_mjd == pytest.approx(made.MJD0 + 6, abs=0.7)
    assert event.width_days == pytest.approx(5, abs=1.5)
    assert event.n_in_dip >= 4


def test_nothing_else_is_a_candidate(run):
    _, events = run
    others = {n: e.false_alarm_probability for n, e in events.items() if n != "ese"}
    assert min(others.values()) > OPTIONS.false_alarm_probability / len(events)
    assert others["outlier"] > 0.05


def test_order_of_sources_does_not_matter(run):
    curves, events = run
    again = search_all(curves[::-1], OPTIONS)
    for name in ("ese", "sine", "c03"):
        expected = events[name].false_alarm_probability
        assert again[name].false_alarm_probability == pytest.approx(expected, rel=1e-6)


def test_one_bad_epoch_in_a_long_series_is_not_an_event():
    random = np.random.default_rng(3)
    times = np.arange(40.0)
    curves = [made.curve(f"c{k}", np.ones(40), 0.02, random) for k in range(3)]
    curves.append(made.curve("bad", np.where(times == 20, 0.4, 1.0), 0.02, random))
    assert search_all(curves, QUICK)["bad"].false_alarm_probability >= 0.01


def test_too_few_epochs_are_not_searched():
    random = np.random.default_rng(3)
    assert search_all([made.curve("short", np.ones(7), 0.02, random)], OPTIONS) == {}
