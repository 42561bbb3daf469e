"""Mosaics of synthetic tiles against the sky they were made from."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import Beam, read_image, write_image
from contimg.mosaic.command import MosaicFiles, run
from contimg.mosaic.noise import measure_factors, scale_by_factors
from contimg.mosaic.options import MosaicOptions
from mosaic.make_tiles import BEAM, CELL, Sky, make_tile, mosaic_files, offset, primary_beam

pytestmark = pytest.mark.usefixtures("unplotted")
STEP = 0.16  # deg between tile centres


def random_sky(ra0, dec0, rng, n=60, half=0.4):
    east, north = np.radians(rng.uniform(-half, half, (2, n)))
    ra, dec = offset(ra0, dec0, east, north)
    return Sky(ra, dec, rng.uniform(0.05, 0.5, n))


def grid_sky(ra0, dec0, flux=1.0, half=0.3, step=0.05):
    """Sources far enough apart not to touch."""
    east, north = (a.ravel() for a in np.meshgrid(*[np.arange(-half, half + step / 2, step)] * 2))
    ra, dec = offset(ra0, dec0, np.radians(east), np.radians(north))
    return Sky(ra, dec, np.full(ra.size, flux))


def strip(tmp_path, ra0, dec0, sky, n_tiles=3, **kwargs):
    """Tiles along a parallel, centred on (ra0, dec0)."""
    tiles = []
    for i in range(n_tiles):
        ra = ra0 + (i - (n_tiles - 1) / 2) * STEP / np.cos(np.radians(dec0))
        options = {"rms": 1e-3 * (1 + 0.3 * i), "mjd": 60953 + i * 309 / 86400, "seed": i}
        options |= kwargs
        tiles.append(make_tile(tmp_path, f"t{i}", (ra % 360, dec0), sky, **options))
    return tiles


def mosaic(tmp_path, tiles, name="m1", **options):
    files = MosaicFiles(**mosaic_files(tmp_path, tiles, name))
    run(files, MosaicOptions(**options))
    return files


def peaks(image, ra, dec):
    """Values at sky positions by quintic interpolation, and the positions in pixels."""
    x, y = image.wcs.world_to_pixel_values(ra, dec)
    return ndimage.map_coordinates(np.nan_to_num(image.data.astype(float)), [y, x], order=5)


def inside(image, ra, dec, margin=6):
    x, y = (np.round(c).astype(int) for c in image.wcs.world_to_pixel_values(ra, dec))
    ny, nx = image.data.shape
    good = (x >= margin) & (y >= margin) & (x < nx - margin) & (y < ny - margin)
    blank = ndimage.maximum_filter(~np.isfinite(image.data), size=2 * margin + 1)
    good[good] = ~blank[y[good], x[good]]
    return good


@pytest.mark.parametrize(
    ("ra0", "dec0"), [(150.0, 30.0), (0.0, 30.0), (359.97, -10.0), (77.0, 80.0)]
)
def test_fluxes_positions_and_weights(tmp_path, ra0, dec0):
    """Noiseless: every source comes out with its flux, at its place, wherever the field is."""
    sky = grid_sky(ra0, dec0)
    files = mosaic(tmp_path, strip(tmp_path, ra0, dec0, sky, seed=None))
    image = read_image(files.image)
    good = inside(image, sky.ra, sky.dec)
    assert good.sum() > 80
    assert np.abs(peaks(image, sky.ra, sky.dec)[good] - 1).max() < 0.006
    # three tiles of 360 pixels, 96 apart: nothing was stretched by the wrap or the pole
    assert 360 <= image.data.shape[0] < 372 and 540 <= image.data.shape[1] < 566


def test_noise_map_is_the_noise(tmp_path):
    empty = Sky(np.array([10.0]), np.array([30.0]), np.array([0.0]))
    pulls, shrink = [], []
    for trial in range(4):
        tiles = [
            make_tile(
                tmp_path, f"t{trial}{i}", (10.0 + i * 0.2, 30.0), empty,
                rms=(1 + i) * 1e-3, seed=10 * trial + i, mjd=60953 + i / 1000,
            )
            for i in range(3)
        ]  # fmt: skip
        files = mosaic(tmp_path, tiles, f"m{trial}")
        image, rms, weight = (read_image(p).data for p in (files.image, files.rms, files.weight))
        pulls.append((image / rms)[np.isfinite(image)])
        shrink.append((rms * np.sqrt(weight))[np.isfinite(image)])
    assert np.std(np.concatenate(pulls)) == pytest.approx(1.0, abs=0.03)
    assert np.mean(np.concatenate(shrink)) == pytest.approx(1.0, abs=0.03)


def test_noise_map_follows_the_residual(tmp_path):
    """Three times the noise in one corner of the tiles is three times the noise in the map."""
    from astropy.io import fits

    empty = Sky(np.array([10.0]), np.array([30.0]), np.array([0.0]))
    tile = make_tile(tmp_path, "t0", (10.0, 30.0), empty, rms=1e-3, n=600)
    with fits.open(tile["residual"], mode="update") as hdus:
        hdus[0].data[..., :, :250] *= 3
    files = mosaic(tmp_path, [tile], rms_box_beams=12)
    rms, weight = read_image(files.rms).data, read_image(files.weight).data
    factor = rms * np.sqrt(weight)
    nx = factor.shape[1]
    assert np.nanmedian(factor[:, : nx // 5]) == pytest.approx(3, rel=0.12)
    assert np.nanmedian(factor[:, -nx // 5 :]) == pytest.approx(1, rel=0.12)


def test_a_residual_of_nothing_promises_no_silence():
    """Where the residual is zero, as in a clipped tile, half of the usual noise is left."""
    residual = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
    residual[:200, :200] = 0
    noise = np.ones((400, 400), np.float32)
    scale_by_factors(noise, measure_factors(residual, noise, BEAM, CELL, 8.0))
    assert noise[300, 300] == pytest.approx(1, abs=0.1)
    assert noise[80, 80] == pytest.approx(0.5, abs=0.05) == noise.min()


def test_order_of_tiles_does_not_matter(tmp_path):
    rng = np.random.default_rng(5)
    tiles = strip(tmp_path, 0.0, 30.0, random_sky(0.0, 30.0, rng))
    first = mosaic(tmp_path, tiles, "a")
    second = mosaic(tmp_path, [tiles[i] for i in (2, 0, 1)], "b")
    for key in ("image", "residual", "weight", "rms", "coverage", "mjd"):
        one, two = (read_image(getattr(f, key)).data for f in (first, second))
        assert one.tobytes() == two.tobytes(), key
    assert first.tiles.read_bytes() == second.tiles.read_bytes()


def test_single_tile_is_unaltered(tmp_path):
    rng = np.random.default_rng(6)
    sky = random_sky(0.0, 55.0, rng)
    tile = make_tile(tmp_path, "t0", (0.01, 55.0), sky)
    files = mosaic(tmp_path, [tile])
    raw, pb = read_image(tile["image"]), read_image(tile["pb"])
    expected = (raw.data.astype(float) / pb.data.astype(float)).astype(np.float32)
    expected[pb.data < 0.2] = np.nan
    made = read_image(files.image)
    dx, dy = np.round(raw.wcs.wcs.crpix - made.wcs.wcs.crpix).astype(int)
    ny, nx = made.data.shape
    cut = expected[dy : dy + ny, dx : dx + nx]
    assert made.data.tobytes() == cut.tobytes()
    assert np.isfinite(cut).sum() == np.isfinite(expected).sum()


def test_weights_times_and_coverage(tmp_path):
    empty = Sky(np.array([10.0]), np.array([30.0]), np.array([0.0]))
    step = STEP / np.cos(np.radians(30))
    tiles = [
        make_tile(tmp_path, f"t{i}", (10 + i * step, 30.0), empty, rms=s, mjd=60953 + i / 100)
        for i, s in enumerate((1e-3, 2e-3))
    ]
    files = mosaic(tmp_path, tiles)
    weight, mjd, coverage = (read_image(p) for p in (files.weight, files.mjd, files.coverage))
    x, y = (round(float(c)) for c in weight.wcs.world_to_pixel_values(10.0, 30.0))
    w = np.array([primary_beam(0.0) ** 2 / 1e-6, primary_beam(STEP) ** 2 / 4e-6])
    assert weight.data[y, x] == pytest.approx(w.sum(), rel=2e-3)
    time = mjd.header["MJD-AVG"] + float(mjd.data[y, x]) / 1440
    assert time == pytest.approx(60953 + w[1] / w.sum() / 100, abs=1e-5)
    assert coverage.data[y, x] == 2 and coverage.data.max() == 2
    assert not np.isfinite(weight.data[coverage.data == 0]).any()
    record = json.loads(files.record.read_text())
    assert record["data"]["mjd"] == pytest.approx(60953 + 0.2 / 100, abs=1e-9)
    assert record["data"]["integration_s"] == 618.0


def test_failed_noisy_and_blank_tiles_are_left_out_with_reasons(tmp_path):
    sky = grid_sky(10.0, 30.0)
    good = strip(tmp_path, 10.0, 30.0, sky, seed=None)
    alone = mosaic(tmp_path, good, "alone")
    failed = make_tile(tmp_path, "f", (10.0, 30.0), sky, verdict="fail")
    failed["image"].write_text("no data")
    noisy = make_tile(tmp_path, "n", (10.0, 30.0), sky, rms=1.0)
    blank = make_tile(tmp_path, "b", (10.0, 30.0), sky, blank=(slice(None), slice(None)))
    files = mosaic(tmp_path, [failed, noisy, *good, blank], "all")
    assert read_image(alone.image).data.tobytes() == read_image(files.image).data.tobytes()
    table = pd.read_csv(files.tiles, keep_default_na=False).set_index("tile")
    assert list(table.index[table["used"]]) == ["t0", "t1", "t2"]
    assert "too little data" in table.loc["f", "reason"]
    assert "noise" in table.loc["n", "reason"] and "no pixel" in table.loc["b", "reason"]
    record = json.loads(files.record.read_text())
    assert len(record["data"]["tiles_left_out"]) == 3 and record["verdict"] == "warn"


@pytest.mark.parametrize(
    ("metric", "third", "verdict"),
    [
        ("tiles_used_fraction", {"verdict": "fail"}, "warn"),
        ("frequency_spread", {"data": {"freq_hz": 1.46e9}}, "warn"),
        ("blank_fraction", {"blank": (slice(None), slice(60, 300))}, "warn"),
        ("noise_over_expected", {"data": {"rms_jy_beam": 1e-4}}, "fail"),
    ],
)
def test_what_is_odd_about_the_tiles_is_said(tmp_path, metric, third, verdict):
    empty = Sky(np.array([10.0]), np.array([30.0]), np.array([0.0]))
    given = [{}, {}, third] if metric != "noise_over_expected" else [third] * 3
    tiles = [
        make_tile(tmp_path, f"t{i}", (10.0, 30.0), empty, mjd=60953 + i, seed=i, **more)
        for i, more in enumerate(given)
    ]
    if metric == "noise_over_expected":  # twelve times what the records say
        for tile in tiles:
            content = read_image(tile["residual"])
            write_image(tile["residual"], 1.2 * content.data, content.wcs, unit="Jy/beam")
    record = json.loads(mosaic(tmp_path, tiles).record.read_text())
    assert record["verdict"] == verdict and metric in record["reason"]
    assert [c["metric"] for c in record["checks"] if c["verdict"] != "pass"] == [metric]


def test_decisions_are_recorded(tmp_path):
    """In the tile list and in the record, with their reasons."""
    tiles = strip(tmp_path, 10.0, 30.0, grid_sky(10.0, 30.0))
    table = tmp_path / "decisions.csv"
    table.write_text("mosaic,tile,decision,reason\nm1,t1,leave_out,a satellite\n")
    files = mosaic(tmp_path, tiles, overrides=table)
    data = json.loads(files.record.read_text())["data"]
    decision = {"tile": "t1", "decision": "leave_out", "reason": "a satellite"}
    assert data["decisions"] == [decision] and data["tiles_used"] == ["t0", "t2"]
    assert data["tiles_left_out"][0]["reason"] == "left out by decision: a satellite"
    assert "left out by decision: a satellite" in files.tiles.read_text()


def test_all_tiles_failed(tmp_path):
    sky = grid_sky(10.0, 30.0)
    failed = make_tile(tmp_path, "f", (10.0, 30.0), sky, verdict="fail")
    with pytest.raises(DataQualityError, match="too little data"):
        mosaic(tmp_path, [failed])


def test_blank_pixels_take_no_part(tmp_path):
    """A hole in one tile is filled by the others, without a trace in the fluxes."""
    sky = grid_sky(10.0, 30.0)
    holed = strip(tmp_path, 10.0, 30.0, sky, seed=None)
    whole = mosaic(tmp_path, holed, "whole")
    holed[1] = make_tile(
        tmp_path, "t1", (10.0, 30.0), sky, seed=None, rms=1.3e-3, mjd=60953 + 309 / 86400,
        blank=(slice(150, 220), slice(170, 200)),
    )  # fmt: skip
    files = mosaic(tmp_path, holed)
    image, coverage = read_image(files.image), read_image(files.coverage)
    good = inside(image, sky.ra, sky.dec)
    assert np.abs(peaks(image, sky.ra, sky.dec)[good] - 1).max() < 0.006
    x, y = (round(float(c)) for c in image.wcs.world_to_pixel_values(10.0, 30.0))
    assert coverage.data[y, x] == 2 and np.isfinite(image.data[y, x])
    # where the tile with the hole is used, it is used as if there were none
    alike = coverage.data == read_image(whole.coverage).data
    assert 0.9 < alike.mean() < 1
    assert np.nanmax(np.abs(image.data - read_image(whole.image).data)[alike]) < 2e-3


def test_beams_that_differ_conserve_flux(tmp_path):
    sky = grid_sky(10.0, 30.0, half=0.15)
    step = STEP / np.cos(np.radians(30))
    beams = [BEAM, Beam(42 / 3600, 38 / 3600, -40.0), Beam(52 / 3600, 30 / 3600, 80.0)]
    tiles = [
        make_tile(
            tmp_path, f"t{i}", (10 + (i - 1) * step, 30.0), sky, beam=b, seed=None, mjd=60953 + i
        )
        for i, b in enumerate(beams)
    ]
    files = mosaic(tmp_path, tiles)
    image = read_image(files.image)
    assert image.beam.minor_deg > 34 / 3600
    assert np.abs(peaks(image, sky.ra, sky.dec) - 1).max() < 0.006
    # and the sources have the shape the header says
    x, y = image.wcs.world_to_pixel_values(sky.ra[24], sky.dec[24])
    for axis, width in ((image.beam.major_deg, 0), (image.beam.minor_deg, 90)):
        pa = np.radians(image.beam.pa_deg + width)
        half = axis / 2 / CELL
        value = ndimage.map_coordinates(
            np.nan_to_num(image.data.astype(float)),
            [[y + half * np.cos(pa)], [x - half * np.sin(pa)]],
            order=5,
        )
        assert value[0] == pytest.approx(0.5, abs=0.01)


def test_noise_of_tiles_that_are_convolved_is_known(tmp_path):
    """The common beam changes the noise of each tile, and so the weights and the promise."""
    empty = Sky(np.array([10.0]), np.array([30.0]), np.array([0.0]))
    beams = [BEAM, Beam(42 / 3600, 30 / 3600, -40.0), Beam(60 / 3600, 40 / 3600, 80.0)]
    tiles = [
        make_tile(
            tmp_path, f"t{i}", (10.0 + i * 0.1, 30.0), empty, n=500, beam=b, seed=i, pb_fwhm=0.8,
            mjd=60953 + i,
        )
        for i, b in enumerate(beams)
    ]  # fmt: skip
    files = mosaic(tmp_path, tiles)
    image, weight = read_image(files.image).data, read_image(files.weight).data
    pull = (image * np.sqrt(weight))[np.isfinite(image)]
    assert np.std(pull) == pytest.approx(1, abs=0.04)
    target = read_image(files.image).beam.covariance
    noise = pd.read_csv(files.tiles)["rms_jy_beam"]
    for beam, made in zip(beams, noise, strict=True):  # its correlation is that of the beam
        own, after = (np.linalg.det(c) for c in (beam.covariance, 2 * target - beam.covariance))
        gain = np.sqrt(np.linalg.det(target) / own)
        assert made == pytest.approx(1e-3 * gain * (own / after) ** 0.25, rel=0.03)


@pytest.mark.parametrize("method", ["weighted", "mean"])
def test_other_weights_keep_the_flux_scale_and_the_noise(tmp_path, method):
    sky = grid_sky(10.0, 30.0, flux=0.0)
    tiles = strip(tmp_path, 10.0, 30.0, sky)
    best, files = mosaic(tmp_path, tiles, "best"), mosaic(tmp_path, tiles, "m", method=method)
    w_best, w = read_image(best.weight).data, read_image(files.weight).data
    both = np.isfinite(w)
    assert np.all(w[both] <= w_best[both] * (1 + 1e-5))
    pull = read_image(files.image).data[both] * np.sqrt(w[both])
    assert np.std(pull) == pytest.approx(1, abs=0.08)
    bright = strip(tmp_path, 10.0, 30.0, grid_sky(10.0, 30.0), seed=None)
    image = read_image(mosaic(tmp_path, bright, "b", method=method).image)
    sky = grid_sky(10.0, 30.0)
    good = inside(image, sky.ra, sky.dec)
    assert np.abs(peaks(image, sky.ra, sky.dec)[good] - 1).max() < 0.006


def test_bad_input_is_named(tmp_path):
    sky = grid_sky(10.0, 30.0)
    one = make_tile(tmp_path, "t0", (10.0, 30.0), sky)
    with pytest.raises(ContimgError, match="given twice"):
        mosaic(tmp_path, [one, one])
    far = make_tile(tmp_path, "t1", (100.0, 30.0), sky)
    with pytest.raises(ContimgError, match="from the mosaic's centre"):
        mosaic(tmp_path, [one, far])
    with pytest.raises(ContimgError, match=r"pixels of 0\.01 arcsec, more than 65536 on a side"):
        mosaic(tmp_path, [one], cell_arcsec=0.01)
    files = mosaic_files(tmp_path, [one])
    files["pbs"] = []
    with pytest.raises(ContimgError, match="one file a tile"):
        run(MosaicFiles(**files), MosaicOptions())
