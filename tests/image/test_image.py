"""Imaging of known sources with the real imagers, and the primary beam of a drift."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.units import Quantity

from contimg.core.beam import PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.coords import separation
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import read_image
from contimg.core.ms import open_table
from contimg.image import tclean, wsclean
from contimg.image.grid import derived_size, field_radius, image_grid
from contimg.image.options import ImageOptions, resolve_backend
from contimg.image.primary_beam import drift_averaged_beam
from contimg.image.tiers import effective
from contimg.image.visibilities import mean_frequency, read_sampling, thermal_noise
from truth.observe import INSTRUMENT
from truth.tiles import image, peak_near, sky, with_sky

OPTIONS = ImageOptions(backend="auto", cell_arcsec=12, imsize=400)
needs_wsclean = pytest.mark.skipif(
    shutil.which("wsclean") is None, reason="WSClean is not installed (Debian: apt install wsclean)"
)


def with_(**changes) -> ImageOptions:
    return ImageOptions(**{**OPTIONS.model_dump(exclude_unset=True), **changes})


@pytest.fixture(scope="session")
def imaged(tile, tmp_path_factory):
    return image(tile[0], tmp_path_factory.mktemp("imaged"), OPTIONS)


def test_flux_density_is_recovered(tile, imaged):
    files, _ = imaged
    assert peak_near(files.pbcor, tile[1]) == pytest.approx(tile[1]["flux_jy"], rel=0.02)
    response = float(read_image(files.pb).data[200, 200])
    assert peak_near(files.image, tile[1]) < 0.95 * tile[1]["flux_jy"], "corrected twice"
    assert 0.9 < response < 1


def test_noise_is_thermal_and_all_data_are_gridded(imaged):
    _, record = imaged
    assert record["verdict"] == "pass", record["reason"]
    data = record["data"]
    assert 0.9 < data["noise_ratio"] < 2.5
    assert data["integration_s"] == pytest.approx(8 * 51.5, rel=0.01)
    assert data["model_max_jy"] < 2.1 and data["model_min_jy"] > -0.05
    if data["backend"] == "wsclean":
        assert data["gridded_fraction"] == pytest.approx(1, abs=1e-6)


@needs_wsclean
def test_missing_integrations_fail_the_image(tile, tmp_path, monkeypatch):
    """WSClean's -field trap: only a part of the data is imaged, and nobody notices."""
    arguments = wsclean.arguments
    monkeypatch.setattr(wsclean, "arguments", lambda *a: [*arguments(*a), "-interval", "0", "1"])
    _, record = image(tile[0], tmp_path, with_(niter=0))
    assert record["verdict"] == "fail" and "gridded fraction" in record["reason"]
    assert record["data"]["gridded_fraction"] == pytest.approx(1 / 8)


def test_channels_that_tclean_leaves_out_fail_the_image(tile, tmp_path, monkeypatch):
    parameters = tclean.parameters
    monkeypatch.setattr(tclean, "parameters", lambda *a: parameters(*a) | {"spw": "0:0~11"})
    options = with_(niter=0, imsize=128, backend="tclean", gridder="standard")
    _, record = image(tile[0], tmp_path, options)
    assert record["verdict"] == "fail" and "gridded fraction" in record["reason"]
    assert record["data"]["gridded_fraction"] == pytest.approx(0.75, abs=1e-3)


@needs_wsclean
def test_parts_of_the_band_and_uv_range_are_counted(tile, tmp_path):
    """All parts of the band count as gridded; baselines left out on purpose do not."""
    options = with_(nterms=2, channels_out=3, uv_min_lambda=100, uv_max_lambda=1500)
    # in the middle of a pixel; and where the beam differs by 3 % from end to end of the band
    source = sky(tile[0], ("A", 0.0, 0.0, 2.0), ("B", 0.45, 0.45, 2.0))
    ms = with_sky(tile[0], tmp_path / "a.ms", source, 0.3)
    files, record = image(ms, tmp_path / "out", options, cube=tmp_path / "cube.fits")
    assert record["data"]["gridded_fraction"] == pytest.approx(1, abs=0.01)
    everything = read_sampling(ms).count
    spectrum = record["data"]["cube"]
    assert [round(p["freq_hz"] / 1e6) for p in spectrum] == pytest.approx([1341, 1400, 1464], abs=5)
    with fits.open(files.cube, checksum=True) as hdus:
        planes, header = hdus[0].data[0], hdus[0].header
    for beam, plane in zip(casa_beams(files.cube), spectrum, strict=True):
        assert beam == pytest.approx([plane["bmaj_arcsec"], plane["bmin_arcsec"], plane["bpa_deg"]])
    assert spectrum[0]["bmaj_arcsec"] > spectrum[2]["bmaj_arcsec"]
    assert planes.shape == (3, 400, 400) and header["CRVAL3"] < spectrum[1]["freq_hz"]
    assert planes[:, 200, 200] == pytest.approx([2.0] * 3, rel=0.02)  # a flat spectrum
    far = planes[:, 327:343, 57:73].max(axis=(1, 2))
    assert far[0] / far[2] == pytest.approx(1, abs=0.012)
    assert 0.3 * everything < record["data"]["visibilities"] < 0.95 * everything
    assert peak_near(files.pbcor, source.iloc[0]) == pytest.approx(2.0, rel=0.01)


