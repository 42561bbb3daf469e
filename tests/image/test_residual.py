"""The imager of residuals against WSClean on the same data, and against known skies."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy.io import fits

from contimg.core.errors import ContimgError
from contimg.core.fits import read_image
from contimg.core.ms import open_table
from contimg.core.records import check, write_record
from contimg.core.robust import robust_rms
from contimg.image.options import ImageOptions
from contimg.image.tiers import effective
from truth.tiles import image, peak_near, sky, with_sky

COMMON = {"cell_arcsec": 12, "imsize": 400, "subtract_sources": False, "outliers": False}
needs_wsclean = pytest.mark.skipif(
    shutil.which("wsclean") is None, reason="WSClean is not installed (Debian: apt install wsclean)"
)


@needs_wsclean
@pytest.mark.parametrize("center", [None, "129.0 55.7"])
def test_dirty_image_and_psf_are_those_of_wsclean(tile, tmp_path, center):
    """The same pixels and coordinates, natural weights."""
    made = {}
    for backend in ("wsclean", "residual"):
        given = ImageOptions(
            backend=backend, niter=0, weighting="natural", phase_center=center, **COMMON
        )
        made[backend], record = image(tile[0], tmp_path / backend, given)
        assert record["data"]["gridded_fraction"] == pytest.approx(1, abs=1e-6)
    for product, limit in (("residual", 0.01), ("psf", 0.01)):
        ours, theirs = (read_image(getattr(made[b], product)) for b in ("residual", "wsclean"))
        # at its edges WSClean's image is a few per cent off the direct sum
        inner = np.s_[60:-60, 60:-60]
        difference = np.abs(ours.data - theirs.data)[inner].max() / np.abs(theirs.data).max()
        assert difference < limit, product
        corner = np.array([[3.0, 7.0], [390.0, 200.0]])
        assert np.allclose(ours.wcs.all_pix2world(corner, 0), theirs.wcs.all_pix2world(corner, 0))


@needs_wsclean
@pytest.mark.parametrize(
    "options", [{"robust": 0.5}, {"robust": -1.0}, {"weighting": "uniform"}, {"uv_min_lambda": 400}]
)
def test_weights_are_those_of_wsclean(tile, tmp_path, options):
    """Cells of the uv plane begin elsewhere: not the same pixels, but the same noise and psf."""
    ms = with_sky(tile[0], tmp_path / "t.ms", sky(tile[0], ("A", 0.0, 0.0, 1e-6)), 0.3)
    made = {}
    for backend in ("wsclean", "residual"):
        given = ImageOptions(backend=backend, niter=0, **COMMON, **options)
        files, _ = image(ms, tmp_path / backend, given)
        made[backend] = [read_image(path).data for path in (files.residual, files.psf)]
    ours, theirs = made["residual"], made["wsclean"]
    assert robust_rms(ours[0]) == pytest.approx(robust_rms(theirs[0]), rel=0.03)
    lobe = theirs[1] > 0.5
    assert np.abs(ours[1] - theirs[1])[lobe].max() < 0.05


@needs_wsclean
def test_clean_image_is_as_good_as_wscleans(tile, tmp_path):
    """Three sources: flux densities, noise and what is left, with nothing subtracted before."""
    truth = sky(tile[0], ("A", 0.3, 0.2, 2.0), ("B", -0.25, 0.1, 0.6), ("C", 0.05, -0.3, 0.3))
    ms = with_sky(tile[0], tmp_path / "t.ms", truth, 0.3)
    found = {}
    for backend in ("wsclean", "residual"):
        files, record = image(ms, tmp_path / backend, ImageOptions(backend=backend, **COMMON))
        flux = np.array([peak_near(files.pbcor, row) for _, row in truth.iterrows()])
        found[backend] = flux, robust_rms(read_image(files.residual).data), record
    ours, theirs = found["residual"], found["wsclean"]
    # the highest pixels are alike lower than the sources, which lie between pixels
    assert ours[0] == pytest.approx(theirs[0], rel=0.02, abs=5 * theirs[1])
    assert ours[0] == pytest.approx(truth["flux_jy"].to_numpy(), rel=0.04, abs=5 * theirs[1])
    assert ours[1] < 1.1 * theirs[1]
    data = [record["data"] for *_, record in (ours, theirs)]
    assert data[0]["peak_residual_jy_beam"] < 1.5 * data[1]["peak_residual_jy_beam"]
    for axis in ("bmaj_arcsec", "bmin_arcsec"):
        assert data[0][axis] == pytest.approx(data[1][axis], rel=0.1)
    assert data[0]["model_flux_jy"] == pytest.approx(data[1]["model_flux_jy"], rel=0.05)


def test_with_the_catalogue_subtracted_there_is_nothing_to_clean(tile, tmp_path):
    truth = sky(tile[0], ("A", 0.3, 0.2, 2.0), ("B", -0.25, 0.1, 0.6))
    ms = with_sky(tile[0], tmp_path / "t.ms", truth, 0.3)
    options = ImageOptions(backend="residual", cell_arcsec=12, imsize=400, outliers=False)
    files, record = image(ms, tmp_path / "out", options, truth)
    # the smearing that the subtraction models is not in these data, which leaves holes of one per
    # cent beside the sources; and two sources are too few to judge a tile by
    assert record["verdict"] == "warn"
    told = [c["metric"] for c in record["checks"] if c["verdict"] != "pass" and c["value"]]
    assert not told, record["reason"]
    assert abs(record["data"]["model_flux_jy"]) < 0.1
    for _, row in truth.iterrows():
        assert peak_near(files.pbcor, row) == pytest.approx(row["flux_jy"], rel=0.02)
    assert fits.getheader(files.image)["IMAGER"].startswith("ducc0")


def test_what_was_fitted_before_is_subtracted_as_it_is(tile, tmp_path):
    """One source as it is, of one half: nothing is fitted again, clean finds the other half.

    The first is flat, by a spectrum of -0.8 in the catalogue and what the fit found instead.
    """
    truth = sky(tile[0], ("A", 0.3, 0.2, 2.0), ("B", -0.25, 0.1, 1.0))
    ms = with_sky(tile[0], tmp_path / "t.ms", truth, 0.3, steady=False)
    hz = np.linspace(1.32e9, 1.49e9, 8)
    given = truth.assign(
        fitted_jy=[2.0, 0.5],
        level_jy=[2.0, 0.5],
        flux_err_jy=0.01,
        freq_hz=1.4e9,
        spectral_index=[-0.8, 0.0],
        factor_hz=[list(hz), []],
        factor=[list((hz / 1.4e9) ** 0.8), []],
        beam=1.0,
        noise=1.0,
        offset_east_arcsec=0.0,
        offset_north_arcsec=0.0,
    )
    fit = tmp_path / "model.parquet"
    given.drop(columns=["flux_jy", "ref_freq_hz"]).to_parquet(fit)
    checks = [check("null_scatter", 1.4, warn_above=1.3)]
    write_record(fit.with_suffix(".json"), product="f", stage="fit", data={}, checks=checks)
    options = ImageOptions(backend="residual", cell_arcsec=12, imsize=400, outliers=False)
    files, record = image(ms, tmp_path / "out", options, truth, fit=fit)
    taken = {item["name"]: item["flux_jy"] for item in record["data"]["sources_subtracted"]}
    assert taken == {"A": 2.0, "B": 0.5}
    assert "fit: null_scatter" in record["reason"]
    residual = read_image(files.residual)
    x, y = residual.wcs.all_world2pix(truth["ra_deg"][0], truth["dec_deg"][0], 0)
    about = residual.data[round(float(y)) - 8 : round(float(y)) + 9, round(float(x)) - 8 :][:, :17]
    assert np.abs(about).max() < 5 * robust_rms(residual.data)
    pb = read_image(files.pb)
    x, y = pb.wcs.all_world2pix(truth["ra_deg"][1], truth["dec_deg"][1], 0)
    half = 0.5 * pb.data[round(float(y)), round(float(x))]
    assert record["data"]["model_flux_jy"] == pytest.approx(half, rel=0.1)
    for _, row in truth.iterrows():
        assert peak_near(files.pbcor, row) == pytest.approx(row["flux_jy"], rel=0.03)


def test_a_tile_whose_fit_has_failed_is_imaged_without(tile, tmp_path):
    """A field of which the catalogue has nothing, for instance: made, and told."""
    truth = sky(tile[0], ("A", 0.3, 0.2, 2.0))
    ms = with_sky(tile[0], tmp_path / "t.ms", truth, 0.3)
    fit = tmp_path / "model.parquet"
    truth[["name"]][:0].to_parquet(fit)
    failed = [check("sources", 0.0, fail_below=1.0)]
    write_record(fit.with_suffix(".json"), product="f", stage="fit", data={}, checks=failed)
    options = ImageOptions(backend="residual", cell_arcsec=12, imsize=400, outliers=False)
    files, record = image(ms, tmp_path / "out", options, fit=fit)
    assert record["verdict"] == "warn" and "fit: sources 0 < 1" in record["reason"]
    assert peak_near(files.pbcor, truth.iloc[0]) == pytest.approx(2.0, rel=0.05)


@pytest.fixture(scope="module")
def fitted(tile, tmp_path_factory):
    """Runs the imager on data that a fit has found no source in but those given, and their table.

    `large` is a Gaussian (flux density [Jy], width [arcsec]) that the fit knows nothing of.
    """
    directory = tmp_path_factory.mktemp("fitted")

    def run(name, *sources, large=None, missing=(), **options):
        truth = sky(tile[0], *sources, ("faint", 0.4, 0.4, 0.001))
        ms = with_sky(tile[0], directory / f"{name}.ms", truth, 0.3, steady=False)
        if large is not None:
            its = sky(tile[0], ("large", 0.1, -0.15, large[0]))
            other = directory / f"{name}-large.ms"
            with_sky(tile[0], other, its, 0.0, steady=False, gaussian_arcsec=large[1])
            with open_table(ms, writable=True) as table, open_table(other) as added:
                table.putcol("DATA", table.getcol("DATA") + added.getcol("DATA"))
        known = truth[~truth["name"].isin(missing)].reset_index(drop=True)
        fit = directory / f"{name}.parquet"
        model = known.assign(
            **dict.fromkeys(("fitted_jy", "level_jy"), known["flux_jy"]),
            **{"flux_err_jy": 0.001, "freq_hz": 1.4e9, "beam": 1.0, "noise": 1.0},
            **{"offset_east_arcsec": 0.0, "offset_north_arcsec": 0.0},
            factor_hz=[[]] * len(known),
            factor=[[]] * len(known),
        )
        model.drop(columns=["flux_jy", "ref_freq_hz"]).to_parquet(fit)
        write_record(fit.with_suffix(".json"), product="f", stage="fit", data={}, checks=[])
        given = {"cell_arcsec": 12, "imsize": 800, "outliers": False} | options
        return image(
            ms, directory / name, ImageOptions(backend="residual", **given), truth, fit=fit
        )

    return run


def test_noise_is_not_cleaned(fitted):
    """The noise of the residual is that of the data, and peaks are not detected for its sake."""
    _, record = fitted("noise")
    data = record["data"]
    dirty = read_image(fitted("again", auto_mask=1e3)[0].residual).data
    assert data["rms_jy_beam"] == pytest.approx(robust_rms(dirty), rel=0.005)
    assert abs(data["model_max_jy"]) < 1e-3 or data["model_max_jy"] > 5 * data["rms_jy_beam"]


def test_nothing_larger_than_the_beam_is_seen_where_there_is_nothing(fitted):
    """Sources known, and one of six sigma that is not."""
    sources = (("A", 0.3, 0.2, 2.0), ("B", -0.25, 0.1, 0.6), ("C", 0.1, -0.3, 0.014))
    _, record = fitted("healthy", *sources, missing=("C",), subtract_min_sigma=2.0)
    found = record["data"]["extended"]
    assert [scale["beams"] for scale in found] == [3, 6, 12]
    assert all(scale["highest_sigma"] < 6 for scale in found)
    assert "larger than the beam" not in record["reason"]


@pytest.mark.parametrize(("flux", "arcsec"), [(0.1, 130.0), (0.1, 260.0), (0.5, 520.0)])
def test_emission_larger_than_the_beam_warns(fitted, flux, arcsec):
    """It is told with its size, its place and its flux density."""
    truth = [("A", 0.3, 0.2, 2.0), ("B", -0.25, 0.1, 0.6)]
    files, record = fitted(f"large{arcsec:g}", *truth, large=(flux, arcsec))
    assert record["verdict"] == "warn" and "larger than the beam" in record["reason"]
    # the likeliest width; the places and significances of all are in the record
    best = max(record["data"]["extended"], key=lambda s: abs(s["flux_jy"] or 0) / s["noise_jy"])
    assert best["fwhm_arcsec"] == pytest.approx(arcsec, rel=0.6)
    x, y = read_image(files.pb).wcs.all_world2pix(best["ra_deg"], best["dec_deg"], 0)
    response = read_image(files.pb).data[round(float(y)), round(float(x))]
    near = min(record["data"]["extended"], key=lambda s: abs(s["fwhm_arcsec"] - arcsec))
    assert near["flux_jy"] / response == pytest.approx(flux, rel=0.25)


def test_a_place_outside_the_mask_is_not_cleaned(tile, tmp_path):
    truth = sky(tile[0], ("A", 0.3, 0.2, 2.0), ("B", -0.25, 0.1, 2.0))
    ms = with_sky(tile[0], tmp_path / "t.ms", truth, 0.3)
    options = ImageOptions(backend="residual", mask_catalog=True, **COMMON)
    files, _ = image(ms, tmp_path / "out", options, truth[:1])
    assert peak_near(files.model, truth.iloc[0], reach=4) > 0.1
    assert peak_near(files.model, truth.iloc[1], reach=4) == 0


def test_what_it_cannot_do_is_refused():
    for options in (
        {"deconvolver": "multiscale"},
        {"nterms": 2},
        {"channels_out": 4},
        {"imsize": 401},
        {"gridder": "wstacking"},
    ):
        with pytest.raises(ContimgError):
            effective(ImageOptions(backend="residual", **options), has_catalog=False)
