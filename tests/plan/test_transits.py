"""contimg transits: times and places of transits against ERFA and pyuvdata."""

from __future__ import annotations

import time

import erfa
import numpy as np
import pandas as pd
import pytest
from astropy.utils import iers
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.cli import main
from contimg.core.beam import PrimaryBeam
from contimg.core.coords import mjd_time, transits_between
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.site import SiteFiles
from contimg.core.window import parse_time, utc, window
from contimg.plan.transits import transit_table, transits
from contimg.simulate import array

HERE = SiteFiles().location


def sources(ra_deg, dec_deg) -> pd.DataFrame:
    names = [f"s{i}" for i in range(len(ra_deg))]
    return pd.DataFrame({"name": names, "ra_deg": ra_deg, "dec_deg": dec_deg})


def test_default_site_is_that_of_the_array():
    site = SiteFiles()
    expected = (array.TEE_LAT_DEG, array.TEE_LON_DEG, array.TEE_HEIGHT_M)
    assert (site.latitude_deg, site.longitude_deg, site.height_m) == expected


@settings(max_examples=12, deadline=None)
@given(ra=st.floats(0, 359.99), dec=st.floats(-50, 85), mjd=st.floats(58000, 61000))
def test_sources_are_on_the_meridian(ra, dec, mjd):
    """ERFA's own transformation to azimuth and altitude puts the source due south or north."""
    result = transit_table(sources([ra], [dec]), mjd, mjd + 1, HERE)
    assert len(result) in {1, 2}
    for row in result.itertuples():
        when = mjd_time(row.mjd)
        pole = [p.to_value("rad") for p in iers.earth_orientation_table.get().pm_xy(when)]
        azimuth, zenith_distance, hour_angle, dec_app, *_ = erfa.atco13(
            *np.radians([ra, dec]), 0, 0, 0, 0,
            *(when.utc.jd1, when.utc.jd2, float(when.delta_ut1_utc)),
            *(HERE.lon.rad, HERE.lat.rad, HERE.height.to_value("m")),
            *(*pole, 0, 0, 0, 0.2),
        )  # fmt: skip
        assert abs(hour_angle) * 43200 / np.pi < 0.01  # s
        assert abs(np.degrees(dec_app) - row.dec_app_deg) < 1e-4
        assert abs(90 - np.degrees(zenith_distance) - row.elevation_deg) < 1e-3
        assert (np.cos(azimuth) > 0) == (row.dec_app_deg > HERE.lat.deg)


def test_apparent_right_ascension_is_the_sidereal_time():
    """pyuvdata's apparent place and sidereal time, 0834+555."""
    from pyuvdata.utils import get_lst_for_time
    from pyuvdata.utils.phasing import calc_app_coords

    row = transit_table(sources([128.7287667], [55.5725194]), 60953, 60954, HERE).iloc[0]
    jd = np.array([row.mjd + 2400000.5])
    lst = get_lst_for_time(jd_array=jd, telescope_loc=HERE)
    ra, dec = calc_app_coords(
        lon_coord=np.radians(128.7287667),
        lat_coord=np.radians(55.5725194),
        coord_frame="icrs",
        coord_type="sidereal",
        time_array=jd,
        lst_array=lst,
        telescope_loc=HERE,
    )
    assert np.degrees(lst[0]) == pytest.approx(row.ra_app_deg, abs=1e-5)
    # pyuvdata's place is geocentric: without the diurnal aberration, 0.26 arcsec / cos(dec) here
    assert np.degrees(ra[0]) == pytest.approx(row.ra_app_deg, abs=2e-4)
    assert np.degrees(dec[0]) == pytest.approx(row.dec_app_deg, abs=2e-4)
    # J2000 would be two minutes of time off
    assert abs(row.ra_app_deg - 128.7287667) * 240 > 110


def test_agrees_with_the_one_by_one_search():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 2 * np.pi, 8), rng.uniform(-0.5, 1.5, 8)
    index, mjd, _ = transits(ra, dec, 60950.2, 60954.9, HERE)
    for i in range(8):
        slow = transits_between(ra[i], dec[i], 60950.2, 60954.9, HERE)
        assert np.sort(mjd[index == i]) == pytest.approx(np.array(slow), abs=1e-3 / 86400)


def test_window_is_closed_and_nothing_is_lost_over_a_year():
    index, mjd, _ = transits([1.0, 4.0], [0.5, 0.7], 60676, 61041, HERE)
    for i in (0, 1):
        steps = np.diff(np.sort(mjd[index == i]))
        assert (index == i).sum() in {366, 367} and np.ptp(steps) * 86400 < 0.2
    one = float(np.sort(mjd[index == 0])[10])
    for start, end, n in ((one - 1e-8, one + 0.1, 1), (one + 1e-8, one + 0.1, 0)):
        assert len(transits([1.0], [0.5], start, end, HERE)[0]) == n


def test_two_hundred_calibrators_for_sixty_days_are_quick():
    rng = np.random.default_rng(1)
    table = sources(rng.uniform(0, 360, 200), rng.uniform(-20, 85, 200))
    begun = time.process_time()
    result = transit_table(table, 60950, 61010, HERE)
    assert time.process_time() - begun < 5 and 12000 <= len(result) <= 12200
    assert result["mjd"].is_monotonic_increasing


def test_command(tmp_path, capsys):
    table = tmp_path / "t.csv"
    words = ["transits", "--since", "2025-10-05", "--days", "2", "--use", "0834+555", "3C147"]
    words += ["--pointing-dec-deg", "55.5", "--table", str(table), "--freq-mhz", "1405"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "2025-10-05T00:00:00 to 2025-10-07T00:00:00 UTC; 2 sources, 4 transits" in out
    result = pd.read_csv(table)
    mine = result[result["name"] == "0834+555"].iloc[0]
    assert mine["transit_utc"] == "2025-10-05T15:31:46"
    offset = np.radians(mine["dec_app_deg"] - 55.5)
    pb = float(PrimaryBeam(InstrumentOptions()).power(offset, 1405e6))
    assert mine["pb"] == pytest.approx(pb, abs=1e-4)
    assert mine["apparent_flux_jy"] == pytest.approx(8.8 * pb, abs=1e-3)


def test_position_below_the_horizon_and_current_time(capsys):
    assert main(["transits", "--ra-deg", "10", "--dec-deg", "-60", "--since", "60953"]) == 0
    assert "0 transits\n1 transits below 0 deg are left out" in capsys.readouterr().out
    assert main(["transits", "--ra-deg", "10", "--dec-deg", "20"]) == 0
    assert "neither --since nor --until given: up to the current time" in capsys.readouterr().out
    assert main(["transits", "--ra-deg", "10"]) == 1
    assert main(["transits", "--since", "60953", "--use", "3C999"]) == 1
    assert "no calibrator named 3C999" in capsys.readouterr().err


def test_windows():
    assert parse_time("2025-10-05T12:00:00Z") == parse_time("60953.5") == 60953.5
    assert window("60953", None, 2)[:2] == (60953, 60955)
    assert window(None, "60953", 2)[:2] == (60951, 60953)
    assert utc(60953.999999) == "2025-10-06T00:00:00"
    with pytest.raises(ContimgError, match="is not a time"):
        parse_time("yesterday")
    with pytest.raises(ContimgError, match=r"ends .* before it begins"):
        window("60953", "60952", 1)
