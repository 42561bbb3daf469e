"""Normalisation: gains, their errors, and that no target takes part in its own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from contimg.variability import ensemble
from contimg.variability.lightcurves import light_curves
from contimg.variability.options import VariabilityOptions
from contimg.variability.references import find_gains
from variability import known_curves as made

OPTIONS = VariabilityOptions()


def weighted_log(values, fit):
    """Logarithms with the same convention of level as the fit."""
    log = np.log(values)
    return log - np.average(log, weights=(fit.gain / fit.gain_err) ** 2)


@pytest.mark.parametrize(("sources", "excess"), [(8, 0.02), (25, 0.02), (25, 0.0)])
def test_gains_are_recovered_within_their_errors(sources, excess):
    pulls = []
    for seed in range(5):
        grid, gains, _ = made.grid(sources, 12, seed, excess=excess)
        fit = find_gains(grid, OPTIONS).gains
        error = fit.gain_err / fit.gain
        pulls.append((np.log(fit.gain) - weighted_log(gains, fit)) / error)
        assert np.all(error < 2 * np.hypot(excess, 0.02) / np.sqrt(sources - 3))
    assert 0.75 < np.std(pulls) < 1.3


@pytest.mark.parametrize("excess", [0.0, 0.01, 0.04])
def test_errors_of_constant_sources_are_right(excess):
    """Pulls of references normalised by the others: unit variance, for bright ones, too."""
    pulls = []
    for seed in range(5):
        grid, _, _ = made.grid(20, 12, seed, excess=excess)
        found = find_gains(grid, OPTIONS)
        for row, fit in found.own.items():
            flux, total, mean = ensemble.normalise(
                grid.flux[row], grid.error[row], grid.good[row], fit
            )
            pulls.append((flux - mean) / total / np.sqrt(1 - 1 / 12))
    assert 0.92 < np.std(pulls) < 1.08


def test_excess_scatter_is_measured():
    estimates = [find_gains(made.grid(20, 12, s)[0], OPTIONS).gains.excess for s in range(4)]
    assert np.sqrt(np.mean(np.square(estimates))) == pytest.approx(0.02, rel=0.15)


def test_one_bad_epoch_has_its_own_excess():
    grid, _, _ = made.grid(25, 12, 3, excess=0.01)
    scatter = 1 + 0.1 * np.random.default_rng(0).normal(size=25)
    flux = grid.flux.copy()
    flux[:, 5] *= scatter
    fit = find_gains(made.Grid(**{**vars(grid), "flux": flux}), OPTIONS).gains
    assert fit.excess[5] == pytest.approx(0.1, rel=0.4)
    assert np.delete(fit.excess, 5).max() < 0.03


def test_scale_is_left_alone():
    grid, _, flux = made.grid(25, 12, 1)
    found = find_gains(grid, OPTIONS)
    log = np.log(found.gains.gain)
    assert np.average(log, weights=(found.gains.gain / found.gains.gain_err) ** 2) == (
        pytest.approx(0, abs=1e-12)
    )
    assert np.median(found.gains.level / flux[found.references]) == pytest.approx(1, abs=0.05)


def test_a_dip_in_a_reference_is_not_absorbed():
    """What goes in comes out: the gains of the others, with and without the dip, are the same."""
    dip = np.ones((12, 12))
    dip[4, 4:9] = 0.6
    plain, _, _ = made.grid(12, 12, 11)
    grid, _, _ = made.grid(12, 12, 11, change=dip)
    before, found = find_gains(plain, OPTIONS), find_gains(grid, OPTIONS)
    assert 4 not in found.references
    clean = ensemble.normalise(plain.flux[4], plain.error[4], plain.good[4], before.own[4])[0]
    dipped = ensemble.normalise(grid.flux[4], grid.error[4], grid.good[4], found.gains)[0]
    ratio = dipped / clean
    transfer = (1 - ratio[4:9].mean() / np.delete(ratio, range(4, 9)).mean()) / 0.4
    # the noise of the source itself scales with its flux, so a little of it remains
    assert transfer == pytest.approx(1, abs=0.01)


def test_a_weak_dip_in_a_kept_reference_is_not_absorbed():
    dip = np.ones((12, 12))
    dip[4, 5:8] = 0.97
    plain, _, _ = made.grid(12, 12, 2)
    grid, _, _ = made.grid(12, 12, 2, change=dip)
    before, found = find_gains(plain, OPTIONS), find_gains(grid, OPTIONS)
    assert 4 in before.references and 4 in found.references
    # equal up to where the iterations started from
    np.testing.assert_allclose(found.own[4].gain, before.own[4].gain, rtol=1e-4)


@pytest.mark.parametrize("factor", [0.6, 1.5, 3.0])
def test_influence_of_a_flaring_reference_is_bounded(factor):
    """Before any reference is dropped, in the fit itself."""
    flare = np.ones((20, 12))
    flare[7, 6] = factor
    plain, _, _ = made.grid(20, 12, 4)
    grid, _, _ = made.grid(20, 12, 4, change=flare)
    without = np.arange(20) != 7
    rest = ensemble.fit_gains(grid.flux[without], grid.error[without], grid.good[without])
    fit = ensemble.fit_gains(grid.flux, grid.error, grid.good)
    shift = fit.gain / fit.gain[0] - rest.gain / rest.gain[0]
    steady = ensemble.fit_gains(plain.flux, plain.error, plain.good)
    usual = steady.gain / steady.gain[0] - rest.gain / rest.gain[0]
    # the flare adds nothing to what leaving out one of twenty changes anyway
    assert abs(shift[6]) < abs(usual[6]) + 0.1 * rest.gain_err[6]


def test_unstable_references_are_dropped_one_after_the_other():
    change = np.ones((20, 12))
    change[2] = 1 + 0.3 * np.sin(np.arange(12))
    change[9] = np.linspace(0.8, 1.2, 12)
    change[15, 3] = 2
    grid, _, _ = made.grid(20, 12, 6, change=change)
    found = find_gains(grid, OPTIONS)
    assert {"s002", "s009", "s015"} <= set(found.dropped)
    assert len(found.dropped) <= 4
    assert not {2, 9, 15} & set(found.references)


def test_blended_faint_or_badly_measured_sources_are_no_references():
    grid, _, _ = made.grid(12, 12, 8)
    isolated, error, good = grid.isolated.copy(), grid.error.copy(), grid.good.copy()
    isolated[0] = False
    error[1] *= 20
    good[2, :5] = False
    changed = {"isolated": isolated, "error": error, "good": good}
    found = find_gains(made.Grid(**{**vars(grid), **changed}), OPTIONS)
    assert not {0, 1, 2} & set(found.references)


def test_epoch_without_references_is_marked_and_carries_the_prior_error():
    grid, _, _ = made.grid(12, 12, 9)
    good = grid.good.copy()
    good[2:, 7] = False
    found = find_gains(made.Grid(**{**vars(grid), "good": good}), OPTIONS)
    assert found.normalised.sum() == 11 and not found.normalised[7]
    assert found.gains.gain[7] == 1 and found.gains.gain_err[7] == OPTIONS.gain_error_prior
    row = 0
    fit = found.own.get(row, found.gains)
    flux, total, mean = ensemble.normalise(grid.flux[row], grid.error[row], good[row], fit)
    assert flux[7] == grid.flux[row, 7]
    assert total[7] == pytest.approx(np.hypot(grid.error[row, 7], 0.05 * mean))


def test_too_few_sources_leave_everything_unnormalised():
    grid, _, _ = made.grid(4, 12, 9)
    found = find_gains(grid, OPTIONS)
    assert not found.normalised.any() and not found.own
    assert (found.gains.gain == 1).all()


def test_a_light_curve_is_normalised_by_gains_without_its_source():
    """As if the source had not been observed: a gain with its own part in it would hide it."""
    grid, _, _ = made.grid(7, 10, 2, excess=0.005)
    found = find_gains(grid, OPTIONS)
    rows = {
        "mjd": grid.mjd.ravel(),
        "flux_jy": grid.flux.ravel(),
        "flux_err_jy": grid.error.ravel(),
        "source": np.repeat(grid.sources, 10),
        "mosaic": np.tile(grid.mosaics, 7),
        "ra_deg": 0.0,
        "dec_deg": 0.0,
        "pointing_dec_deg": 0.0,
        "n_blend": 1,
        "flag": "",
    }
    table = light_curves(pd.DataFrame(rows), grid, found)
    assert found.references == list(range(7))
    for row in (0, 4):
        others = np.arange(7) != row
        names = [name for name, keep in zip(grid.sources, others, strict=True) if keep]
        fields = ("mjd", "flux", "error", "good", "isolated")
        rest = {name: getattr(grid, name)[others] for name in fields}
        gain = find_gains(made.Grid(names, grid.mosaics, **rest), OPTIONS).gains.gain
        mine = table[table["source"] == grid.sources[row]]
        assert mine["is_reference"].all()
        assert mine["gain"].to_numpy() == pytest.approx(gain, rel=2e-4)
        assert mine["flux_norm_jy"].to_numpy() == pytest.approx(grid.flux[row] / gain, rel=2e-4)
        assert np.abs(found.gains.gain / gain - 1).max() > 1e-3, "else nothing was tested"


def sloped_field(seed, amplitude=0.02, epochs=40, **special):
    """60 sources in a field of two degrees, across which gains differ by +-`amplitude`, slowly."""
    random = np.random.default_rng(seed)
    change = np.ones((60, epochs))
    for row, values in special.items():
        change[int(row[1:])] = values
    grid, _, _ = made.grid(60, epochs, seed, excess=0.0, change=change)
    ra, dec = 359.2 + 2 * random.uniform(size=60), 16 + 2 * random.uniform(size=60)
    slope = amplitude * np.sin(2 * np.pi * np.arange(epochs) / 60)
    across = np.cos(np.radians(dec))[:, None] * (ra - 360.2)[:, None] * slope
    fields = {"flux": grid.flux * (1 + across), "ra_deg": ra % 360, "dec_deg": dec}
    return made.Grid(**{**vars(grid), **fields})


def p_of_all(grid, found):
    """Probability of every source to be constant."""
    p = []
    for row in range(len(grid.sources)):
        args = grid.flux[row], grid.error[row], grid.good[row]
        flux, total, mean = ensemble.normalise(*args, found.of(row, grid))
        p.append(stats.chi2.sf((((flux - mean) / total) ** 2).sum(), len(flux) - 1))
    return np.array(p)


def test_a_gradient_of_the_gain_over_the_field_is_measured():
    """Constant sources stay constant, what varies is left out, a dip keeps its depth."""
    days = np.arange(40.0)
    dip, wave = made.lens_dip(days, 20, 8, 0.5), 1 + 0.1 * np.sin(days / 3)
    special = {"s7": dip, "s11": wave}
    grid = sloped_field(1, **special)
    found = find_gains(grid, OPTIONS)
    # what the gradient is on average is in the levels of the sources
    true = 0.02 * np.sin(2 * np.pi * days / 60)
    pull = found.gains.slope[:, 0] - true - (found.gains.slope[:, 0] - true).mean()
    assert np.abs(pull).max() < 4 * np.sqrt(found.gains.covariance[:, 1, 1].mean())
    assert np.ptp(found.gains.slope[:, 0]) > 0.03
    assert {"s007", "s011"} <= set(found.dropped) and len(found.dropped) <= 3
    constant = np.delete(np.arange(60), [7, 11])
    assert stats.kstest(p_of_all(grid, found)[constant], "uniform").pvalue > 0.01
    plain = sloped_field(1, s11=wave)
    clean = find_gains(plain, OPTIONS)
    fluxes = [
        ensemble.normalise(g.flux[7], g.error[7], g.good[7], f.of(7, g))[0]
        for g, f in ((grid, found), (plain, clean))
    ]
    ratio = fluxes[0] / fluxes[1]
    # noise scales with the flux, and so does a part of it in the ratio
    assert ratio[20] / np.median(ratio[:8]) == pytest.approx(dip[20] / dip[0], abs=0.02)


def test_a_flat_gain_is_left_flat():
    found = find_gains(sloped_field(2, 0.0), OPTIONS)
    assert not found.gains.slope.any()


def test_many_references_are_left_out_by_a_downdate():
    """The same gains as from another fit, up to what one of sixty does to the others' levels."""
    grid = sloped_field(3)
    place = np.random.default_rng(0).uniform(-1, 1, (60, 1, 2)) * np.ones((1, 40, 1))
    data = grid.flux, grid.error, grid.good
    full = ensemble.fit_gains(*data, None, place)
    quick = ensemble.leave_one_out(*data, full, place)
    rest = np.arange(60) != 5
    slow = ensemble.fit_gains(*(d[rest] for d in data), None, place[rest]).at(place[5])
    difference = np.log(quick[5].gain / slow.gain)
    error = slow.gain_err / slow.gain
    assert np.abs(difference - difference.mean()).max() < 0.1 * error.mean()
    assert quick[5].gain_err == pytest.approx(slow.gain_err, rel=0.1)


