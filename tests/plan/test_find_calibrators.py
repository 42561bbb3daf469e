"""contimg find-calibrators: apparent declinations decide; data of the transits are found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.beam import PrimaryBeam
from contimg.core.instrument import InstrumentOptions
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import pointing_dec_rad, schedule

BEAM = PrimaryBeam(InstrumentOptions())
FREQ = 1405e6
SINCE = ["--since", "2025-10-05"]


def find(tmp_path, *words) -> pd.DataFrame:
    table = tmp_path / "found.csv"
    table.unlink(missing_ok=True)
    assert main(["find-calibrators", *map(str, words), "--table", str(table)]) == 0
    try:
        return pd.read_csv(table, keep_default_na=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=["name"])


def apparent_dec_deg(ra_deg: float, dec_deg: float) -> float:
    """Of date 2025-10-05, at the site, by pyuvdata."""
    from pyuvdata.utils import get_lst_for_time
    from pyuvdata.utils.phasing import calc_app_coords

    from contimg.core.site import SiteFiles

    jd, here = np.array([2460953.9]), SiteFiles().location
    _, dec = calc_app_coords(
        lon_coord=np.radians(ra_deg),
        lat_coord=np.radians(dec_deg),
        coord_frame="icrs",
        coord_type="sidereal",
        time_array=jd,
        lst_array=get_lst_for_time(jd_array=jd, telescope_loc=here),
        telescope_loc=here,
    )
    return float(np.degrees(dec[0]))


def table_of(tmp_path, **columns):
    """A table of one calibrator near RA 0, where precession in declination is largest."""
    path = tmp_path / "calibrators.csv"
    row = {"name": "C", "ra_deg": 5.0, "dec_deg": 30.0, "flux_jy": 10.0, "ref_freq_hz": FREQ}
    row |= {"spectral_index": 0.0, "role": "flux", "remarks": "made up"} | columns
    pd.DataFrame([row]).to_csv(path, index=False)
    return path


def test_apparent_not_j2000_declination_decides(tmp_path):
    """8.6 arcmin of precession are 12 % in the response at this offset."""
    dec_app = apparent_dec_deg(5.0, 30.0)
    assert 0.13 < dec_app - 30 < 0.16
    pointing = dec_app + 1.5
    truth = float(BEAM.power(np.radians(1.5), FREQ))
    wrong = float(BEAM.power(np.radians(pointing - 30), FREQ))
    assert truth / wrong > 1.2
    words = [*SINCE, "--calibrators", table_of(tmp_path), "--pointing-dec-deg", pointing]
    found = find(tmp_path, *words)
    assert found["pb"][0] == pytest.approx(truth, abs=2e-4)
    assert found["offset_deg"][0] == pytest.approx(-1.5, abs=2e-4)
    assert found["apparent_flux_jy"][0] == pytest.approx(10 * truth, abs=2e-3)
    limit = (truth + wrong) / 2
    assert len(find(tmp_path, *words, "--min-pb", limit)) == 1
    # on the other side of the calibrator J2000 would take it and the sky does not
    words[-1] = dec_app - 1.5
    assert len(find(tmp_path, *words, "--min-pb", truth + 0.02)) == 0
    assert float(BEAM.power(np.radians(30 - words[-1]), FREQ)) > truth + 0.02


def test_position_gives_the_pointing_and_the_radius_the_choice(tmp_path):
    words = [*SINCE, "--calibrators", table_of(tmp_path), "--ra-deg", 5.0, "--dec-deg", 31.0]
    found = find(tmp_path, *words)
    assert found["offset_deg"][0] == pytest.approx(-1.0, abs=1e-3)
    assert len(find(tmp_path, *words, "--radius-deg", 1.1)) == 1
    assert len(find(tmp_path, *words, "--radius-deg", 0.9)) == 0


def test_order_spectrum_and_limits(tmp_path):
    words = [*SINCE, "--pointing-dec-deg", 51.0, "--min-pb", 0.2]
    found = find(tmp_path, *words)
    assert len(found) >= 2
    assert (np.diff(found["apparent_flux_jy"].astype(float)) <= 0).all()
    three = found[found["name"] == "3C295"].iloc[0]
    assert three["spectrum"] == "Perley-Butler 2017" and three["role"] == "flux"
    limit = float(found["apparent_flux_jy"].astype(float).max())
    assert len(find(tmp_path, *words, "--min-flux-jy", limit - 0.01)) == 1
    unknown = table_of(tmp_path, flux_jy=np.nan)
    found = find(tmp_path, *SINCE, "--calibrators", unknown, "--pointing-dec-deg", 30)
    assert found["spectrum"][0] == "flux density unknown"


def test_data_of_the_transits(tmp_path, capsys):
    """Three simulated days; on the second one there is no group, and another strip is none."""
    options = SimulateOptions(epochs=3, wide_epochs=[0], wide_tiles=3)
    groups = [dataclasses.asdict(g) for g in schedule(options, InstrumentOptions())]
    second = [g for g in groups if g["group"].startswith("20251006")]
    for group in second:
        group["dec_app_deg"] += 3
    folder = tmp_path / "results/inventory/plans/0123456789"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    pd.DataFrame(groups).to_parquet(folder / "groups.parquet")
    pointing = np.degrees(pointing_dec_rad(options))
    words = [*SINCE, "--days", 4, "--pointing-dec-deg", pointing]
    found = find(tmp_path, *words, "--results", tmp_path / "results")
    row = found[found["name"] == "0834+555"].iloc[0]
    transit = row["first_transit_utc"].replace("-", "").replace(":", "")
    assert row["in_group"].startswith("20251005T15") and row["in_group"] < transit
    assert (row["transits"], row["transits_with_data"]) == (4, 2)
    assert row["last_group"].startswith("20251007")
    later = find(tmp_path, "--since", "2025-10-06", *words[2:], "--results", tmp_path / "results")
    assert later["in_group"][0] == "no data"
    assert main(["find-calibrators", "--pointing-dec-deg", "30", "--results", "/nowhere"]) == 1
    assert "contimg discover" in capsys.readouterr().err


def test_what_is_needed_is_said(capsys):
    assert main(["find-calibrators"]) == 1
    assert "--pointing-dec-deg, or --ra-deg and --dec-deg" in capsys.readouterr().err
    assert main(["find-calibrators", "--pointing-dec-deg", "30", "--radius-deg", "2"]) == 1
    assert "needs the position" in capsys.readouterr().err