@needs_wsclean
def test_a_part_of_the_band_without_data_is_a_blank_plane(tile, tmp_path):
    """A missing subband is flagged: WSClean gives its part zeros and a beam that is no number."""
    ms = shutil.copytree(tile[0], tmp_path / "half.ms")
    with open_table(ms, writable=True) as table:
        flags = table.getcol("FLAG")
        flags[:, :8] = True
        table.putcol("FLAG", flags)
    options = with_(imsize=128, niter=0, channels_out=2)
    files, record = image(ms, tmp_path / "out", options, cube=tmp_path / "cube.fits")
    assert record["data"]["gridded_fraction"] == pytest.approx(1, abs=1e-6)
    empty, full = record["data"]["cube"]
    assert empty["bmaj_arcsec"] is None and full["freq_hz"] > 1.45e9
    planes = fits.getdata(files.cube)[0]
    assert np.isnan(planes[0]).all() and np.isfinite(planes[1]).all()


def casa_beams(cube):
    """(major, minor [arcsec], position angle [deg]) of every plane as CASA reads them."""
    with casa_session():
        import casatools

        image = casatools.image()
        image.open(str(cube))
        count = int(image.shape()[2])
        found = [image.restoringbeam(channel=k, polarization=0) for k in range(count)]
        image.close()
    return [
        [
            Quantity(beam[key]["value"], beam[key]["unit"]).to_value(unit)
            for key, unit in (("major", "arcsec"), ("minor", "arcsec"), ("positionangle", "deg"))
        ]
        for beam in found
    ]


@needs_wsclean
def test_tclean_agrees(tile, imaged, tmp_path):
    """Same flux density, and in the same place, with the centre moved in both.

    To the source: between pixels its brightest one would be up to 4 % low, and elsewhere the two
    need not put it on the same part of a pixel (their tangent points differ).
    """
    centre = f"{tile[1]['ra_deg']:.6f} {tile[1]['dec_deg']:.6f}"
    options = {"imsize": 128, "phase_center": centre, "niter": 500}
    moved, _ = image(tile[0], tmp_path / "wsclean", with_(**options))
    other, record = image(tile[0], tmp_path / "tclean", with_(backend="tclean", **options))
    assert record["data"]["imager"].startswith("CASA")
    assert record["data"]["gridded_fraction"] == pytest.approx(1, abs=1e-5)
    expected = peak_near(moved.pbcor, tile[1])
    assert peak_near(other.pbcor, tile[1]) == pytest.approx(expected, rel=0.02)
    assert expected == pytest.approx(peak_near(imaged[0].pbcor, tile[1]), rel=0.04)  # pixels
    for files in (moved, other):
        content = read_image(files.image)
        x, y = content.wcs.all_world2pix(float(centre.split()[0]), float(centre.split()[1]), 0)
        assert (x, y) == pytest.approx((64, 64), abs=0.6)


@needs_wsclean
def test_multiscale_recovers_an_extended_source(tile, tmp_path):
    """A Gaussian of three times the beam: its flux density in the model, little left over."""
    sources = sky(tile[0], ("G", 0.1, 0.1, 3.0))
    ms = with_sky(tile[0], tmp_path / "g.ms", sources, 0.5, gaussian_arcsec=160)
    here = np.s_[209:250, 150:191]
    missing, left = {}, {}
    for deconvolver, more in (("hogbom", {}), ("multiscale", {"scales": [0, 8, 16]})):
        options = with_(robust=0, niter=20_000, deconvolver=deconvolver, **more)
        files, _ = image(ms, tmp_path / deconvolver, options)
        true = 3.0 * float(read_image(files.pb).data[229, 170])
        missing[deconvolver] = abs(true - float(read_image(files.model).data[here].sum()))
        left[deconvolver] = float(read_image(files.residual).data[here].std())
    assert missing["multiscale"] < 0.6 * missing["hogbom"]
    assert left["multiscale"] < 0.6 * left["hogbom"]


