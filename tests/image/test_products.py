"""The files of an image: valid, complete, and the same bytes every time."""

from __future__ import annotations

import shutil
import subprocess
import warnings

import numpy as np
import pytest
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.wcs import WCS

from contimg.core.casa import casa_session
from contimg.core.fits import read_image
from contimg.core.records import content_hash
from contimg.image.options import ImageOptions
from contimg.mosaic.command import MosaicFiles
from contimg.mosaic.command import run as make_mosaic
from contimg.mosaic.options import MosaicOptions
from mosaic.make_tiles import mosaic_files
from truth.tiles import FITS, image, sky, with_sky

OPTIONS = ImageOptions(backend="auto", cell_arcsec=12, imsize=256, niter=2000)


@pytest.fixture(scope="module")
def made(tile, tmp_path_factory):
    directory = tmp_path_factory.mktemp("products")
    sources = sky(tile[0], *((f"S{k}", 0.1 * (k - 3), 0.08 * (k % 3), 0.5) for k in range(6)))
    ms = with_sky(tile[0], directory / "a.ms", sources, 0.5)
    first = image(ms, directory / "one", OPTIONS, sources)
    again = image(ms, directory / "two", OPTIONS, sources)
    return first, again


@pytest.mark.parametrize("name", FITS)
def test_headers_are_complete(made, name):
    (files, _), _ = made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(getattr(files, name), checksum=True) as hdus:
            hdus.verify("exception")
            header = hdus[0].header
            WCS(header)  # as a reader would, with its dates and places
        content = read_image(getattr(files, name))
    assert header["NAXIS"] == 4 and header["CTYPE1"].startswith("RA---SIN")
    assert header["CTYPE3"] == "FREQ" and header["CTYPE4"] == "STOKES" and header["CRVAL4"] == 1
    assert header["RADESYS"] == "ICRS" and header["SPECSYS"] == "TOPOCENT"
    assert header["RESTFRQ"] == pytest.approx(1.405e9, rel=0.01) == header["CRVAL3"]
    assert header["CDELT3"] == pytest.approx(187.5e6)
    assert header["TELESCOP"] == "OVRO_MMA" and header["OBJECT"] == "g"
    assert header["CALSET"] == "none" and header["TIER"] == "standard"
    assert header["ORIGIN"].startswith("contimg ") and "WSClean" in header["IMAGER"]
    assert header["EXPTIME"] == pytest.approx(8 * 51.5, rel=0.01)
    half = (header["MJD-AVG"] - header["MJD-OBS"]) * 86400
    assert half == pytest.approx(4 * 51.5, rel=0.01)
    assert header["DATE-OBS"][:4] == "2025" and header["TIMESYS"] == "UTC"
    place = EarthLocation.from_geocentric(*(header[f"OBSGEO-{axis}"] for axis in "XYZ"), unit="m")
    assert place.lat.deg == pytest.approx(37.23, abs=0.02) == header["OBSGEO-B"]
    assert header["OBSGEO-H"] == pytest.approx(1200, abs=50)
    unit = {"psf": None, "pb": None, "model": "Jy/pixel"}.get(name, "Jy/beam")
    assert header.get("BUNIT") == unit
    assert ("BMAJ" in header) == (unit == "Jy/beam") == (content.beam is not None)
    corrected = {"pbcor": True, "image": False, "residual": False, "rms": False}
    assert header.get("PBCOR") is corrected.get(name)
    assert header["BTYPE"] == {"psf": "Beam", "pb": "Sensitivity"}.get(name, "Intensity")


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="needs fitsverify")
def test_fitsverify_has_nothing_to_say(made):
    (files, _), _ = made
    paths = [str(getattr(files, name)) for name in FITS]
    result = subprocess.run(["fitsverify", "-q", *paths], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("OK") == len(FITS)


def test_casa_reads_the_same(made):
    """Positions, frequency, time, beam and unit of the corrected image."""
    (files, _), _ = made
    content = read_image(files.pbcor)
    with casa_session():
        import casatools

        image = casatools.image()
        image.open(str(files.pbcor))
        axes, beam, unit = image.coordsys(), image.restoringbeam(), image.brightnessunit()
        at = axes.toworld([70, 33, 0, 0])["numeric"]
        epoch, codes = axes.epoch()["m0"]["value"], axes.referencecode()
        image.close()
    ra, dec = content.wcs.all_pix2world(70, 33, 0)
    assert np.degrees(at[:2]) == pytest.approx([float(ra), float(dec)], abs=1e-9)
    assert at[2] == pytest.approx(content.header["RESTFRQ"], rel=1e-12)
    assert epoch == pytest.approx(content.header["MJD-OBS"], abs=1e-9)
    assert beam["major"]["value"] == pytest.approx(content.beam.major_deg * 3600)
    assert beam["positionangle"]["value"] == pytest.approx(content.beam.pa_deg)
    assert unit == "Jy/beam" and list(codes) == ["ICRS", "", "TOPO"]


def test_a_mosaic_takes_corrected_and_uncorrected_images_alike(made, tmp_path):
    """The corrected image says that it is: taken for the other it would be corrected twice."""
    (files, _), _ = made
    mosaics = []
    for kind in ("image", "pbcor"):
        tile = {
            "image": getattr(files, kind),
            "residual": files.residual,
            "pb": files.pb,
            "record": files.record,
        }
        outputs = MosaicFiles(**mosaic_files(tmp_path, [tile], kind))
        make_mosaic(outputs, MosaicOptions())
        mosaics.append(read_image(outputs.image).data)
    assert np.isfinite(mosaics[0]).sum() > 30_000
    assert np.allclose(*mosaics, rtol=1e-5, atol=1e-7, equal_nan=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(outputs.image) as hdus:
            header = hdus[0].header
            WCS(header)
    tile = read_image(files.image).header
    for key in ("MJD-OBS", "MJD-AVG", "TELESCOP", "OBSGEO-X", "BMAJ", "RESTFRQ"):
        assert header[key] == tile[key], key
    assert header["METHOD"] == "pbweighted" and header["PBCOR"] is True
    cut = read_image(files.pbcor).data
    assert np.nanmax(mosaics[0]) == pytest.approx(np.nanmax(cut), rel=1e-6)


def test_bytes_are_reproducible(made):
    (one, first), (two, second) = made
    for name in (*FITS, "plot", "page"):
        assert content_hash(getattr(one, name)) == content_hash(getattr(two, name)), name
    assert first["data"] == second["data"]


def test_the_record_tells_settings_checks_and_validation(made):
    (_, record), _ = made
    settings = record["parameters"]["image"]
    assert settings["niter"] == 2000 and settings["mgain"] == 0.8 and settings["robust"] == 0.5
    assert record["data"]["explicit"] == ["niter"]
    assert record["data"]["validation"]["matched"] == 6
    assert record["data"]["validation"]["flux_ratio"] == pytest.approx(1, abs=0.04)
    assert {c["metric"] for c in record["checks"]} >= {
        "rms over thermal noise",
        "gridded fraction of the unflagged visibilities",
        "offset from the catalogue",
        "peak of the residual over the local noise",
    }


def test_the_page_stands_alone(made):
    (files, _), _ = made
    text = files.page.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert "rms over thermal noise" in text and "completeness" in text
    assert 'src="http' not in text and "None" not in text
