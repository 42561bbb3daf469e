"""Imaging of a known source with the real imagers, and the primary beam of a drift."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from contimg.core.beam import PrimaryBeam
from contimg.core.coords import separation
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import read_image
from contimg.core.ms import open_table
from contimg.core.records import write_record
from contimg.image import wsclean
from contimg.image.command import ImageFiles, run
from contimg.image.grid import derived_cell_arcsec, derived_size
from contimg.image.options import ImageOptions, resolve_backend
from contimg.image.primary_beam import drift_averaged_beam
from contimg.image.visibilities import mean_frequency, read_sampling, thermal_noise
from truth.observe import INSTRUMENT, PERFECT, converted, observe

SIMULATE = PERFECT.model_copy(update={"noise": True, "antenna_step": 5, "n_times": 12})
OPTIONS = ImageOptions(cell_arcsec=12, imsize=512)
needs_wsclean = pytest.mark.skipif(
    shutil.which("wsclean") is None, reason="WSClean is not installed (Debian: apt install wsclean)"
)


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    """(MS, source, directory) of a noisy observation by an otherwise perfect instrument."""
    directory = tmp_path_factory.mktemp("tile")
    _, sky, manifest = observe(directory, east_deg=0.4, north_deg=0.25, simulate=SIMULATE)
    return converted(directory, manifest), sky.iloc[0], directory


def image(tile, name: str, options: ImageOptions) -> tuple[ImageFiles, dict]:
    ms, _, directory = tile
    out = directory / name
    record = directory / f"{name}.ms.json"
    data = {"group": "g", "ra_deg": 0.0, "dec_deg": 0.0, "calset": "none"}
    write_record(record, product="tile", stage="apply", data=data)
    products = ("image", "residual", "psf", "model", "pb", "pbcor")
    paths = {product: out / f"{product}.fits" for product in products}
    files = ImageFiles(
        ms=ms, ms_record=record, plot=out / "p.png", record=out / "r.json", threads=2, **paths
    )
    run(files, INSTRUMENT, options)
    return files, json.loads(files.record.read_text())


@pytest.fixture(scope="module")
def imaged(tile):
    backend = resolve_backend("auto")
    return image(tile, backend, OPTIONS.model_copy(update={"backend": backend}))


def peak_near(path, source):
    content = read_image(path)
    x, y = content.wcs.all_world2pix(source["ra_deg"], source["dec_deg"], 0)
    x, y = round(float(x)), round(float(y))
    return float(np.nanmax(content.data[y - 2 : y + 3, x - 2 : x + 3]))


def test_flux_density_is_recovered(tile, imaged):
    files, _ = imaged
    assert peak_near(files.pbcor, tile[1]) == pytest.approx(tile[1]["flux_jy"], rel=0.02)


def test_noise_is_thermal_and_all_data_are_gridded(imaged):
    _, record = imaged
    assert record["verdict"] == "pass", record["reason"]
    assert 0.9 < record["data"]["noise_ratio"] < 2.5
    if record["data"]["backend"] == "wsclean":
        assert record["data"]["gridded_fraction"] == pytest.approx(1, abs=1e-6)


def test_missing_integrations_fail_the_image(tile, monkeypatch):
    """WSClean's -field trap: only a part of the data is imaged, and nobody notices."""
    gridded = wsclean._gridded
    monkeypatch.setattr(wsclean, "_gridded", lambda text: gridded(text) // 24)
    if resolve_backend("auto") != "wsclean":
        pytest.skip("WSClean is not installed")
    _, record = image(tile, "partial", OPTIONS)
    assert record["verdict"] == "fail" and "gridded fraction" in record["reason"]


@needs_wsclean
def test_tclean_agrees(tile, imaged):
    other, _ = image(tile, "tclean", OPTIONS.model_copy(update={"backend": "tclean"}))
    ours, theirs = peak_near(imaged[0].pbcor, tile[1]), peak_near(other.pbcor, tile[1])
    assert theirs == pytest.approx(ours, rel=0.02)


def test_fits_are_valid_and_complete(imaged):
    from astropy.io import fits

    files, _ = imaged
    for path in (files.image, files.pbcor, files.pb):
        with fits.open(path) as hdus:
            hdus.verify("exception")
            header = hdus[0].header
            assert header["NAXIS"] == 4 and header["CTYPE1"].startswith("RA---SIN")
            assert header["RADESYS"] == "ICRS" and "MJD-AVG" in header
    assert fits.getheader(files.image)["BUNIT"] == "Jy/beam"
    assert files.plot.stat().st_size > 10_000


def test_beam_follows_the_drift(tile):
    """Against a sum over times and channels at single positions, without grid or spline."""
    ms, _, _ = tile
    sampling = read_sampling(ms)
    beam = PrimaryBeam(INSTRUMENT)
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = np.degrees(sampling.axes.phase_center_rad)
    wcs.wcs.crpix = [201, 201]
    wcs.wcs.cdelt = [-30 / 3600, 30 / 3600]
    average = drift_averaged_beam(beam, sampling, wcs, (401, 401))
    assert 0.9 < average[200, 200] < 1
    for x, y in ((200, 200), (60, 310), (399, 5), (200, 390)):
        ra, dec = np.radians(wcs.all_pix2world(x, y, 0))
        distance = separation(ra, dec, *sampling.axes.pointing_rad)
        power = beam.power(distance[:, None], sampling.axes.freq_hz)
        expected = (power * sampling.weight).sum() / sampling.weight.sum()
        assert average[y, x] == pytest.approx(expected, abs=2e-4)
    # the drift is along right ascension: the beam is wider that way
    assert average[200, 60] > average[60, 200]


def test_grid_follows_from_the_data_and_is_not_changed_when_given(tile):
    from scipy.fft import next_fast_len

    from contimg.image.grid import image_grid

    sampling = read_sampling(tile[0])
    beam = PrimaryBeam(INSTRUMENT)
    cell = derived_cell_arcsec(sampling)
    assert 206265 / sampling.longest_lambda / cell >= 4
    size = derived_size(sampling, beam, 0.1, cell)
    assert next_fast_len(size, real=True) == size and size % 2 == 0
    edge = np.radians(size / 2 * cell / 3600)
    assert float(beam.power(edge, mean_frequency(sampling))) <= 0.1
    assert image_grid(sampling, beam, ImageOptions(cell_arcsec=3, imsize=1001)) == (1001, 3)


def test_thermal_noise_of_the_full_array():
    """0.20 mJy/beam: 96 antennas, 309 s, 187.5 MHz, two hands."""

    class Full:
        count = 96 * 95 // 2 * 768 * 24

        class axes:
            width_hz = 187.5e6 / 768
            integration_s = 12.885

    assert thermal_noise(Full, 6500) == pytest.approx(0.20e-3, rel=0.03)


def test_everything_flagged_is_a_data_failure(tile, tmp_path):
    ms = tmp_path / "flagged.ms"
    shutil.copytree(tile[0], ms)
    with open_table(ms, writable=True) as table:
        table.putcol("FLAG", np.ones_like(table.getcol("FLAG")))
    with pytest.raises(DataQualityError, match="no unflagged"):
        read_sampling(ms)


@needs_wsclean
def test_a_failing_imager_is_named(tmp_path):
    with pytest.raises(ContimgError, match="WSClean failed"):
        wsclean.make_images(tmp_path / "none.ms", tmp_path, 64, 10.0, 1, OPTIONS)
