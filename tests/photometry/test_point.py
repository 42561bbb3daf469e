"""Flux densities at positions of a bare image."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.fits import write_image
from mosaic.make_tiles import BEAM, correlated_noise, gaussians, pixel_covariance, sin_wcs

RMS = 1e-3


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """An image with two sources in noise: its path and theirs (deg, deg, Jy)."""
    rng = np.random.default_rng(1)
    n, path = 600, tmp_path_factory.mktemp("point") / "image.fits"
    wcs = sin_wcs(150.0, 37.0, n)
    cov = pixel_covariance(BEAM, wcs)
    x, y, flux = np.array([200.3, 400.8]), np.array([310.6, 250.2]), np.array([0.05, 0.3])
    data = gaussians((n, n), x, y, flux, cov) + RMS * correlated_noise((n, n), cov, rng)
    write_image(path, data, wcs, unit="Jy/beam", beam=BEAM, freq_hz=1.4e9)
    return path, [*zip(*wcs.pixel_to_world_values(x, y), flux, strict=True)]


def test_known_sources(picture, tmp_path, capsys):
    path, sources = picture
    places = [f"{ra} {dec}" for ra, dec, _ in sources]
    out = tmp_path / "t.csv"
    words = ["--image", str(path), "--position", *places, "--table", str(out)]
    assert main(["photometry", "point", *words]) == 0
    table = pd.read_csv(out, keep_default_na=False)
    forced = table[table["method"] == "forced"]
    for (*_, flux), row in zip(sources, forced.itertuples(), strict=True):
        assert abs(float(row.flux_jy_beam) - flux) < 4 * float(row.flux_err_jy_beam)
        assert 0.8 * RMS < float(row.flux_err_jy_beam) < 1.5 * RMS
    peak = table[table["method"] == "peak"]["flux_jy_beam"].astype(float).to_numpy()
    assert peak == pytest.approx([flux for *_, flux in sources], rel=0.1)
    assert "too high where there is only noise" in capsys.readouterr().out


def test_sexagesimal_and_outside(picture, tmp_path):
    path, sources = picture
    from astropy.coordinates import SkyCoord

    ra, dec, flux = sources[1]
    words = SkyCoord(ra, dec, unit="deg").to_string("hmsdms", precision=4)
    out = tmp_path / "t.csv"
    places = ["--position", words, "10.0 -30.0", "--table", str(out)]
    assert main(["photometry", "point", "--image", str(path), *places]) == 0
    table = pd.read_csv(out, keep_default_na=False)
    assert float(table["flux_jy_beam"].iloc[0]) == pytest.approx(flux, abs=5 * RMS)
    assert (table["flag"].iloc[2:] == "outside").all()


def test_bad_input(picture, tmp_path, capsys):
    path, _ = picture
    assert main(["photometry", "point", "--image", str(path), "--position", "here"]) == 1
    assert "'here' is no position" in capsys.readouterr().err
    bare = tmp_path / "bare.fits"
    write_image(bare, np.zeros((64, 64)), sin_wcs(150.0, 37.0, 64), unit="Jy/beam")
    assert main(["photometry", "point", "--image", str(bare), "--position", "150 37"]) == 1
    assert "no restoring beam" in capsys.readouterr().err


def test_aegean_finds_the_same(picture, tmp_path):
    """An independent program on the same image: where both are sure they agree within errors."""
    path, sources = picture
    out = tmp_path / "t.csv"
    words = ["--position", *(f"{ra} {dec}" for ra, dec, _ in sources), "150.0 50.0"]
    words += ["--method", "forced", "priorized", "--table", str(out)]
    assert main(["photometry", "point", "--image", str(path), *words]) == 0
    rows = pd.read_csv(out, keep_default_na=False).groupby("method")
    ours, theirs = rows.get_group("forced"), rows.get_group("priorized")
    assert [*theirs["flag"]] == ["", "", "outside"] == [*ours["flag"]]
    for ours_jy, theirs_jy, error, (*_, true) in zip(
        *(t["flux_jy_beam"][:2].astype(float) for t in (ours, theirs)),
        theirs["flux_err_jy_beam"][:2].astype(float),
        sources,
        strict=True,
    ):
        assert abs(theirs_jy - true) < 4 * error
        assert theirs_jy == pytest.approx(ours_jy, abs=2 * error)


def test_without_aegean_it_says_what_to_install(picture, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "AegeanTools.source_finder", None)
    words = ["--position", "150.0 37.0", "--method", "priorized"]
    assert main(["photometry", "point", "--image", str(picture[0]), *words]) == 1
    assert "pip install AegeanTools" in capsys.readouterr().err
