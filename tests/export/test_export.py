"""What other programs read: values, units, frames, coverage, schemas."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import parse_ucd
from astropy.table import Table
from astropy.wcs import WCS

from contimg.cli import main
from contimg.core.parquet import read_parquet, write_parquet
from contimg.core.paths import path
from contimg.export import obscore
from contimg.variability.columns import CANDIDATES
from export.images import ABOUT, sky_header

# IVOA ObsCore 1.1, table 1
MANDATORY = {
    *("dataproduct_type", "calib_level", "obs_collection", "obs_id", "obs_publisher_did"),
    *("access_url", "access_format", "access_estsize", "target_name", "s_ra", "s_dec", "s_fov"),
    *("s_region", "s_xel1", "s_xel2", "s_resolution", "t_min", "t_max", "t_exptime"),
    *("t_resolution", "t_xel", "em_min", "em_max", "em_res_power", "em_xel", "o_ucd"),
    *("pol_states", "pol_xel", "facility_name", "instrument_name"),
}


def test_the_table_of_images_is_obscore(survey, out):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = parse(out / "obscore.vot", verify="exception")
    table = tree.get_first_table().to_table()
    assert MANDATORY == set(obscore.COLUMNS) == set(table.colnames)
    for _, ucd, _ in (*obscore.COLUMNS.values(), *CANDIDATES.values()):
        parse_ucd(ucd, check_controlled_vocabulary=True)
    levels = list(table["calib_level"])
    assert levels.count(3) == 8 and levels.count(2) == 48
    assert (table["t_max"] > table["t_min"]).all() and (table["em_max"] > table["em_min"]).all()
    assert table["em_min"].unit == "m" and table["s_fov"].unit == "deg"
    assert abs(table["em_min"][0] - 0.2001) < 1e-3  # of 1498 MHz
    first = Path(table["access_url"][0].removeprefix("file://"))
    assert first.is_file()


def test_addresses_may_be_those_of_a_server(survey, tmp_path):
    words = ["export", "obscore", "--results", survey.results, "--out", str(tmp_path)]
    assert main([*words, "--base-url", "https://data.example/r/"]) == 0
    table = parse(tmp_path / "obscore.vot").get_first_table().to_table()
    assert all(url.startswith("https://data.example/r/") for url in table["access_url"])
    assert "images/2025-10-05/" in table["access_url"][0]


@pytest.mark.parametrize(("ra", "dec"), [(128.7, 55.6), (0.01, 55.6), (359.9, -20.0), (10.0, 0.0)])
def test_the_outline_of_a_tile_has_its_area(ra, dec):
    """Also across 0 h; cells that the outline crosses belong to it."""
    pytest.importorskip("mocpy")
    from contimg.export.coverage import coverage

    corners = obscore.square(ra, dec, 2.5)
    row = {"s_region": obscore.region(corners), "calib_level": 2, "t_min": 60953.0}
    found = coverage(pd.DataFrame([row]))
    area = found["all"].sky_fraction * 4 * np.pi * (180 / np.pi) ** 2
    assert 2.5**2 * 0.999 < area < 2.5**2 + 10 * 0.0143 * 1.1
    assert found["2025-10-05"] == found["all"]


def test_coverage_is_of_each_day_and_of_all(out):
    from mocpy import MOC

    files = sorted(file.name for file in out.glob("*.moc.fits"))
    names = ("2025-10-05", "2025-10-06", "all")
    assert files == [f"coverage_{name}.moc.fits" for name in names]
    day, _, everything = (MOC.from_fits(str(out / file)) for file in files)
    assert everything.sky_fraction == pytest.approx(day.sky_fraction)  # the same sky each day


def test_regions_are_read_by_others(survey, out):
    from regions import Regions

    for name in ("sources.reg", "sources.crtf"):
        found = Regions.read(str(out / name))
        assert len(found) == 12
        place = found[0].center.icrs
        assert place.ra.deg == pytest.approx(survey.ra[0], abs=2e-5)
        assert found[0].radius.to_value("arcsec") == pytest.approx(30, rel=1e-3)
    assert (out / "sources.reg").read_text().count("color=red") == 2


def test_vast_tables_are_in_millijansky(survey, out):
    rows = pd.read_csv(out / "vast/measurements.csv")
    known = pd.read_parquet(path("lightcurves", survey.results))
    assert len(rows) == len(known) == 24
    assert rows["flux_int"].sum() == pytest.approx(1e3 * known["flux_jy"].sum())
    assert rows["flag"].sum() == (known["flag"] != "").sum() > 0
    images = pd.read_csv(out / "vast/images.csv")
    assert set(rows["image"]) <= set(images["name"])
    assert images["rms_median"].iloc[0] == pytest.approx(0.9)
    assert 1311 < images["frequency"].iloc[0] < 1498
    assert images["jd"].iloc[0] == pytest.approx(2460953.5, abs=1.01)
    pd.testing.assert_frame_equal(rows, pd.read_parquet(out / "vast/measurements.parquet"))


def test_alerts_keep_to_their_schema(survey, out):
    schema = json.loads((out / "alert.schema.json").read_text())
    packets = [json.loads(line) for line in (out / "alerts.jsonl").read_text().splitlines()]
    assert [p["source"] for p in packets] == survey.names[:2]
    for packet in packets:
        jsonschema.validate(packet, schema)
        assert len(packet["light_curve"]) == 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(packets[0] | {"dec_deg": 91}, schema)


def test_a_cutout_is_the_part_of_the_mosaic(survey, tmp_path):
    name, mosaic = survey.names[5], "20251005T00"
    words = ["cutout", name, "--size", "1d", "--mosaic", mosaic, "--results", survey.results]
    assert main([*words, "--out", str(tmp_path)]) == 0
    with fits.open(tmp_path / f"{name}_{mosaic}.fits", checksum=True) as cut:
        small, header = cut[0].data, cut[0].header
    with fits.open(path("mosaic", survey.results, mosaic=mosaic)) as whole:
        large, large_header = whole[0].data, whole[0].header
    x, y = np.rint(WCS(header).all_world2pix(survey.ra[5], survey.dec[5], 0)).astype(int)
    u, v = np.rint(WCS(large_header).all_world2pix(survey.ra[5], survey.dec[5], 0)).astype(int)
    side = round(1 / large_header["CDELT2"])
    assert small.shape == (side, side) and abs(x - side / 2) <= 1 and abs(y - side / 2) <= 1
    assert small[y, x] == large[v, u] and small[y + 2, x - 1] == large[v + 2, u - 1]
    assert header["BUNIT"] == "Jy/beam" and header["BMAJ"] == large_header["BMAJ"]


def test_a_place_that_no_mosaic_holds(survey, tmp_path, capsys):
    words = ["cutout", "10 -70", "--results", survey.results, "--out", str(tmp_path / "x")]
    assert main(words) == 1
    assert "no mosaic" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_tables_have_their_units_for_every_reader(tmp_path):
    """The field's own, astropy's, and those of the Virtual Observatory; twice the same bytes."""
    table = pd.DataFrame(
        {"source": ["a", "b"], "mjd": [1.0, 2.0], "flux_jy": [0.5, np.nan], "flag": ["", "edge"]}
    )
    file = tmp_path / "t.parquet"
    write_parquet(table, file)
    before = file.read_bytes()
    pd.testing.assert_frame_equal(read_parquet(file, "table"), table)
    schema = pq.read_schema(file)
    assert schema.field("flux_jy").metadata[b"unit"] == b"Jy"
    read = Table.read(file, format="parquet")
    assert read["flux_jy"].unit == "Jy" and read["mjd"].unit == "d" and len(read) == 2
    content = parse(io.BytesIO(schema.metadata[b"IVOA.VOTable-Parquet.content"]))
    fields = {field.name: field for field in content.get_first_table().fields}
    assert list(fields) == list(table.columns) and fields["mjd"].ref == "utc"
    for number in (1, 22):  # by any process
        passing = tmp_path / f"t.partial-host-{number}.parquet"
        write_parquet(table, passing)
        assert passing.read_bytes() == before


def test_a_hips_shows_the_mosaic_where_it_is(tmp_path):
    """By another way to its pixels: the cell of a position, and the position of cells."""
    pytest.importorskip("cdshealpix")
    from astropy import units
    from cdshealpix.nested import healpix_to_lonlat, lonlat_to_healpix

    from contimg.export import hips

    header = sky_header(359.9, 55.0, 0.02, 100)
    y, x = np.mgrid[0:100, 0:100]
    fits.writeto(tmp_path / "m.fits", (x + 1000.0 * y).astype("f4"), header)
    order = hips.write_hips(tmp_path / "m.fits", tmp_path / "h", ABOUT)
    assert order == 3 and 58.63 / 2 ** (order + 9) <= 0.02
    wcs = WCS(header)
    for px, py in ((50.0, 50.0), (10.0, 80.0), (97.0, 3.0)):
        ra, dec = wcs.all_pix2world(px, py, 0)
        cell = int(lonlat_to_healpix(ra * units.deg, dec * units.deg, np.uint8(order + 9))[0])
        tile, inside = cell >> 18, cell & (2**18 - 1)
        row, column = (np.argwhere(hips.cells() == inside))[0]
        value = fits.getdata(tmp_path / f"h/Norder{order}/Dir0/Npix{tile}.fits")[row, column]
        assert value == pytest.approx(px + 1000 * py, abs=0.6 * 1001)
    # rows go to the north-west, columns to the south-west, from the eastern corner
    index = (tile << 18) + hips.cells()
    corners = np.array([index[0, 0], index[0, 511], index[511, 0], index[511, 511]])
    lon, lat = healpix_to_lonlat(corners, np.uint8(order + 9))
    lon, lat = np.unwrap(lon.to_value("rad")), lat.to_value("rad")
    assert np.argmax(lon) == 0 and np.argmax(lat) == 1
    assert np.argmin(lat) == 2 and np.argmin(lon) == 3


def test_coarser_tiles_are_means(tmp_path):
    from contimg.export import hips

    tile = np.arange(hips.SIDE**2, dtype="f4").reshape(hips.SIDE, hips.SIDE)
    tile[0, 0] = np.nan
    ((number, parent),) = hips.coarse({13: tile}).items()
    assert number == 3  # 13 is its child 1: even bit set, in the first half of the rows
    half = hips.SIDE // 2
    assert parent[0, 0] == tile[:2, :2].ravel()[1:].mean()
    assert parent[5, 7] == tile[10:12, 14:16].mean()
    assert np.isnan(parent[half:]).all() and np.isnan(parent[:, half:]).all()


def test_properties_say_what_readers_need(survey, out):
    (folder,) = out.glob("hips_*")
    lines = (line.partition("=") for line in (folder / "properties").read_text().splitlines())
    said = {name.strip(): value.strip() for name, _, value in lines}
    needed = {"creator_did", "obs_title", "dataproduct_type", "hips_version", "hips_frame"}
    needed |= {"hips_order", "hips_tile_format", "hips_release_date", "hips_status"}
    assert needed <= set(said) and said["hips_tile_width"] == "512"
    orders = sorted(int(f.name[6:]) for f in folder.glob("Norder*"))
    assert orders == list(range(int(said["hips_order"]) + 1))


def test_the_coverage_of_a_hips_is_that_of_the_pixels(survey, out):
    """Cells at the rim belong to it: at most a cell more on every side."""
    from mocpy import MOC

    (folder,) = out.glob("hips_*")
    with fits.open(
        path("mosaic", survey.results, mosaic=folder.name.removeprefix("hips_"))
    ) as hdus:
        data, header = hdus[0].data, hdus[0].header
    side = abs(header["CDELT2"])
    area = np.isfinite(data).sum() * side**2
    rim = 4 * np.sqrt(area) * 58.63 / 2**10
    moc = MOC.from_fits(str(folder / "Moc.fits"))
    found = moc.sky_fraction * 4 * np.pi * (180 / np.pi) ** 2
    assert 0.97 * area < found < 1.03 * area + rim


def test_what_is_not_there_yet_stops_nothing_else(survey, tmp_path, capsys):
    """Unless it was asked for by name."""
    results = tmp_path / "results"
    shutil.copytree(survey.results, results)
    shutil.rmtree(results / "variability/alerts")
    plan = results / "inventory/plans/0123456789/plan.json"
    assert plan.exists()
    words = ["export", "--results", str(results), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "no alerts" in said.err and "obscore.vot" in said.out and "vast/images" in said.out
    assert main([*words, "alerts"]) == 1


def test_the_notebook_of_the_documentation_runs(survey, monkeypatch):
    """Its cells one after the other, on what Parquet files of the workflow hold."""
    for name in ("lightcurves", "sources"):
        file = Path(path(name, survey.results))
        write_parquet(pd.read_parquet(file), file)
    monkeypatch.setenv("CONTIMG_RESULTS", survey.results)
    book = json.loads((Path(__file__).parents[2] / "docs/look.ipynb").read_text())
    names: dict = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["curves"]["flux_jy"].unit == "Jy" and len(names["mine"]) >= 1
    assert names["cut"].data.shape == (31, 31)
