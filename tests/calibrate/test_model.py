"""Every kind of model gives the visibilities of the sky it was made from."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from contimg.calibrate import model
from contimg.calibrate.components import read_components
from contimg.core.beam import PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import open_table, read_axes
from truth.observe import INSTRUMENT, converted, observe

AIRY = PrimaryBeam(INSTRUMENT)


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    """A tiny MS; what it observed does not matter here."""
    directory = tmp_path_factory.mktemp("model")
    _, _, manifest = observe(directory)
    return converted(directory, manifest)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A beam of unity everywhere."""
    table = tmp_path_factory.mktemp("beam") / "flat.csv"
    table.write_text("0,1\n10,1\n")
    return PrimaryBeam(InstrumentOptions(beam_model="table", beam_table=table))


def sources_at(axes, east_deg, north_deg, flux_jy, index=0.0) -> pd.DataFrame:
    """Sources offset from the phase centre."""
    from astropy.coordinates import SkyCoord

    centre = SkyCoord(*axes.phase_center_rad, unit="rad")
    frame = centre.skyoffset_frame()
    sky = SkyCoord(east_deg, north_deg, unit="deg", frame=frame).icrs
    return pd.DataFrame(
        {
            "name": [f"s{i}" for i in range(len(east_deg))],
            "ra_deg": sky.ra.deg,
            "dec_deg": sky.dec.deg,
            "flux_jy": flux_jy,
            "ref_freq_hz": 1.4e9,
            "spectral_index": index,
            "log_poly": "",
        }
    )


def written(tile, scratch: Path, sources, beam, **extra) -> tuple[np.ndarray, dict]:
    """MODEL_DATA (row, channel, correlation) that write_model leaves in a copy, and its report."""
    with casa_session() as inside:
        ms = inside / "copy.ms"
        shutil.copytree(tile, ms)
        report = model.write_model(ms, read_axes(tile), sources, beam, **extra)
        with open_table(ms) as table:
            return table.getcol("MODEL_DATA"), report


def same(found, expected, limit=1e-4):
    return np.abs(found - expected).max() < limit * np.abs(expected).max()


def calibrator(axes, name="3C286", east_arcsec=0.0) -> pd.DataFrame:
    row = sources_at(axes, [east_arcsec / 3600], [0.0], [1.0]).assign(name=name)
    return row.assign(log_poly="1.2481 -0.4507 -0.1798 0.0357")


def test_setjy_and_catalog_agree_on_a_standard(tile, tmp_path):
    row = calibrator(read_axes(tile))
    ours, _ = written(tile, tmp_path, row, AIRY)
    casa, report = written(tile, tmp_path, row, AIRY, kind="setjy")
    assert same(casa, ours)
    assert report["flux_jy"] == pytest.approx(15.05, abs=0.1)
    steady = np.abs(ours.reshape(*read_axes(tile).shape, *ours.shape[1:]))[:, 0, 0, 0]
    assert np.ptp(steady) > 0.001 * steady.mean()  # the beam is in both


@pytest.mark.parametrize(
    ("row", "words"),
    [({"name": "0834+555"}, "not a source of the standard"), ({"east_arcsec": 30}, "phase centre")],
)
def test_setjy_never_makes_up_a_flux_or_a_position(tile, tmp_path, row, words):
    """CASA sets 1 Jy for a field whose name it does not know."""
    with pytest.raises(ContimgError, match=words):
        written(tile, tmp_path, calibrator(read_axes(tile), **row), AIRY, kind="setjy")


def component_list(path: Path, sources: pd.DataFrame, **shape) -> None:
    from casatools import componentlist

    tool = componentlist()
    for s in sources.itertuples():
        tool.addcomponent(
            flux=[s.flux_jy, 0, 0, 0],
            fluxunit="Jy",
            dir=["ICRS", f"{s.ra_deg:.12f}deg", f"{s.dec_deg:.12f}deg"],
            freq=f"{s.ref_freq_hz}Hz",
            spectrumtype="spectral index",
            index=s.spectral_index,
            **({"shape": "point"} | shape),
        )
    tool.rename(str(path))
    tool.done()


GAUSSIAN = {
    "shape": "Gaussian",
    "majoraxis": "60arcsec",
    "minoraxis": "20arcsec",
    "positionangle": "30deg",
}


