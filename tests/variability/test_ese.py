"""The search: evidence, classes, false alarms, parameters."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from contimg.core.lens import smoothed_gain
from contimg.variability.banks import CLASSES, Banks, make_banks
from contimg.variability.ese import Verdict
from contimg.variability.evidence import (
    QUIET_SIGMA,
    fit_templates,
    largest_window,
    log_sum,
    make_series,
    quantile,
    weigh,
    whitener,
)
from contimg.variability.noise import covariance, learn_priors, noise_grid
from contimg.variability.options import VariabilityOptions
from contimg.variability.search import search_all
from contimg.variability.significance import null_distribution
from variability import known_curves

QUICK = VariabilityOptions(null_draws=100)
TIMES = np.arange(40.0)
MJD0 = known_curves.MJD0


@pytest.mark.parametrize(
    ("name", "size"), [("ese", 0.3), ("step", 0.3), ("bad_block", 0.3), ("bad_block", 0.6)]
)
def test_evidence_of_a_template_by_integration(name, size):
    """Mean and amplitude integrated numerically, against the closed form."""
    random = np.random.default_rng(4)
    times = np.arange(20.0)
    error = random.uniform(0.04, 0.08, 20)
    full = make_banks(times, 3, 2.0, None).of_class[name]
    k = full.templates.shape[1] // 3
    column = {n: getattr(full, n)[k : k + 1] for n in ("log_weight", "low", "high", "parameters")}
    templates = full.templates[:, k : k + 1]
    bank = dataclasses.replace(full, templates=templates, where=None, **column)
    series = make_series(
        times, 1 + size * bank.templates[:, 0] + error * random.normal(size=20), error
    )
    noise = noise_grid(1.0, 20.0)[4]
    banks = Banks({name: bank})
    found = weigh(series, lambda: banks, [noise])
    inverse = np.linalg.inv(covariance(noise, times, np.sqrt(series.variance), 1.0))
    means = np.linspace(0.3, 1.7, 700)[:, None]
    amplitudes = np.linspace(bank.low[0], bank.high[0], 701)[None]

    def density(template):
        rest = (1 + series.flux) - means[..., None] - (means * amplitudes)[..., None] * template
        square = np.einsum("abi,ij,abj->ab", rest, inverse, rest, optimize=True)
        return np.exp(-0.5 * square)

    step = means[1, 0] - means[0, 0]
    null = density(np.zeros(20))[:, 0].sum() * step
    # four of five bad blocks are of less than 40 %
    prior = 0.2 + 0.8 / 0.4 * (np.abs(amplitudes) < 0.4) if name == "bad_block" else 1.0
    mean = (prior * density(bank.templates[:, 0])).mean(axis=1).sum() * step
    factor = found.classes[0].max() - bank.log_weight[0]
    assert factor == pytest.approx(np.log(mean / null), abs=0.15)


def test_evidence_of_a_class_is_the_mean_over_its_templates():
    """However many of them are left out for being too unlikely."""
    change = 0.6 * (known_curves.lens_dip(TIMES, 22, 6, 0.5) - 1)
    random = np.random.default_rng(8)
    flux = 1 + change + 0.05 * random.normal(size=40)
    series = make_series(TIMES, flux, np.full(40, 0.05))
    banks = make_banks(TIMES, 3, 2.0, None)
    noise = noise_grid(1.0, 39.0)[7]
    found = weigh(series, lambda: banks, [noise]).classes[0]
    white = whitener(series, noise).of(series.flux)
    for c, name in enumerate(CLASSES):
        bank = banks.of_class[name]
        each = fit_templates(white, bank).log_factor
        weight = bank.log_weight[:: 3 if bank.pairs else 1]
        assert found[c] == pytest.approx(log_sum(each + weight), abs=1e-6)


def test_a_window_that_stands_out():
    random = np.random.default_rng(2)
    variance = random.uniform(0.5, 2, 50)
    quiet = np.array(
        [largest_window(np.sqrt(variance) * random.normal(size=50), variance) for _ in range(500)]
    )
    assert np.mean(quiet > QUIET_SIGMA) < 0.05
    flux = np.where((np.arange(50) > 9) & (np.arange(50) < 20), -2.0, 0.0)
    weight = 1 / variance
    inside = weight[10:20].sum()
    known = 2 * np.sqrt(inside * (1 - inside / weight.sum()))
    assert largest_window(flux, variance) == pytest.approx(known, rel=0.1)


def test_quantiles():
    values = np.random.default_rng(3).normal(size=37)
    for part in (0.0, 0.05, 0.5, 0.9, 1.0):
        assert quantile(values, part) == pytest.approx(np.quantile(values, part), abs=1e-14)
    assert quantile(values[:1], 0.9) == values[0]


def test_prior_of_a_source_comes_from_the_others():
    null = np.tile([0.0, -20, -20, -20, -20], (20, 1))
    null[3] = [-200, -20, 0, -20, -20]
    classes, rates = np.full((20, 5, 2), -5.0), np.array([0.01, 0.01])
    base = np.array([0.5, 0.125, 0.125, 0.125, 0.125])
    prior = np.exp(learn_priors(null, classes, rates, 100.0, base).noise)
    np.testing.assert_allclose(prior.sum(axis=1), 1)
    assert prior[3, 2] < 0.02 < 0.04 < prior[0, 2]


def test_a_lensed_source_does_not_make_strong_noise_likely():
    null = np.tile([0.0, -20, -20], (10, 1))
    null[3] = [-100, -20, 0]
    classes, rates = np.full((10, 3, 1), -5.0), np.array([0.01])
    base = np.array([0.5, 0.25, 0.25])
    classes[3, 0] = 120
    prior = np.exp(learn_priors(null, classes, rates, 100.0, base).noise)
    assert prior[0, 2] < 0.06


def test_probability_of_simulated_values():
    """ln B of a likelihood ratio of two Gaussians, of which the tail is known."""
    random = np.random.default_rng(1)
    shift = 3.0
    x = random.normal(size=2000)
    null = null_distribution(shift * x - shift**2 / 2, np.ones(2000))
    for value in (1.0, 2.0, 3.0):
        known = stats.norm.sf(value)
        assert null.probability(shift * value - shift**2 / 2) == pytest.approx(known, rel=0.5)
    beyond = shift * 5.0 - shift**2 / 2
    assert stats.norm.sf(5.0) < null.probability(beyond) < np.exp(-beyond)


def test_what_was_not_looked_at_closely_is_no_dip():
    """The rates of the run may make one the most probable that at first was not worth it."""
    random = np.random.default_rng(7)
    curves = [known_curves.curve(f"c{k}", np.ones(40), 0.05, random) for k in range(6)]
    found = search_all(curves, QUICK)
    probability = np.full(len(found.verdicts[0].probability), 0.01)
    probability[2] = 0.9
    odds = np.full(len(found.verdicts[0].odds), 9.0)
    event = found.described(curves[0], Verdict(2.0, probability, odds, None))
    assert event.kind == "constant" and np.isnan(event.values["depth"].value)
    assert not found.announces(event)


@pytest.mark.parametrize("seed", range(8))
def test_many_of_a_rare_kind_do_not_tell_what_the_common_one_does(seed: int) -> None:
    """A hundred of a kind that makes up 1e-4 reach high values; of the common kind none is seen."""
    random, shift = np.random.default_rng(seed), 3.0
    x = np.append(random.normal(size=100), random.normal(1, 1, size=100))
    weight = np.repeat([2.0, 2e-4], 100)
    dips = shift * random.normal(shift, 1, size=200) - shift**2 / 2
    null = null_distribution(shift * x - shift**2 / 2, weight, dips, np.ones(200))
    for value in (2.2, 2.6, 3.0):
        known = stats.norm.sf(value)
        assert 0.4 < null.probability(shift * value - shift**2 / 2) / known < 4


def test_rounding_puts_no_order_into_equal_factors():
    """Half of the light curves hold nothing: their B is one number, each has the same p."""
    random = np.random.default_rng(6)
    nothing, weight = np.full(200, -1.5), random.uniform(0.1, 3, 400)
    some = random.normal(0, 1, 200)
    found = []
    for _ in range(2):
        values = np.append(nothing + 1e-12 * random.normal(size=200), some)
        null = null_distribution(values, weight)
        ask = np.append(-1.5 + 1e-12 * random.normal(size=50), (-1.0, 0.5, 4.0))
        found.append(null.probability(ask))
    np.testing.assert_allclose(*found, rtol=1e-9)
    at_least = weight[np.append(nothing, some) > -1.5 - 1e-9].sum() / weight.sum()
    np.testing.assert_allclose(found[0][:50], at_least, rtol=1e-9)


@pytest.fixture(scope="module")
def run():
    """Constant sources, an ESE, and all that is not to be taken for one."""
    random = np.random.default_rng(21)
    change = smoothed_gain((TIMES - 22) / 3.0, 4.0, 0.3) - 1
    relative = {f"c{k:02d}": np.ones(40) for k in range(20)} | {
        "ese": 1 + 0.5 * change,
        "smooth": 1 - 0.6 * np.exp(-(((TIMES - 18) / 6) ** 2)),
        "flare": 1 + np.where(TIMES > 14, np.exp(-(TIMES - 14) / 9), 0.0),
        "step": np.where(TIMES > 25, 0.7, 1.0),
        "block": np.where((TIMES > 9) & (TIMES < 14), 0.6, 1.0),
        "outlier": np.where(TIMES == 6, 0.6, 1.0),
        "sine": 1 + 0.25 * np.sin(2 * np.pi * TIMES / 7.3),
        "walk": known_curves.walk(TIMES, 0.2, 20.0, np.random.default_rng(100)),
    }
    curves = [known_curves.curve(n, values, 0.05, random) for n, values in relative.items()]
    found = search_all(curves, QUICK)
    return curves, found.events(), -0.5 * change.min(), found


def test_an_event_is_found_and_nothing_else(run):
    _, events, depth, _ = run
    threshold = QUICK.false_alarm_probability / len(events)
    found = {
        name
        for name, event in events.items()
        if event.kind == "ese" and event.false_alarm_probability < threshold
    }
    assert "ese" in found and found <= {"ese", "smooth"}
    values = events["ese"].values
    for name, true in (("depth", depth), ("t0_mjd", MJD0 + 22), ("baseline_jy", 0.1)):
        assert values[name].value == pytest.approx(true, abs=3.5 * values[name].error)
        assert values[name].error > 0
    assert values["depth"].error < 0.1 and values["t0_mjd"].error < 0.5


def test_everything_is_called_what_it_is(run):
    _, events, _, _ = run
    expected = {
        "ese": "ese",
        "smooth": "ese",
        "flare": "flare",
        "step": "step",
        "block": "bad_block",
        "outlier": "bad_block",
        "sine": "periodic",
        "walk": "red_noise",
    }
    assert {name: events[name].kind for name in expected} == expected
    constant = [events[f"c{k:02d}"].kind for k in range(20)]
    assert constant.count("constant") >= 17
    assert sum(events["ese"].probability.values()) == pytest.approx(1)


def test_walks_are_noise(run):
    """One after the other in the company of the same sources; one may stay low for a while."""
    _, _, _, found = run
    kinds = []
    for seed in range(101, 113):
        random = np.random.default_rng(seed)
        walk = known_curves.walk(TIMES, 0.2, 20.0, random)
        curve = known_curves.curve("walk", walk, 0.05, random)
        kinds.append(found.examine(curve, len(found.curves) - 1, seed).kind)
    assert kinds.count("red_noise") >= 11


def test_a_lone_scintillator_is_no_event(run):
    _, _, _, found = run
    for seed in range(24):
        random = np.random.default_rng([9, seed])
        change = random.uniform(0.02, 0.08), random.uniform(4, 20)
        curve = known_curves.scintillation(TIMES, *change, random)
        curve = known_curves.curve("scintillator", curve, 0.05, random)
        assert not found.announces(found.examine(curve, 0, seed))


def test_the_curve_goes_through_the_data(run):
    curves, events, _, _ = run
    curve = next(c for c in curves if c.source == "ese")
    event = events["ese"]
    drawn = np.interp(curve.mjd, event.model_mjd, event.process_jy)
    # the drawn curve has 400 points, a caustic falls between
    pull = (curve.flux - drawn) / curve.error
    assert np.median(pull**2) < 1.0


def test_order_of_sources_and_processes_do_not_matter(run):
    curves, events, _, _ = run
    again = search_all(curves[::-1], QUICK, workers=2).events()
    for name in ("ese", "sine", "c03"):
        one, two = events[name], again[name]
        assert two.log_factor == pytest.approx(one.log_factor, rel=1e-6)
        assert two.values["depth"] == one.values["depth"] or np.isnan(one.values["depth"].value)


def test_false_alarms_of_constant_sources():
    random = np.random.default_rng(7)
    curves = [
        known_curves.curve(f"s{k:03d}", np.ones(20), random.uniform(0.02, 0.05), random)
        for k in range(80)
    ]
    events = search_all(curves, QUICK).events()
    p = np.array([event.false_alarm_probability for event in events.values()])
    assert not any(event.kind == "ese" for event in events.values())
    for level in (0.5, 0.2, 0.05):
        # not more often than declared
        expected = stats.binom.ppf(0.999, len(p), level)
        assert (p < level).sum() <= expected
