"""Systematics that are no news: offsets of strips, and what the time of the day does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from contimg.core.lens import smoothed_gain
from contimg.variability.ese import LightCurve
from contimg.variability.ese_command import curves_of
from contimg.variability.filters import make_whitener
from contimg.variability.options import VariabilityOptions
from contimg.variability.search import search_all
from contimg.variability.strips import kept, strips_of
from contimg.variability.tables import read_measurements
from contimg.variability.terms import terms_of

FEW = {"null_draws": 100, "injections": 0}
NONE = VariabilityOptions(strip_offset=0.0, **FEW)
STRIPS = VariabilityOptions(strip_offset=0.03, **FEW)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("kernel", ["white", "walk", "smooth"])
def test_products_are_those_of_the_whole_covariance(kernel: str, number: int) -> None:
    random = np.random.default_rng(1)
    times = np.sort(random.uniform(0, 60, 40))
    variance, terms = random.uniform(0.5, 2, 40), random.normal(size=(40, number))
    amplitude, tau = (0.0, 1.0) if kernel == "white" else (1.3, 9.0)
    lag = np.abs(times[:, None] - times) / tau
    shape = {
        "white": 0 * lag,
        "walk": np.exp(-lag),
        "smooth": (1 + np.sqrt(3) * lag) * np.exp(-np.sqrt(3) * lag),
    }[kernel]
    matrix = np.diag(variance) + amplitude**2 * shape + terms @ terms.T
    filt = make_whitener(times, variance, kernel, amplitude, tau, terms)
    flux, templates = random.normal(size=40), random.normal(size=(40, 70)).astype(np.float32)
    templates[:12, :50] = 0
    templates[30:, 20:] = 0
    sums, dots = filt.products(flux, templates)
    inverse, ones = np.linalg.inv(matrix), np.ones(40)
    assert filt.log_det == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-5)
    pairs = (ones, ones), (ones, flux), (flux, flux)
    assert sums == pytest.approx([a @ inverse @ b for a, b in pairs], rel=1e-4, abs=1e-4)
    expected = [
        np.einsum("nk,nm,mk->k", templates, inverse, templates),
        flux @ inverse @ templates,
        ones @ inverse @ templates,
    ]
    np.testing.assert_allclose(dots, expected, rtol=2e-4, atol=2e-4)


def constant(random, mjd, number: int, snr: float, change=0.0) -> list[LightCurve]:
    """Sources of 1 Jy that all change by the same."""
    error = np.full(len(mjd), 1 / snr)
    return [
        LightCurve(f"s{k:02d}", mjd, 1 + change + error * random.normal(size=len(mjd)), error)
        for k in range(number)
    ]


def test_an_offset_between_strips_is_no_step() -> None:
    random, mjd = np.random.default_rng(2), 60000.0 + np.arange(50)
    strip = (np.arange(50) >= 28).astype(int)
    quiet = constant(random, mjd, 12, 40.0)
    offset = [
        replace(c, source=f"o{k}", flux=c.flux * (1 + size * strip), strip=strip)
        for k, (c, size) in enumerate(zip(quiet, (0.03, -0.04, 0.05), strict=False))
    ]
    curves = [*quiet, *offset]
    without, with_offset = (search_all(curves, options) for options in (NONE, STRIPS))
    assert all(without.events()[f"o{k}"].kind != "constant" for k in range(3))
    assert {with_offset.events()[f"o{k}"].kind for k in range(3)} == {"constant"}


def test_a_lens_across_two_strips_is_found_with_its_depth() -> None:
    random, mjd = np.random.default_rng(3), 60000.0 + np.arange(50)
    strip = (np.arange(50) >= 24).astype(int)
    curves = constant(random, mjd, 12, 40.0)
    dip = 1 + 0.5 * (smoothed_gain((mjd - 60023) / 6, 3.0, 0.5) - 1)
    flux = curves[0].flux * dip * (1 + 0.04 * strip)
    curves[0] = replace(curves[0], flux=flux, strip=strip)
    event = search_all(curves, STRIPS).events()["s00"]
    assert event.kind == "ese"
    depth = event.values["depth"]
    assert depth.value == pytest.approx(1 - dip.min(), abs=3 * depth.error)
    assert depth.error < 0.05
    # what is drawn goes through the data of both strips
    drawn = np.interp(mjd, event.model_mjd, event.process_jy)
    away = np.abs(mjd - 60023) > 12
    for k in (0, 1):
        some = away & (strip == k)
        assert np.mean(curves[0].flux[some] - drawn[some]) == pytest.approx(0, abs=0.01)


def test_what_follows_the_sun_can_be_switched_on() -> None:
    """A source that is seen once a sidereal day comes back to the same solar time after a year."""
    random, mjd = np.random.default_rng(4), 60000.0 + 6 * 0.99726957 * np.arange(50)
    locked = 0.06 * np.cos(2 * np.pi * (mjd % 1 - 0.6))
    (varying,) = constant(random, mjd, 1, 40.0, locked)
    curves = [*constant(random, mjd, 8, 40.0), replace(varying, source="l0")]
    without = search_all(curves, NONE).events()
    with_term = search_all(curves, NONE.model_copy(update={"solar_term": 0.05})).events()
    assert without["l0"].kind != "constant"
    assert with_term["l0"].kind == "constant"


def test_terms_are_those_that_are_switched_on() -> None:
    mjd, strip = 60000.0 + np.arange(6) / 4, np.array([0, 0, 1, 1, 2, 2])
    assert terms_of(mjd, None, VariabilityOptions()) is None
    assert terms_of(mjd, np.zeros(6), VariabilityOptions()) is None
    offsets = terms_of(mjd, strip, VariabilityOptions(strip_offset=0.1))
    np.testing.assert_array_equal(offsets, 0.1 * (strip[:, None] == [0, 1, 2]))
    locked = terms_of(mjd, None, VariabilityOptions(sidereal_term=0.2))
    assert locked.shape == (6, 2)
    np.testing.assert_allclose((locked**2).sum(axis=1), 0.04)
    np.testing.assert_allclose(locked[0] @ locked[4] / 0.04, np.cos(2 * np.pi / 0.99726957))


def test_strips_are_pointings_that_differ() -> None:
    assert strips_of(kept(np.array([16.1, 16.12, 16.05]))) is None
    assert strips_of(kept(np.full(3, np.nan))) is None
    found = strips_of(kept(np.array([16.1, np.nan, 55.0, 16.15, -89.99])))
    np.testing.assert_array_equal(found, [1, -1, 2, 1, 0])


def test_a_table_names_the_strips_of_its_rows(tmp_path) -> None:
    mjd, freq = 60000.0 + np.repeat(np.arange(8), 2), np.tile([1.35e9, 1.45e9], 8)
    columns = {"source": "a", "mjd": mjd, "flux_jy": 1.0, "flux_err_jy": 0.1, "freq_hz": freq}
    strip = np.where(mjd > 60003, "south", "north")
    table = tmp_path / "curves.csv"
    pd.DataFrame(columns | {"strip": strip}).to_csv(table, index=False)
    (curve,), parts = curves_of(read_measurements(table))
    assert set(parts) == {"a"}
    np.testing.assert_array_equal(curve.strip, [0, 0, 0, 0, 1, 1, 1, 1])
    # a source without a usable measurement is known all the same
    lost = pd.DataFrame({"source": ["b"], "mjd": 60000.0, "flux_jy": 1.0, "freq_hz": 1.4e9})
    rows = pd.concat([pd.DataFrame(columns | {"strip": strip, "qa_warning": mjd < 60002}), lost])
    rows.to_csv(table, index=False)
    curve, empty = curves_of(read_measurements(table))[0]
    assert (curve.block_odds[:2] > curve.block_odds[2]).all() and not len(empty.mjd)
    pd.DataFrame(columns).to_csv(table, index=False)
    assert curves_of(read_measurements(table))[0][0].strip is None