@pytest.mark.parametrize("shape", [{}, GAUSSIAN], ids=["points", "gaussians"])
def test_component_lists_agree_with_the_catalog_and_with_ft(tile, tmp_path, flat, shape):
    axes = read_axes(tile)
    sources = sources_at(axes, [0.0, 0.02], [0.0, -0.015], [4.0, 2.0], [-0.7, 0.3])
    path = tmp_path / "sky.cl"
    with casa_session() as scratch:
        from casatasks import ft

        component_list(path, sources, **shape)
        ms = scratch / "copy.ms"
        shutil.copytree(tile, ms)
        ft(vis=str(ms), complist=str(path), usescratch=True)
        with open_table(ms) as table:
            casa = table.getcol("MODEL_DATA")
    ours, report = written(tile, tmp_path, sources, flat, kind="component", path=path)
    assert report["sources"] == 2
    # ft takes position angles from the north of the phase centre, 0.03 deg off at the source
    assert same(ours, casa, 1e-3 if shape else 1e-4)
    if not shape:
        for beam in (flat, AIRY):
            found, _ = written(tile, tmp_path, sources, beam, kind="component", path=path)
            assert same(found, written(tile, tmp_path, sources, beam)[0], 1e-6)


def test_components_that_cannot_be_predicted_are_refused(tile, tmp_path):
    sources = sources_at(read_axes(tile), [0.0], [0.0], [4.0])
    disk = {k: "20arcsec" for k in ("majoraxis", "minoraxis")} | {"positionangle": "0deg"}
    with casa_session():
        component_list(tmp_path / "disk.cl", sources, shape="disk", **disk)
        with pytest.raises(ContimgError, match="shape"):
            read_components(tmp_path / "disk.cl")
        with pytest.raises(ContimgError, match="not a component list"):
            read_components(tile)