@pytest.mark.parametrize("flagged", [False, True])
def test_beam_follows_the_drift(tile, tmp_path, flagged):
    """Against a sum over times and channels at single positions, without grid or spline."""
    ms, _, _ = tile
    if flagged:  # the first five of eight integrations, and the lower half of the band of another
        ms = shutil.copytree(ms, tmp_path / "flagged.ms")
        with open_table(ms, writable=True) as table:
            flags = table.getcol("FLAG").reshape(8, -1, 16, 2)
            flags[:5] = flags[5, :, :8] = True
            table.putcol("FLAG", flags.reshape(-1, 16, 2))
    sampling = read_sampling(ms)
    assert np.array_equal(sampling.weight[:5] > 0, np.full((5, 16), not flagged))
    assert sampling.effective_s == pytest.approx((2.5 if flagged else 8) * 51.5, rel=1e-3)
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
    if flagged:  # the later the farther to the east is the beam: smaller x
        assert average[200, 60] > average[200, 340] + 0.1
    else:  # the drift is along right ascension: the beam is wider that way
        assert average[200, 60] > average[60, 200]


def test_derived_field_reaches_along_the_drift(tile):
    """Where the response of the whole tile falls to pb_edge, not that of one pointing."""
    sampling = read_sampling(tile[0])
    beam = PrimaryBeam(INSTRUMENT)
    axes = sampling.axes
    radius = field_radius(sampling, beam, 0.1, axes.phase_center_rad)
    freq = mean_frequency(sampling)
    assert float(beam.power(radius, freq)) < 0.09, "one pointing's radius"
    ra0, dec0 = axes.phase_center_rad
    edge = separation(ra0 + radius / np.cos(dec0), dec0, *axes.pointing_rad)
    assert beam.power(edge, freq).mean() == pytest.approx(0.1, abs=0.005)


def test_grid_follows_from_the_data_and_is_not_changed_when_given(tile):
    from scipy.fft import next_fast_len

    sampling = read_sampling(tile[0])
    beam = PrimaryBeam(INSTRUMENT)
    settings = effective(ImageOptions(pixels_per_beam=6), has_catalog=False)
    derived = image_grid(sampling, beam, settings)
    assert 6 <= derived.beam.minor_deg * 3600 / derived.cell_arcsec < 6.1
    half = derived.size // 2
    assert derived.size % 2 == 0 and next_fast_len(half, real=True) == half
    assert derived_size(np.radians(1000 * 10 / 3600), 10) == 1000
    slow = effective(ImageOptions(cell_arcsec=3, imsize=1006), has_catalog=False)  # 2 x 503
    given = image_grid(sampling, beam, slow)
    assert (given.size, given.cell_arcsec) == (1006, 3)


@pytest.mark.parametrize(
    ("backend", "size", "gridder"),
    [pytest.param("wsclean", 122, "wgridder", marks=needs_wsclean), ("tclean", 101, "standard")],
)
def test_the_imagers_do_not_change_a_size_that_is_given(tile, tmp_path, backend, size, gridder):
    """Neither a slow nor an odd one; WSClean, which rounds odd ones up, is not asked for any."""
    options = with_(imsize=size, niter=0, backend=backend, gridder=gridder)
    files, record = image(tile[0], tmp_path, options)
    content = read_image(files.pbcor)
    assert content.data.shape == (size, size) and record["data"]["imsize"] == size
    assert content.cell_deg * 3600 == pytest.approx(12, rel=1e-9)
    if backend == "wsclean":
        with pytest.raises(ContimgError, match="122 or 124"):
            image(tile[0], tmp_path, with_(imsize=123, backend=backend))


@needs_wsclean
@pytest.mark.parametrize(
    ("weighting", "within"),
    [
        ({"weighting": "natural"}, 0.2),  # WSClean's fit reaches a little into the halo
        ({"weighting": "briggs", "robust": 0.5}, 0.1),
        ({"weighting": "briggs", "robust": -1}, 0.05),
        ({"weighting": "uniform"}, 0.05),
    ],
)
def test_the_expected_beam_is_that_of_the_imager(tile, tmp_path, weighting, within):
    """And a source reads nearly the same whether it was cleaned or not."""
    _, record = image(tile[0], tmp_path, with_(imsize=256, niter=0, **weighting))
    data = record["data"]
    assert data["bmaj_arcsec"] == pytest.approx(data["expected_bmaj_arcsec"], rel=within)
    assert data["bmin_arcsec"] == pytest.approx(data["expected_bmin_arcsec"], rel=within)
    assert data["uncleaned_ratio"] == pytest.approx(1, abs=0.12)


@needs_wsclean
def test_a_beam_that_takes_in_the_halo_is_told(tile, tmp_path):
    """WSClean's own choice: wider than the core, and what is not cleaned reads a tenth low."""
    _, record = image(tile[0], tmp_path, with_(imsize=256, niter=0, beam_fitting_size=4))
    (axis,) = [c for c in record["checks"] if c["metric"].startswith("major axis over")]
    assert axis["verdict"] == "warn"
    assert record["data"]["uncleaned_ratio"] < 0.93


def test_thermal_noise_of_the_full_array():
    """0.20 mJy/beam: 96 antennas, 309 s, 187.5 MHz, two correlations."""

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


def test_resolving_auto_needs_no_import():
    assert resolve_backend("tclean") == "tclean"
