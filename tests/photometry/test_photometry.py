"""Photometry on images with a known sky and known noise."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from contimg.cli import main
from contimg.core.fits import Beam, Image
from contimg.core.options import to_flags
from contimg.mosaic.command import MosaicFiles
from contimg.mosaic.command import run as run_mosaic
from contimg.mosaic.options import MosaicOptions
from contimg.photometry.command import PhotometryFiles, measure, run
from contimg.photometry.options import PhotometryOptions
from contimg.photometry.table import COLUMNS
from mosaic.make_tiles import (
    BEAM,
    CELL,
    Sky,
    correlated_noise,
    gaussians,
    make_tile,
    mosaic_files,
    offset,
    pixel_covariance,
    sin_wcs,
)

RMS = 1e-3


def catalog(ra, dec, flux=1.0):
    n = len(ra)
    names = [f"s{i:05d}" for i in range(n)]
    return pd.DataFrame(
        {
            "name": names, "ra_deg": ra, "dec_deg": dec, "flux_jy": np.broadcast_to(flux, n),
            "ref_freq_hz": 1.4e9, "spectral_index": -0.7, "log_poly": "",
        }
    )  # fmt: skip


def images(wcs, signal, noise, rms=RMS, beam=BEAM):
    """Mosaic, residual, noise map and time map in memory."""
    header = fits.Header({"MJD-AVG": 60953.25})
    shape = signal.shape
    planes = (signal + noise, noise, np.full(shape, rms), np.full(shape, 7.2))
    return [Image(p.astype(np.float32), wcs, beam, 1.4e9, header) for p in planes]


def measured(planes, sources, **options):
    return measure(*planes, sources, "m", PhotometryOptions(**options))[0]


def lattice(n, step, rng, jitter=0.5):
    """Pixel positions apart by `step`, off the pixel centres."""
    x, y = (a.ravel().astype(float) for a in np.meshgrid(*[np.arange(step, n - step, step)] * 2))
    return x + rng.uniform(-jitter, jitter, x.size), y + rng.uniform(-jitter, jitter, x.size)


def dirty_noise(n, cov, rng):
    """Noise whose autocorrelation is a beam with sidelobes: narrow core minus a wide bowl."""
    u, v = np.fft.fftfreq(n)[None, :], np.fft.fftfreq(n)[:, None]
    q = 2 * np.pi**2 * (cov[0, 0] * u**2 + 2 * cov[0, 1] * u * v + cov[1, 1] * v**2)
    power = np.exp(-q) * (1 - np.exp(-40 * q)) + 0.3 * np.exp(-((np.sqrt(q) - 0.7) ** 2) / 0.02)
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, n))) * np.sqrt(power)).real
    return noise / noise.std()


# radius of the stamp -> greatest error over rms for noise like the beam, where nothing beats 1
EFFICIENCY = {0.5: 1.05, 1.0: 1.16}


@pytest.mark.parametrize("stamp_beams", EFFICIENCY)
@pytest.mark.parametrize("kind", ["beam", "white", "dirty"])
def test_errors_hold_whatever_the_noise(kind, stamp_beams):
    """Unbiased fluxes and pulls of unit width; 1500 isolated sources."""
    rng = np.random.default_rng(3)
    n = 1400
    wcs = sin_wcs(0.0, 37.0, n)
    cov = pixel_covariance(BEAM, wcs)
    noise = {
        "beam": lambda: correlated_noise((n, n), cov, rng),
        "white": lambda: rng.normal(size=(n, n)),
        "dirty": lambda: dirty_noise(n, cov, rng),
    }[kind]()
    x, y = lattice(n, 34, rng)
    truth = rng.uniform(5, 100, x.size) * RMS
    signal = gaussians((n, n), x, y, truth, cov)
    ra, dec = wcs.pixel_to_world_values(x, y)
    table = measured(images(wcs, signal, RMS * noise), catalog(ra, dec), stamp_beams=stamp_beams)
    assert len(table) == x.size and (table["flag"] == "").mean() > 0.99
    pull = (table["flux_jy"] - truth) / table["flux_err_jy"]
    assert abs(pull.mean()) < 4 / np.sqrt(x.size)
    assert pull.std() == pytest.approx(1.0, abs=0.05)
    assert table["chi2_reduced"].mean() == pytest.approx(1.0, abs=0.06)
    assert np.abs(table["mjd"] - 60953.255).max() * 86400 < 0.1
    assert (table["n_blend"] == 1).all()
    if kind == "beam":
        assert 1.0 < np.median(table["flux_err_jy"]) / RMS < EFFICIENCY[stamp_beams]


def test_position_errors_hold():
    rng = np.random.default_rng(4)
    n = 1000
    wcs = sin_wcs(0.0, 37.0, n)
    cov = pixel_covariance(BEAM, wcs)
    x, y = lattice(n, 34, rng)
    ra, dec = wcs.pixel_to_world_values(x, y)
    shift = rng.normal(0, 0.4, (2, x.size))  # pixels from the catalogue
    flux = np.full(x.size, 20 * RMS)
    signal = gaussians((n, n), x + shift[0], y + shift[1], flux, cov)
    planes = images(wcs, signal, RMS * correlated_noise((n, n), cov, rng))
    table = measured(planes, catalog(ra, dec))
    good = np.isfinite(table["fit_ra_deg"])
    assert good.mean() > 0.99
    fx, fy = wcs.world_to_pixel_values(table["fit_ra_deg"][good], table["fit_dec_deg"][good])
    error = table["fit_err_arcsec"][good] / 3600 / CELL
    dx, dy = fx - (x + shift[0])[good], fy - (y + shift[1])[good]
    assert np.mean((dx**2 + dy**2) / (2 * error**2)) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean(dx / error)) < 0.15 and abs(np.mean(dy / error)) < 0.15
    assert np.mean(table["fit_flux_jy"][good]) == pytest.approx(20 * RMS, rel=0.01)
    # a fixed position that is wrong costs flux; the free fit has it back
    assert np.mean(table["flux_jy"][good]) < np.mean(table["fit_flux_jy"][good])


@pytest.mark.parametrize("distance", [0.8, 1.2, 2.0])
def test_blends_are_fitted_together(distance):
    rng = np.random.default_rng(5)
    n = 1400
    wcs = sin_wcs(10.0, 37.0, n)
    cov = pixel_covariance(BEAM, wcs)
    x1, y1 = lattice(n, 60, rng)
    angle = rng.uniform(0, 2 * np.pi, x1.size)
    away = distance * BEAM.major_deg / CELL
    x = np.concatenate([x1, x1 + away * np.cos(angle)])
    y = np.concatenate([y1, y1 + away * np.sin(angle)])
    truth = rng.uniform(20, 200, x.size) * RMS
    ra, dec = wcs.pixel_to_world_values(x, y)
    planes = images(
        wcs, gaussians((n, n), x, y, truth, cov), RMS * correlated_noise((n, n), cov, rng)
    )
    table = measured(planes, catalog(ra, dec))
    assert (table["n_blend"] == 2).all()
    pull = (table["flux_jy"] - truth) / table["flux_err_jy"]
    assert abs(pull.mean()) < 0.13 and pull.std() == pytest.approx(1.0, abs=0.07)
    assert table["chi2_reduced"].mean() == pytest.approx(1.0, abs=0.08)


def test_a_large_group_has_no_cap():
    """400 sources in one chain of blends, exact without noise and calibrated with it."""
    rng = np.random.default_rng(6)
    n = 220
    wcs = sin_wcs(10.0, 0.0, n)
    cov = pixel_covariance(BEAM, wcs)
    x, y = lattice(n, 10, rng, jitter=2.0)
    truth = rng.uniform(1, 100, x.size) * RMS
    ra, dec = wcs.pixel_to_world_values(x, y)
    signal = gaussians((n, n), x, y, truth, cov)
    noise = RMS * correlated_noise((n, n), cov, rng)
    planes = images(wcs, signal, noise)
    planes[0] = images(wcs, signal, 0 * noise)[0]
    exact = measured(planes, catalog(ra, dec))
    assert (exact["n_blend"] == x.size).all()
    assert np.abs(exact["flux_jy"] - truth).max() < 2e-3 * RMS
    table = measured(images(wcs, signal, noise), catalog(ra, dec))
    pull = (table["flux_jy"] - truth) / table["flux_err_jy"]
    assert pull.std() == pytest.approx(1.0, abs=0.1)


def test_alone_or_in_a_group_alike():
    """A far companion of no flux does not change a measurement."""
    wcs = sin_wcs(10.0, 37.0, 300)
    cov = pixel_covariance(BEAM, wcs)
    rng = np.random.default_rng(7)
    signal = gaussians((300, 300), [150.3], [150.4], [20 * RMS], cov)
    planes = images(wcs, signal, RMS * correlated_noise((300, 300), cov, rng))
    ra, dec = wcs.pixel_to_world_values([150.3, 150.3], [150.4, 150.4 + 2.3 * 8])
    one = measured(planes, catalog(ra[:1], dec[:1])).iloc[0]
    two = measured(planes, catalog(ra, dec)).iloc[0]
    assert (one["n_blend"], two["n_blend"]) == (1, 2)
    for key in ("flux_jy", "flux_err_jy"):
        assert one[key] == pytest.approx(two[key], rel=2e-3)


def test_negative_blank_edge_outside_duplicate():
    wcs = sin_wcs(10.0, 37.0, 300)
    cov = pixel_covariance(BEAM, wcs)
    x = np.array([100.0, 200.0, 1.0, 200.0, 290.0, 100.0, -50.0])
    y = np.array([100.0, 100.0, 150.0, 200.0, 290.0, 200.0, 100.0])
    flux = np.array([-0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
    signal = gaussians((300, 300), x, y, flux, cov)
    signal[:, 202:] = np.nan  # takes part of the ellipse of 1 and 3, all of 4
    rng = np.random.default_rng(8)
    planes = images(wcs, signal, RMS * correlated_noise((300, 300), cov, rng))
    ra, dec = wcs.pixel_to_world_values(x, y)
    ra, dec = np.append(ra, [ra[5], 190.0]), np.append(dec, [dec[5], -37.0])
    table = measured(planes, catalog(ra, dec)).set_index("source")
    assert list(table.index) == ["s00000", "s00001", "s00002", "s00003", "s00005", "s00007"]
    assert table.loc["s00000", "flux_jy"] == pytest.approx(-0.05, abs=5e-3)
    assert table.loc["s00000", "flag"] == "" and np.isnan(table.loc["s00000", "fit_ra_deg"])
    for name in ("s00001", "s00002", "s00003"):
        assert table.loc[name, "flag"] == "blank_pixels"
        assert table.loc[name, "flux_jy"] == pytest.approx(0.05, abs=6e-3)
    assert (table.loc[["s00005", "s00007"], "flag"] == "duplicate").all()
    assert table.loc["s00005", "flux_jy"] == table.loc["s00007", "flux_jy"]


def test_positions_beyond_16_bit_pixels():
    """A strip longer than 32767 pixels; the source at its far end is where it is."""
    shape = (40, 70_000)
    wcs = sin_wcs(10.0, 0.0, 40, cell=1 / 3600)
    wcs.wcs.crpix = [35_000, 20]
    beam = Beam(6 / 3600, 5 / 3600, 10.0)
    cov = pixel_covariance(beam, wcs)
    x, y = np.array([100.4, 40_000.2, 66_000.7]), np.array([20.3, 19.8, 20.1])
    signal = gaussians(shape, x, y, [1.0, 2.0, 3.0], cov)
    noise = 1e-6 * np.random.default_rng(9).normal(size=shape)
    ra, dec = wcs.pixel_to_world_values(x, y)
    planes = images(wcs, signal, noise, rms=1e-6, beam=beam)
    table = measured(planes, catalog(ra, dec))
    # within the change of north and scale over the strip
    assert np.allclose(table["flux_jy"], [1, 2, 3], rtol=0.01)


def test_shuffled_catalogue_gives_the_same_rows(tmp_path):
    files, sources = made_mosaic(tmp_path)
    first = pd.read_parquet(files.table)
    shuffled = sources.sample(frac=1, random_state=1)
    shuffled.to_csv(tmp_path / "shuffled.csv", index=False)
    again = files.model_copy(
        update={"catalog": tmp_path / "shuffled.csv", "table": tmp_path / "again.parquet"}
    )
    run(again, PhotometryOptions())
    pd.testing.assert_frame_equal(first, pd.read_parquet(again.table), check_exact=True)
    assert first["source"].is_monotonic_increasing


def made_mosaic(tmp_path, ra0=0.0, dec0=55.0, first=None):
    """A mosaic of three tiles across RA 0 h with a catalogue, measured.

    `first` are options of the first tile, at the smallest right ascension.
    """
    rng = np.random.default_rng(10)
    east, north = np.radians(rng.uniform(-0.28, 0.28, (2, 40)))
    ra, dec = offset(ra0, dec0, east, north)
    sky = Sky(ra, dec, rng.uniform(0.02, 0.3, 40))
    step = 0.16 / np.cos(np.radians(dec0))
    tiles = [
        make_tile(
            tmp_path, f"t{i}", ((ra0 + (i - 1) * step) % 360, dec0), sky, seed=i,
            mjd=60953 + i / 280, **((first or {}) if i == 0 else {}),
        )
        for i in range(3)
    ]  # fmt: skip
    outputs = mosaic_files(tmp_path, tiles)
    run_mosaic(MosaicFiles(**outputs), MosaicOptions())
    sources = catalog(ra, dec, sky.flux)
    sources.to_csv(tmp_path / "catalog.csv", index=False)
    files = PhotometryFiles(
        mosaic=outputs["image"], residual=outputs["residual"], rms=outputs["rms"],
        mjd=outputs["mjd"], mosaic_record=outputs["record"], catalog=tmp_path / "catalog.csv",
        table=tmp_path / "m1.parquet", record=tmp_path / "m1.photometry.json",
    )  # fmt: skip
    run(files, PhotometryOptions())
    return files, sources


def test_from_tiles_to_table(tmp_path):
    """Through both commands, across RA 0 h: fluxes, positions, times, units, record."""
    files, sources = made_mosaic(tmp_path)
    table = pd.read_parquet(files.table).set_index("source")
    assert len(table) > 30 and set(table["mosaic"]) == {"m1"}
    truth = sources.set_index("name").loc[table.index, "flux_jy"]
    pull = (table["flux_jy"] - truth) / table["flux_err_jy"]
    good = table["flag"] == ""
    assert abs(pull[good].mean()) < 0.5 and 0.7 < pull[good].std() < 1.35
    bright = good & (table["snr"] > 30)
    d_ra = (table["fit_ra_deg"] - table["ra_deg"] + 180) % 360 - 180
    assert np.abs(d_ra[bright] * np.cos(np.radians(55)) * 3600).max() < 3
    assert table["mjd"].between(60953, 60953 + 2 / 280).all() and table["mjd"].std() > 1e-4
    schema = pq.read_schema(files.table)
    assert schema.names == [name for name, *_ in COLUMNS]
    assert schema.field("flux_jy").metadata[b"unit"] == b"Jy"
    record = json.loads(files.record.read_text())
    assert record["verdict"] == "pass", record["reason"]
    assert record["data"]["noise_correlation"]["measured"]


def test_failed_mosaic_is_a_failed_record_and_an_empty_table(tmp_path):
    record = {"product": "m1", "stage": "mosaic", "verdict": "fail", "data": {}, "inputs": []}
    record |= {"reason": "no tile can be used", "checks": []}
    (tmp_path / "m1.json").write_text(json.dumps(record))
    catalog(np.array([1.0]), np.array([2.0])).to_csv(tmp_path / "c.csv", index=False)
    flags = []
    for key in ("mosaic", "residual", "rms", "mjd"):
        flags += [f"--{key}", str(tmp_path / f"{key}.fits")]
    flags += ["--mosaic-record", str(tmp_path / "m1.json"), "--catalog", str(tmp_path / "c.csv")]
    flags += ["--table", str(tmp_path / "t.parquet"), "--record", str(tmp_path / "p.json")]
    assert main(["photometry", *flags, *shlex.split(to_flags(PhotometryOptions()))]) == 0
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 0
    written = json.loads((tmp_path / "p.json").read_text())
    assert written["verdict"] == "fail" and "no tile can be used" in written["reason"]


def test_no_source_on_the_mosaic():
    wcs = sin_wcs(10.0, 37.0, 300)
    planes = images(wcs, np.zeros((300, 300)), np.random.default_rng(0).normal(size=(300, 300)))
    assert len(measured(planes, catalog(np.array([100.0]), np.array([-60.0])))) == 0
    assert len(measured(planes, catalog(np.array([10.0]), np.array([35.0])))) == 0


def test_no_source_makes_an_empty_table_and_a_warning(tmp_path):
    files, _ = made_mosaic(tmp_path)
    catalog(np.array([180.0]), np.array([-60.0])).to_csv(tmp_path / "far.csv", index=False)
    again = files.model_copy(
        update={
            "catalog": tmp_path / "far.csv",
            "table": tmp_path / "far.parquet",
            "record": tmp_path / "far.json",
        }
    )
    run(again, PhotometryOptions())
    assert pq.read_schema(again.table).names == [name for name, *_ in COLUMNS]
    assert len(pd.read_parquet(again.table)) == 0
    assert json.loads(again.record.read_text())["verdict"] == "warn"