def test_every_field_has_references_of_its_own():
    """Four fields of 12 sources in turn, the last one faint: each is normalised by its own."""
    options = OPTIONS.model_copy(update={"max_references": 10})
    grid, gains, _ = made.grid(48, 40, 5, excess=0.005)
    field, turn = np.arange(48) // 12, np.arange(40) % 4
    seen = field[:, None] == turn
    error = np.where((field == 3)[:, None], 2 * grid.error.clip(grid.flux / 60), grid.error)
    mjd = np.where(seen, grid.mjd, np.nan)
    found = find_gains(
        made.Grid(**{**vars(grid), "good": grid.good & seen, "mjd": mjd, "error": error}), options
    )
    assert found.normalised.all()
    assert (found.n_references <= 10).all() and (found.n_references >= 5).all()
    for k in range(4):
        ratio = np.log(found.gains.gain / gains)[turn == k]
        assert np.std(ratio) < 0.02
        own = [row for row in found.references if field[row] == k]
        assert len(own) >= 5


def seen_in_strips(seed, offset, *, sources=30, epochs=48, change=None):
    """Constant sources in two strips by turns of a week, where they differ by `offset`."""
    grid, gains, _ = made.grid(sources, epochs, seed, excess=0.0, change=change)
    strip = np.arange(epochs) // 7 % 2
    differ = 1 + offset * np.random.default_rng(seed).normal(size=(sources, 2))
    return replace(grid, flux=grid.flux * differ[:, strip], strip=strip), gains


