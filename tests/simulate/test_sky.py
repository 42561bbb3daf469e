"""Schedule and sky: deterministic, centred on transits, and with the truth they promise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from contimg.cli import main
from contimg.core.catalog import read_sources
from contimg.core.coords import separation
from contimg.core.errors import ContimgError
from contimg.core.groups import group_name, read_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.lens import alpha_at, smoothed_gain
from contimg.simulate import array
from contimg.simulate.command import simulate_group
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import (
    find_group,
    integration_mids,
    schedule,
    subband_channels,
    transit_of_epoch,
)
from contimg.simulate.sky import flux_factor, make_sky, true_flux, unique_names

INSTRUMENT = InstrumentOptions()
SMALL = SimulateOptions(epochs=4, wide_epochs=[2], cadence_days=3, field_sources=40)


@pytest.fixture(scope="module")
def groups():
    return schedule(SMALL, INSTRUMENT)


def test_the_calibrator_transits_at_mid_tile(groups) -> None:
    """Hour angle by pyuvdata (apparent place), not by the code under test."""
    from pyuvdata.utils import get_lst_for_time
    from pyuvdata.utils.phasing import calc_app_coords

    assert schedule(SMALL, INSTRUMENT) == groups
    central = [groups[i] for i in (0, 1, 3, 5)]
    for epoch, group in enumerate(central):
        jd = np.array([group.mid_mjd + 2400000.5])
        ra, dec = calc_app_coords(
            lon_coord=np.radians(SMALL.calibrator_ra_deg),
            lat_coord=np.radians(SMALL.calibrator_dec_deg),
            coord_frame="icrs",
            time_array=jd,
            telescope_loc=array.location(),
        )
        lst = get_lst_for_time(jd_array=jd, telescope_loc=array.location())
        hour_angle_s = ((lst - ra + np.pi) % (2 * np.pi) - np.pi) / (2 * np.pi) * 86164
        assert abs(hour_angle_s[0]) < 0.6  # tiles start on whole seconds
        assert group.dec_app_deg == groups[0].dec_app_deg
        assert np.degrees(dec[0]) + 0.1 == pytest.approx(group.dec_app_deg, abs=0.003)
        assert transit_of_epoch(SMALL, epoch) == pytest.approx(group.mid_mjd, abs=1e-5)
    assert np.diff([g.start_mjd for g in central]) == pytest.approx([3 * 0.99727] * 3, abs=1e-4)


def test_wide_epochs_are_free_of_gaps(groups) -> None:
    wide = groups[2:5]
    assert len(groups) == 6 and len({g.group for g in groups}) == 6
    for before, after in pairwise(wide):
        assert after.start_mjd == pytest.approx(before.end_mjd, abs=1e-9)
        step = (after.ra_deg - before.ra_deg) * np.cos(np.radians(before.dec_deg))
        assert step == pytest.approx(1.292 * np.cos(np.radians(55.6)), abs=0.003)


def test_names_tell_the_first_integration(groups) -> None:
    for group in groups:
        assert group.group == group_name(integration_mids(group)[0])
        assert find_group(groups, group.group) is group
    with pytest.raises(ContimgError, match="not in the simulated schedule"):
        find_group(groups, "20200101T000000")


def test_the_tile_centre_is_what_transits(groups) -> None:
    """The direction in the Earth-fixed frame is an independent check."""
    from astropy.coordinates import ITRS, SkyCoord
    from astropy.time import Time

    group = groups[0]
    sky = SkyCoord(group.ra_deg, group.dec_deg, unit="deg")
    frame = ITRS(obstime=Time(group.mid_mjd, format="mjd"), location=array.location())
    there = sky.transform_to(frame).spherical
    assert there.lon.wrap_at("180d").deg == pytest.approx(array.TEE_LON_DEG, abs=3e-4)
    assert there.lat.deg == pytest.approx(group.dec_app_deg, abs=3e-4)


def test_channels_descend_from_the_upper_edge(groups) -> None:
    channels = subband_channels(groups[0], 48)
    assert channels.shape == (16, 48) and np.all(np.diff(channels.ravel()) < 0)
    assert channels[0, 0] / 1e6 == pytest.approx(1498.628, abs=1e-3)
    assert channels[15, 47] / 1e6 == pytest.approx(1311.372, abs=1e-3)
    assert -np.diff(channels.ravel()) == pytest.approx(244140.625)


def test_the_sky_is_reproducible_and_unblended(groups) -> None:
    sky = make_sky(SMALL, groups)
    pd.testing.assert_frame_equal(sky, make_sky(SMALL, groups))
    assert sky["kind"].value_counts().to_dict() == {
        "calibrator": 1,
        "ese": 1,
        "variable": 1,
        "field": 40,
    }
    assert sky["name"].is_unique and sky["name"][0] == "J0834+5534"
    ra, dec = np.radians(sky["ra_deg"].to_numpy()), np.radians(sky["dec_deg"].to_numpy())
    apart = separation(ra[:, None], dec[:, None], ra, dec)[np.triu_indices(len(sky), 1)]
    assert np.degrees(apart.min()) * 3600 >= SMALL.min_separation_arcsec
    to_calibrator = np.degrees(separation(ra, dec, ra[0], dec[0]))
    assert np.all((to_calibrator[1:3] > 0.25) & (to_calibrator[1:3] < 0.55))
    field = sky[sky["kind"] == "field"]["flux_jy"]
    assert field.between(SMALL.flux_min_jy, SMALL.flux_max_jy).all()
    other = make_sky(SMALL.model_copy(update={"seed": 2}), groups)
    assert not np.allclose(other["ra_deg"][3:], sky["ra_deg"][3:])


def test_a_field_across_zero_hours() -> None:
    simulate = SMALL.model_copy(update={"calibrator_ra_deg": 0.05, "calibrator_dec_deg": 16.0})
    sky = make_sky(simulate, schedule(simulate, INSTRUMENT))
    assert sky["ra_deg"].between(0, 360, inclusive="left").all()
    assert (sky["ra_deg"] > 350).any() and (sky["ra_deg"] < 10).any()
    assert not sky["ra_deg"].between(10, 350).any()


def test_too_many_sources_are_an_error(groups) -> None:
    crowded = SMALL.model_copy(update={"min_separation_arcsec": 3600.0})
    with pytest.raises(ContimgError, match="no room"):
        make_sky(crowded, groups)


def test_counts_follow_the_slope(groups) -> None:
    many = SMALL.model_copy(update={"field_sources": 3000, "min_separation_arcsec": 0.0})
    flux = make_sky(many, groups)["flux_jy"][3:]
    ratio = (flux > 0.02).sum() / (flux > 0.04).sum()
    assert ratio == pytest.approx(2**0.9, rel=0.12)


def test_names_are_made_unique() -> None:
    assert unique_names([128.73, 128.73, 128.73], [55.57, 55.57, 55.57]) == [
        "J0834+5534",
        "J083455+553412",
        "J083455+553412a",
    ]


def test_flux_factors() -> None:
    mid = transit_of_epoch(SMALL, 0) + SMALL.ese_mid_epoch * SMALL.cadence_days
    freq = np.linspace(1.32e9, 1.49e9, 7)
    for days in (0.0, 1.7, -2.4, 4.0):
        expected = [
            float(smoothed_gain(days / SMALL.ese_time_days, a, SMALL.ese_source_size))
            for a in alpha_at(freq, SMALL.ese_alpha, 1.405e9)
        ]
        assert flux_factor(SMALL, "ese", mid + days, freq) == pytest.approx(expected, rel=2e-3)
    assert flux_factor(SMALL, "ese", mid, 1.405e9)[0] == pytest.approx(1 / 6, rel=0.02)
    assert np.all(flux_factor(SMALL, "ese", mid + 100, freq) == 1)
    start = transit_of_epoch(SMALL, 0)
    assert flux_factor(SMALL, "variable", start + 7.3 / 4, freq) == pytest.approx(1.2)
    assert np.all(flux_factor(SMALL, "field", mid, freq) == 1)


def test_the_data_hold_the_lensed_flux(tmp_path) -> None:
    """Autocorrelations of a noise-free sky with nothing but the lensed source in it."""
    simulate = SMALL.model_copy(
        update={
            **{"noise": False, "rfi": False, "gain_rms": 0.0, "gain_drift_rms": 0.0},
            **{"bandpass_rms": 0.0, "raw_scale": 1.0, "antenna_step": 20, "outriggers": 0},
            **{"n_times": 2, "channels_per_subband": 4, "dead_antennas": [], "ese_mid_epoch": 1.0},
        }
    )
    instrument = InstrumentOptions(subbands=1)
    groups = schedule(simulate, instrument)
    sky = make_sky(simulate, groups)
    sky = sky[sky["kind"] == "ese"].reset_index(drop=True)
    import h5py

    amplitude = []
    for group in groups[:2]:
        entry = simulate_group(tmp_path, group, sky, instrument, simulate)[0]
        with h5py.File(entry["path"]) as file:
            amplitude.append(np.abs(file["Data/visdata"][0, 0, :, 0]))
    freq = subband_channels(groups[0], 4)[0]
    expected = true_flux(simulate, sky, groups[1].mid_mjd, freq)
    expected = expected / true_flux(simulate, sky, groups[0].mid_mjd, freq)
    assert expected.max() < 0.3
    # the beam is not quite the same in both tiles: epochs differ by nutation and whole seconds
    assert amplitude[1] / amplitude[0] == pytest.approx(expected[0], rel=3e-3)


def test_the_commands(tmp_path, capsys) -> None:
    """Catalogue and truth, then one group with manifest and record; all read back."""
    flags = ["--epochs=2", "--field-sources=5", "--antenna-step=12", "--outriggers=2"]
    flags += ["--subbands=2", "--channels-per-subband=4", "--n-times=4"]
    catalog, truth = tmp_path / "catalog.csv", tmp_path / "truth.parquet"
    made = ["--catalog", str(catalog)]
    assert main(["simulate-sky", *made, "--truth", str(truth), *flags]) == 0
    sky, rows = read_sources(catalog), pd.read_parquet(truth)
    assert len(sky) == 8 and len(rows) == 8 * 4
    assert set(rows.columns) == {
        *("source", "kind", "group", "mjd", "ra_deg", "dec_deg"),
        *("flux_jy", "flux_factor", "pb"),
    }
    constant = rows[rows.kind.isin(["field", "calibrator"])]
    assert (constant.flux_factor == 1).all()
    assert constant.groupby("source").flux_jy.nunique().eq(1).all()
    assert rows.pb.between(0, 1).all()
    assert (rows[rows.kind == "calibrator"].pb > 0.75).all()

    name = rows["group"].iloc[-1]
    manifest, record = tmp_path / "m.json", tmp_path / "r.json"
    made += ["--out-dir", str(tmp_path / "raw"), "--group", name]
    arguments = ["simulate", *made, "--manifest", str(manifest), "--record", str(record), *flags]
    assert main(arguments) == 0
    group, entries = read_manifest(manifest)
    assert group.group == name and record.exists()
    assert [e["freq_min_hz"] for e in entries] == [1311.25e6, 1405e6]
    assert [e["freq_max_hz"] for e in entries] == [1405e6, 1498.75e6]
    first = {p.name: p.read_bytes() for p in (tmp_path / "raw").iterdir()}
    assert len(first) == 2
    assert main(arguments) == 0
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "raw").iterdir()}
    assert main(["simulate", *made[:-1], "20200101T000000", *flags]) == 1
    assert "not in the simulated schedule" in capsys.readouterr().err