def image_of(path: Path, axes, pixels, flux_jy, unit="JY/PIXEL", cell_deg=8 / 3600, size=512):
    """A SIN image about the phase centre with sources on pixels; the sources as a table."""
    wcs = WCS(naxis=4)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN", "FREQ", "STOKES"]
    ra0, dec0 = np.degrees(axes.phase_center_rad)
    wcs.wcs.crval = [ra0, dec0, axes.freq_hz.mean(), 1]
    wcs.wcs.crpix = [size // 2 + 1, size // 2 + 1, 1, 1]
    wcs.wcs.cdelt = [-cell_deg, cell_deg, axes.width_hz * axes.freq_hz.size, 1]
    wcs.wcs.cunit = ["deg", "deg", "Hz", ""]
    wcs.wcs.radesys = "ICRS"
    data = np.zeros((1, 1, size, size), np.float32)
    x, y = np.array(pixels).T
    data[0, 0, y, x] = flux_jy
    header = wcs.to_header()
    header["BUNIT"] = unit
    fits.writeto(path, data, header)
    ra, dec = wcs.celestial.all_pix2world(x, y, 0)
    return sources_at(axes, np.zeros(len(x)), np.zeros(len(x)), flux_jy).assign(
        ra_deg=ra, dec_deg=dec
    )


@pytest.mark.skipif(shutil.which("wsclean") is None, reason="no wsclean")
def test_images_agree_with_the_catalog_far_from_the_centre(tile, tmp_path, flat):
    """Up to 0.7 deg from the centre, where the term in w matters."""
    axes = read_axes(tile)
    path = tmp_path / "sky.fits"
    table = image_of(path, axes, [(256, 256), (490, 30), (20, 300)], [1.0, 3.0, 2.0])
    expected, _ = written(tile, tmp_path, table, flat)
    found, report = written(tile, tmp_path, table, flat, kind="image", path=path, threads=1)
    assert report["program"] == "wsclean"
    assert same(found, expected)
    assert not same(found, without_w(axes, table), 1e-2)


def without_w(axes, sources) -> np.ndarray:
    total = 0
    for s in sources.itertuples():
        l_cos, m_cos, _ = direction_cosines(
            np.radians(s.ra_deg), np.radians(s.dec_deg), *axes.phase_center_rad
        )
        path = axes.uvw_m.reshape(-1, 3)[:, :2] @ np.array([l_cos, m_cos])
        total = total + s.flux_jy * np.exp(2j * np.pi * path[:, None] * axes.freq_hz / C_M_S)
    return np.repeat(total[..., None], 2, axis=2)


def test_without_wsclean_casa_predicts_the_image(tile, tmp_path, flat, monkeypatch):
    axes = read_axes(tile)
    path = tmp_path / "sky.fits"
    table = image_of(path, axes, [(256, 256), (262, 250)], [1.0, 3.0])
    monkeypatch.setattr(model.shutil, "which", lambda name: None)
    found, report = written(tile, tmp_path, table, flat, kind="image", path=path)
    assert report["program"] == "CASA ft"
    assert same(found, written(tile, tmp_path, table, flat)[0], 1e-3)
    path.unlink()
    image_of(path, axes, [(300, 256)], [1.0])
    with pytest.raises(ContimgError, match="too far for CASA's ft"):
        written(tile, tmp_path, table, flat, kind="image", path=path)


def test_images_that_are_no_models_are_refused(tile, tmp_path, flat):
    axes = read_axes(tile)
    table = image_of(tmp_path / "beam.fits", axes, [(256, 256)], [1.0], unit="JY/BEAM")
    image_of(tmp_path / "nan.fits", axes, [(256, 256)], [np.nan])
    for name, words in (("beam", "Jy/pixel"), ("nan", "not finite"), ("absent", "not found")):
        path = tmp_path / f"{name}.fits"
        with pytest.raises(ContimgError, match=words):
            written(tile, tmp_path, table, flat, kind="image", path=path)
    with pytest.raises(ContimgError, match="needs a file"):
        written(tile, tmp_path, table, flat, kind="image")


def files_of(directory: Path, calibrators: pd.DataFrame, catalog: pd.DataFrame | None):
    calibrators.to_csv(directory / "calibrators.csv", index=False)
    if catalog is not None:
        catalog.to_csv(directory / "catalog.csv", index=False)
    return SimpleNamespace(
        calibrator="CAL",
        calibrators=directory / "calibrators.csv",
        catalog=None if catalog is None else directory / "catalog.csv",
        deep=[],
    )


def test_rows_without_flux_are_left_out_and_counted(tile, tmp_path):
    axes = read_axes(tile)
    cal = sources_at(axes, [0.0], [0.0], [8.8]).assign(name="CAL")
    catalog = sources_at(
        axes,
        [0.001, 0.3, 0.4, 0.5, 0.6, 0.0],
        [0.0, 0.1, 0.1, 0.1, 0.1, 40.0],
        [8.5, 0.5, np.nan, 0.5, 0.001, 0.5],
        [-0.7, -0.7, -0.7, np.nan, -0.7, -0.7],
    )
    files = files_of(tmp_path, cal, catalog)
    sources = model.sky_model(files, axes, AIRY, SimpleNamespace(model_min_jy=0.005))
    assert list(sources["name"]) == ["CAL", "s1"]  # s0 is the calibrator, s4 and s5 are too faint
    assert sources.attrs["without_flux"] == 2
    assert np.isfinite(written(tile, tmp_path, sources, AIRY)[0]).all()


def test_what_deep_mosaics_show_is_in_the_model_once(tile, tmp_path):
    """Those that the catalogue has, or the calibrator is, are not taken again."""
    axes = read_axes(tile)
    cal = sources_at(axes, [0.0], [0.0], [8.8]).assign(name="CAL")
    catalog = sources_at(axes, [0.3, 0.4], [0.0, 0.0], [0.5, 0.6])
    files = files_of(tmp_path, cal, catalog)
    found = sources_at(axes, [0.0, 0.3, 0.2, 0.4], [0.001, 0.001, 0.1, 0.2], [0.3, 0.5, 0.02, 0.6])
    found.assign(name=["at CAL", "at s0", "deep", "s1"]).to_csv(tmp_path / "d.csv", index=False)
    files.deep = [tmp_path / "d.csv"]
    sources = model.sky_model(files, axes, AIRY, SimpleNamespace(model_min_jy=0.005))
    assert list(sources["name"]) == ["CAL", "s0", "s1", "deep"]


def test_who_may_not_set_the_scale_gives_no_model_for_it(tile, tmp_path):
    axes = read_axes(tile)
    limit = SimpleNamespace(model_min_jy=0.005)
    cal = sources_at(axes, [0.0], [0.0], [10.0]).assign(name="CAL", role="bandpass")
    files = files_of(tmp_path, cal, None)
    with pytest.raises(ContimgError, match="cannot set the flux scale: its role is bandpass"):
        model.sky_model(files, axes, AIRY, limit)
    tied = model.sky_model(files, axes, AIRY, limit, field_scale="needed")
    assert len(tied) == 1 and tied.attrs["scale"] == ("field", "its role is bandpass")
    files = files_of(tmp_path, cal.assign(flux_jy=np.nan), None)
    for field_scale in ("never", "needed", "always"):
        with pytest.raises(ContimgError, match="no flux density"):
            model.sky_model(files, axes, AIRY, limit, field_scale=field_scale)