def left(grid, found):
    """Pulls of all sources about their own mean in each strip."""
    pulls = []
    for row in range(len(grid.sources)):
        args = grid.flux[row], grid.error[row], grid.good[row]
        flux, total, _ = ensemble.normalise(*args, found.of(row, grid))
        for k in (0, 1):
            here = grid.strip == k
            pulls.append((flux - np.average(flux[here], weights=total[here] ** -2)) / total)
            pulls[-1] = pulls[-1][here] / np.sqrt(1 - 1 / here.sum())
    return np.concatenate(pulls)


@pytest.mark.parametrize("sources", [30, 60])
def test_a_reference_may_differ_from_strip_to_strip(sources):
    """None is dropped for it, and the offsets are no scatter."""
    options = OPTIONS.model_copy(update={"strip_offset": 0.03})
    for seed in range(3):
        grid, gains = seen_in_strips(seed, 0.03, sources=sources)
        found = find_gains(grid, options)
        assert not found.dropped
        assert np.sqrt(np.mean(found.gains.excess**2)) < 0.004
        assert np.std(left(grid, found)) == pytest.approx(1, abs=0.05)
        # gains from epoch to epoch of a strip are as if there were no offsets; between strips they
        # hang on what the offsets of all references are on average
        ratio = np.log(found.gains.gain / gains)
        both = [ratio[grid.strip == k] for k in (0, 1)]
        assert max(map(np.std, both)) < 0.01
        common = both[1].mean() - both[0].mean()
        assert abs(common) < 4 * 0.03 * np.sqrt(2 / sources)
    without = find_gains(grid, OPTIONS.model_copy(update={"strip_offset": 0.0}))
    assert len(without.dropped) > sources / 5, "else nothing was tested"


def test_a_reference_that_varies_within_a_strip_is_dropped_all_the_same():
    change = np.ones((30, 48))
    change[4] = 1 + 0.1 * np.sin(np.arange(48) / 2)
    change[9, 30:36] = 0.7
    grid, _ = seen_in_strips(5, 0.02, change=change)
    assert set(find_gains(grid, OPTIONS).dropped) == {"s004", "s009"}


def test_one_strip_is_as_none():
    grid, _, _ = made.grid(20, 12, 3)
    plain = find_gains(grid, OPTIONS).gains
    fits = [find_gains(replace(grid, strip=s), OPTIONS).gains for s in (np.zeros(12, int),)]
    np.testing.assert_allclose(fits[0].gain, plain.gain, rtol=1e-12)
    np.testing.assert_allclose(fits[0].level, plain.level, rtol=1e-12)
    assert not fits[0].offset.any()
