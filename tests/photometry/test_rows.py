"""Rows that say when the beam does not describe what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contimg.core import rowflags
from contimg.core.fits import FWHM_TO_SIGMA
from contimg.photometry.geometry import locate
from contimg.photometry.judge import degrees_of_freedom
from contimg.photometry.noise import Correlation, beam_correlation
from contimg.photometry.stamps import Maps
from mosaic.make_tiles import BEAM, CELL, correlated_noise, gaussians, pixel_covariance, sin_wcs
from photometry.test_photometry import RMS, catalog, images, lattice, made_mosaic, measured

N = 700
WCS = sin_wcs(0.0, 37.0, N)
COV = pixel_covariance(BEAM, WCS)


def seen(x, y, flux, extra=0.0, seed=2):
    """Rows of point sources at pixels with `extra` signal in the image."""
    rng = np.random.default_rng(seed)
    noise = RMS * correlated_noise((N, N), COV, rng)
    signal = gaussians((N, N), x, y, flux, COV) + extra
    ra, dec = WCS.pixel_to_world_values(x, y)
    return measured(images(WCS, signal, noise), catalog(ra, dec))


def words(rows) -> list[set[str]]:
    return [set(text.split(";")) - {""} for text in rows["flag"]]


@pytest.mark.parametrize("size_beams", [0.6, 1.2, 2.0, 2.7])
def test_an_extended_source_has_its_integrated_flux_density(size_beams):
    """0.9 to 0.2 of the flux density, and no flag, is what the beam alone says of them."""
    beam = np.sqrt(BEAM.major_deg * BEAM.minor_deg) * 3600
    width = size_beams * beam / 3600 / CELL * FWHM_TO_SIGMA
    x, y = lattice(N, 170, np.random.default_rng(4))
    true = 0.3
    wide = COV + width**2 * np.eye(2)
    peak = true * np.sqrt(np.linalg.det(COV) / np.linalg.det(wide))
    rows = seen(x, y, np.zeros(x.size), gaussians((N, N), x, y, np.full(x.size, peak), wide))
    assert all(word == {"extended"} for word in words(rows))
    assert rowflags.usable(rows["flag"]).all()
    pull = (rows["flux_jy"] - true) / rows["flux_err_jy"]
    assert np.median(rows["flux_jy"]) == pytest.approx(true, rel=0.01)
    assert np.sqrt(np.mean(pull**2)) < 1.5
    size = np.sqrt(rows["size_major_arcsec"] * rows["size_minor_arcsec"])
    assert np.median(size) == pytest.approx(size_beams * beam, rel=0.05)


def test_points_are_not_extended_and_raise_nothing():
    x, y = lattice(N, 34, np.random.default_rng(4))
    true = np.geomspace(5, 2000, x.size) * RMS
    rows = seen(x, y, true)
    assert np.mean(rows["flag"] == "") > 0.99
    assert np.std((rows["flux_jy"] - true) / rows["flux_err_jy"]) == pytest.approx(1, abs=0.1)


def test_a_neighbour_that_is_not_in_the_catalogue_is_told():
    x, y = lattice(N, 170, np.random.default_rng(4))
    reach = 1.4 * BEAM.major_deg / CELL
    beside = gaussians((N, N), x + reach, y, np.full(x.size, 0.03), COV)
    assert all("neighbour" in w for w in words(seen(x, y, np.full(x.size, 0.1), beside)))
    weak = gaussians((N, N), x + reach, y, np.full(x.size, 0.03), COV)  # 0.3 % of the source
    assert not any("neighbour" in w for w in words(seen(x, y, np.full(x.size, 10.0), weak)))


def test_a_hole_beside_a_source_is_told():
    x, y = lattice(N, 170, np.random.default_rng(4))
    hole = gaussians((N, N), x, y + 1.3 * BEAM.major_deg / CELL, np.full(x.size, -0.02), COV)
    assert all("negative_bowl" in w for w in words(seen(x, y, np.full(x.size, 0.1), hole)))


def test_an_error_says_what_chi2_says():
    """A fifth of the source beside it, not Gaussian at all: flagged, and the error covers it."""
    x, y = lattice(N, 170, np.random.default_rng(4))
    wrong = gaussians((N, N), x + 4, y + 3, np.full(x.size, 0.02), COV / 12)
    good, bad = seen(x, y, np.full(x.size, 0.1)), seen(x, y, np.full(x.size, 0.1), wrong)
    assert (bad["chi2_reduced"] > 5).all()
    widened = bad["flux_err_jy"] / good["flux_err_jy"]
    assert (widened > 1.3).all()
    assert not rowflags.usable(bad["flag"]).any()


def test_the_edge_is_told_and_kept():
    rng = np.random.default_rng(2)
    x, y = np.array([350.0, 650.0]), np.array([350.0, 350.0])
    signal = gaussians((N, N), x, y, np.full(2, 0.5), COV)
    planes = images(WCS, signal, RMS * correlated_noise((N, N), COV, rng))
    planes[2].data[:, 600:] = 4 * RMS
    rows = measured(planes, catalog(*WCS.pixel_to_world_values(x, y)))
    assert words(rows) == [set(), {"edge"}]
    assert rowflags.usable(rows["flag"]).all()


def test_degrees_of_freedom_are_those_of_the_scatter():
    """chi^2 of many stamps of noise: nu = 2 mean^2 / variance."""
    x, y = lattice(N, 24, np.random.default_rng(4))
    rows = seen(x, y, np.full(x.size, 20 * RMS))
    expected = 2 * rows["chi2_reduced"].mean() ** 2 / rows["chi2_reduced"].var()
    _, sources = locate(WCS, BEAM, *WCS.pixel_to_world_values(x[:1], y[:1]), (N, N))
    lag = 40
    correlation = Correlation(beam_correlation(COV * 2, lag), False, 0.0)
    found = degrees_of_freedom(sources, Maps(np.zeros((N, N)), np.ones((N, N)), 1.0), correlation)
    assert 0.6 < found / expected < 1.6


def test_what_is_said_of_a_tile_is_said_of_the_sources_that_it_covers(tmp_path):
    """A bad tile beside two good ones: sources of the good ones alone are used."""
    told = {"row_flags": ["flux_scale", "unverified"]}
    told |= {"flux_scale_applied": {"factor": 1.12, "error": 0.004}}
    files, _ = made_mosaic(tmp_path, first={"verdict": "warn", "data": told})
    rows = pd.read_parquet(files.table)
    east = (rows["ra_deg"] + 180) % 360 - 180 + 0.16 / np.cos(np.radians(55))  # of the bad tile
    distance = np.hypot(east * np.cos(np.radians(55)), rows["dec_deg"] - 55)
    radius = 0.45 / 2 * np.sqrt(np.log2(1 / 0.2))  # where the beam of the tiles is 0.2
    near, far = distance < radius - 0.03, distance > radius + 0.03
    bad = rowflags.has(rows["flag"], ["flux_scale"])
    assert near.sum() > 8 and far.sum() > 5
    assert bad[near].all() and not bad[far].any()
    assert not rowflags.usable(rows["flag"])[near].any()
    assert not rowflags.has(rows["flag"], told["row_flags"])[far].any()
    assert rowflags.usable(rows["flag"])[far].any()
    assert (rows["scale_factor"][far] == 1).all() and (rows["scale_factor_err"][far] == 0).all()
    shared = rows["scale_factor"][near]  # the mean of one to three tiles, of which it is one
    assert set((0.12 / (shared - 1)).round(6)) <= {1.0, 2.0, 3.0}


def test_words_are_words_of_the_table():
    flags = pd.Series(["", "extended", "bad_fit;extended", None, "what"])
    assert list(rowflags.usable(flags)) == [True, True, False, True, False]
    assert list(rowflags.has(flags, ["bad_fit"])) == [False, False, True, False, False]
    with pytest.raises(ValueError, match="no such flag: what"):
        rowflags.text({"what": np.ones(1, bool)}, 1)


def test_every_word_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "products.md").read_text()
    for word, meaning in rowflags.MEANING.items():
        used = "no" if word in rowflags.LEAVE_OUT else "yes"
        assert f"| `{word}` | {used} | {meaning} |" in text
