"""Catalogued sources fitted, subtracted and put back: right places and flux densities, whatever the
catalogue says."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.core.catalog import flux_density
from contimg.core.fits import read_image
from contimg.core.ms import open_table, read_axes
from contimg.image.options import ImageOptions
from truth.tiles import image, peak_near, sky, with_sky

OPTIONS = ImageOptions(backend="auto", cell_arcsec=12, imsize=400)
OFF = OPTIONS.model_copy(update={"subtract_sources": False})
# none of them on a pixel; the last is not in the catalogue
FIELD = [("A", 0.1234, 0.0711, 8.0), ("B", -0.3017, -0.1013, 0.3), ("C", 0.1012, -0.3991, 0.2)]
# A is behind a lens: three times as bright at one end of the band as at the other
LENS = "2.108 -8.2"
UNKNOWN = ("U", -0.4105, 0.3108, 0.25)


@pytest.fixture(scope="module")
def made(tile, tmp_path_factory):
    """(sources, files, record, record without subtraction) with a catalogue wrong in all ways."""
    directory = tmp_path_factory.mktemp("fitted")
    sources = sky(tile[0], *FIELD, UNKNOWN)
    sources.loc[0, "log_poly"] = LENS
    ms = with_sky(tile[0], directory / "a.ms", sources, 1.0)
    with open_table(ms, writable=True) as table:
        before, flags = table.getcol("DATA"), table.getcol("FLAG")
        flags[:, 3:6] = True  # of the day: it must not matter
        table.putcol("FLAG", flags)
    freq = read_axes(ms).freq_hz
    sources.loc[0, "flux_jy"] = flux_density(sources[:1], freq).mean()
    wrong = sources.iloc[:3].assign(
        log_poly="",
        flux_jy=sources["flux_jy"][:3] * [0.5, 2.0, 1.3],
        dec_deg=sources["dec_deg"][:3] + np.array([1.5 / 3600, 0, 0]),
    )
    files, record = image(ms, directory / "on", OPTIONS, wrong)
    _, plain = image(ms, directory / "off", OFF, wrong)
    with open_table(ms) as table:
        assert np.array_equal(before, table.getcol("DATA")), "the input was changed"
    return sources, files, record["data"], plain["data"]


def test_flux_densities_do_not_depend_on_the_catalogue(made):
    sources, _, record, _ = made
    found = {item["name"]: item for item in record["sources_subtracted"]}
    assert set(found) == {"A", "B", "C"}
    for source in sources[:3].itertuples():
        item = found[source.name]
        error = max(4 * item["flux_err_jy"], 2e-3 * source.flux_jy)
        assert item["flux_jy"] == pytest.approx(source.flux_jy, abs=error)


def test_a_wrong_place_is_found(made):
    sources, _, record, _ = made
    bright = next(item for item in record["sources_subtracted"] if item["name"] == "A")
    assert bright["offset_north_arcsec"] == pytest.approx(-1.5, abs=0.15)
    assert bright["offset_east_arcsec"] == pytest.approx(0, abs=0.15)
    assert bright["dec_deg"] == pytest.approx(sources["dec_deg"][0], abs=0.15 / 3600)


def test_restored_sources_have_the_shape_and_height_of_the_beam(made):
    sources, files, _, _ = made
    restored, pb = read_image(files.image), read_image(files.pb)
    for source in (sources.iloc[k] for k in range(3)):
        x, y = restored.wcs.all_world2pix(source["ra_deg"], source["dec_deg"], 0)
        response = pb.data[round(float(y)), round(float(x))]
        peak = peak_near(files.image, source)
        assert 0.9 < peak / (source["flux_jy"] * response) < 1.03


def test_what_the_catalogue_lacks_is_cleaned_and_stays(made):
    sources, files, _, _ = made
    assert peak_near(files.pbcor, sources.iloc[3]) == pytest.approx(UNKNOWN[-1], rel=0.1)


def test_no_holes_are_left(made):
    _, _, record, plain = made
    assert record["validation"]["negative_peaks"] <= plain["validation"]["negative_peaks"]


def test_a_dirty_image_and_the_option_leave_the_data_alone(tile, tmp_path, made):
    assert made[3]["sources_subtracted"] == []
    sources = sky(tile[0], *FIELD)
    ms = with_sky(tile[0], tmp_path / "a.ms", sources, 1.0)
    dirty = OPTIONS.model_copy(update={"niter": 0})
    assert image(ms, tmp_path / "dirty", dirty, sources)[1]["data"]["sources_subtracted"] == []
