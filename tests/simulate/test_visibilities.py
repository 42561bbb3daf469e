"""Single sources and blank skies, against independent calculations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord

from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines, separation
from contimg.core.groups import Group
from contimg.core.instrument import InstrumentOptions
from contimg.simulate import array
from contimg.simulate.command import simulate_group
from contimg.simulate.instrument import gains
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import schedule, subband_channels

CLEAN = {
    "epochs": 1,
    "wide_epochs": [],
    "antenna_step": 12,
    "outriggers": 5,
    "channels_per_subband": 8,
    "n_times": 4,
    "noise": False,
    "rfi": False,
    "fringe_smearing": False,
    "gain_rms": 0.0,
    "gain_drift_rms": 0.0,
    "gain_phases": False,
    "delay_rms_ns": 0.0,
    "bandpass_rms": 0.0,
    "dead_antennas": [],
    "raw_scale": 1.0,
}
INSTRUMENT = InstrumentOptions(subbands=2)


def one_source(group: Group, east_deg: float, north_deg: float, flux: float = 2.0) -> pd.DataFrame:
    """A flat-spectrum source offset from the centre of a tile."""
    centre = SkyCoord(group.ra_deg, group.dec_deg, unit="deg")
    there = centre.spherical_offsets_by(
        east_deg * centre.ra.unit * 1.0, north_deg * centre.ra.unit * 1.0
    )
    return pd.DataFrame(
        {
            "name": ["A"],
            "ra_deg": [there.ra.deg],
            "dec_deg": [there.dec.deg],
            "flux_jy": [flux],
            "ref_freq_hz": [1.4e9],
            "spectral_index": [0.0],
            "log_poly": [""],
            "kind": ["field"],
        }
    )


def read(path):
    """One file through pyuvdata, uvw in double precision."""
    from pyuvdata import UVData

    data = UVData()
    data.read(path, file_type="uvh5", run_check=False)
    data.uvw_array = data.uvw_array.astype(float)
    return data


def observe(tmp_path, sky, group, simulate):
    """Files of a group, ascending in frequency, read by pyuvdata."""
    entries = simulate_group(tmp_path, group, sky, INSTRUMENT, simulate)
    return [read(entry["path"]) for entry in entries]


def test_phases_of_a_source_off_axis(tmp_path) -> None:
    """pyuvdata rotates to an ICRS centre; the source must be where its l, m, n say."""
    simulate = SimulateOptions(**CLEAN)
    group = schedule(simulate, INSTRUMENT)[0]
    sky = one_source(group, 0.5, 0.4)
    data = observe(tmp_path, sky, group, simulate)[0]
    # the instrument points north of the zenith here
    data.phase_center_catalog[0].update(
        cat_type="driftscan",
        cat_lon=0.0,
        cat_lat=np.pi / 2 - np.radians(group.dec_app_deg - group.latitude_deg),
        cat_frame="altaz",
        cat_epoch=2000.0,
    )
    data._set_app_coords_helper()
    centre = np.radians([group.ra_deg, group.dec_deg])
    data.phase(
        lon=centre[0],
        lat=centre[1],
        cat_name="centre",
        phase_frame="icrs",
        use_ant_pos=True,
    )
    l, m, n = direction_cosines(
        np.radians(sky.ra_deg[0]), np.radians(sky.dec_deg[0]), centre[0], centre[1]
    )
    cross = data.ant_1_array != data.ant_2_array
    turns = data.uvw_array @ [l, m, n - 1]
    model = np.exp(2j * np.pi * turns[:, None] * data.freq_array / C_M_S)
    seen = data.data_array[..., 0]
    residual = np.angle(seen * np.conj(model))[cross]
    assert np.ptp(np.angle(model)) > 6  # a real test: phases all around the circle
    # Differential aberration, up to 20 arcsec x 1 deg in radians = 0.35 arcsec, is not in l and m;
    # 0.2 arcsec are 0.013 turns on 2.7 km.
    assert np.abs(residual).max() < 0.08
    assert residual.std() < 0.035


def test_source_at_the_pointing_has_no_phase_at_transit(tmp_path) -> None:
    simulate = SimulateOptions(**CLEAN | {"n_times": 5})
    group = schedule(simulate, INSTRUMENT)[0]
    data = observe(tmp_path, one_source(group, 0, 0), group, simulate)[0]
    middle = data.data_array.reshape(5, -1, 8, 2)[2]
    assert np.abs(np.angle(middle)).max() < 2e-3
    assert np.abs(middle) == pytest.approx(2.0, rel=1e-4)


def test_amplitude_follows_the_beam_as_the_source_drifts(tmp_path) -> None:
    simulate = SimulateOptions(**CLEAN)
    group = schedule(simulate, INSTRUMENT)[0]
    sky = one_source(group, 0.9, -0.2)
    beam = PrimaryBeam(INSTRUMENT)
    for data in observe(tmp_path, sky, group, simulate):
        # apparent place by pyuvdata, not by the simulator
        from pyuvdata.utils.phasing import calc_app_coords

        times = np.unique(data.time_array)
        lst = data.lst_array.reshape(times.size, -1)[:, 0]
        ra, dec = calc_app_coords(
            lon_coord=np.radians(sky.ra_deg[0]),
            lat_coord=np.radians(sky.dec_deg[0]),
            coord_frame="icrs",
            time_array=times,
            telescope_loc=group.location,
        )
        offset = separation(lst - ra, dec, 0, np.radians(group.dec_app_deg))
        expected = 2.0 * beam.power(offset[:, None], data.freq_array)
        amplitude = np.abs(data.data_array).reshape(times.size, -1, data.Nfreqs, 2)
        assert amplitude == pytest.approx(
            np.broadcast_to(expected[:, None, :, None], amplitude.shape), rel=2e-4
        )
        assert np.all(np.diff(amplitude[:, 0, 0, 0]) > 0)  # it comes from the east


def test_both_feeds_see_stokes_i(tmp_path) -> None:
    simulate = SimulateOptions(**CLEAN)
    group = schedule(simulate, INSTRUMENT)[0]
    data = observe(tmp_path, one_source(group, 0.1, 0.1), group, simulate)[0]
    assert np.array_equal(data.data_array[..., 0], data.data_array[..., 1])
    auto = data.ant_1_array == data.ant_2_array
    assert np.abs(data.data_array[auto].imag).max() < 1e-6


def test_smearing_is_the_mean_over_integration_and_channel(tmp_path) -> None:
    """Against many short integrations and narrow channels that make up the long and wide ones."""
    wide, narrow = {"channels_per_subband": 80}, {"channels_per_subband": 480}
    long = SimulateOptions(**CLEAN | wide | {"fringe_smearing": True, "n_times": 1})
    short = {"n_times": 32, "integration_s": long.integration_s / 32}
    short = SimulateOptions(**CLEAN | narrow | short)
    group = schedule(long, INSTRUMENT)[0]
    # the same span of time in 32 steps, all phased to the centre of the middle
    sky = one_source(group, 1.0, 0.5)
    smeared = observe(tmp_path / "long", sky, group, long)[1].data_array[:, :, 0]
    fine_group = Group(
        **{**group.__dict__, "n_times": 32, "integration_s": long.integration_s / 32}
    )
    fine = observe(tmp_path / "short", sky, fine_group, short)[1]
    parts = fine.data_array[..., 0].reshape(32, -1, 480)
    # turn the phase centre of every part from the meridian to the position in mid-transit
    positions = array.meridian_offsets()
    baseline = positions[fine.ant_2_array] - positions[fine.ant_1_array]
    lst = fine.lst_array.reshape(32, -1)
    hour_angle = (lst - lst.mean(axis=0)).ravel()
    dec = np.radians(group.dec_app_deg)
    towards = np.cos(dec) * np.stack(
        [np.cos(hour_angle) - 1, -np.sin(hour_angle), 0 * hour_angle], axis=1
    )
    turns = (baseline * towards).sum(axis=1)[:, None] * fine.freq_array / C_M_S
    averaged = (parts * np.exp(-2j * np.pi * turns).reshape(parts.shape)).mean(axis=0)
    averaged = averaged.reshape(-1, 80, 6).mean(axis=-1)
    assert np.abs(averaged).min() < 0.97 * np.abs(averaged).max()
    assert np.abs(smeared - averaged).max() < 4e-3 * np.abs(averaged).max()


def test_noise_level(tmp_path) -> None:
    simulate = SimulateOptions(**CLEAN | {"noise": True, "n_times": 24})
    group = schedule(simulate, INSTRUMENT)[0]
    data = observe(tmp_path, one_source(group, 0, 0, flux=1e-9), group, simulate)[0]
    width = 187.5e6 / 16
    expected = 6500 / np.sqrt(2 * width * 12.884901888)
    cross = data.data_array[data.ant_1_array != data.ant_2_array]
    assert cross.real.std() == pytest.approx(expected, rel=0.02)
    assert cross.imag.std() == pytest.approx(expected, rel=0.02)
    assert abs(np.corrcoef(cross[..., 0].real.ravel(), cross[..., 1].real.ravel())[0, 1]) < 0.02
    auto = data.data_array[data.ant_1_array == data.ant_2_array]
    assert auto.real.mean() == pytest.approx(6500, rel=1e-3)
    assert auto.real.std() == pytest.approx(np.sqrt(2) * expected, rel=0.1)
    assert not auto.imag.any()


def test_gains_dead_antennas_and_scale(tmp_path) -> None:
    """Raw data = scale conj(g_p) g_q V, with the gains that `gains` tells."""
    settings = CLEAN | {
        "gain_rms": 0.15,
        "gain_phases": True,
        "delay_rms_ns": 8.0,
        "bandpass_rms": 0.1,
        "raw_scale": 0.01,
        "dead_antennas": [14],
    }
    simulate = SimulateOptions(**settings)
    group = schedule(simulate, INSTRUMENT)[0]
    sky = one_source(group, 0.1, 0.0)
    clean = observe(tmp_path / "clean", sky, group, SimulateOptions(**CLEAN))[0]
    raw = observe(tmp_path / "raw", sky, group, simulate)[0]
    gain = gains(simulate, group, subband_channels(group, 8)[1])
    expected = 0.01 * np.conj(gain[raw.ant_1_array]) * gain[raw.ant_2_array]
    expected = np.moveaxis(expected, 1, 2) * clean.data_array
    assert raw.data_array == pytest.approx(expected, abs=2e-7)
    dead = (raw.ant_1_array == 13) | (raw.ant_2_array == 13)
    assert dead.any() and not raw.data_array[dead].any() and raw.data_array[~dead].all()


def test_gains_are_reproducible_and_drift_between_epochs() -> None:
    simulate = SimulateOptions(epochs=2, wide_epochs=[0])
    groups = schedule(simulate, INSTRUMENT)
    freq = subband_channels(groups[0], 8).ravel()
    first, second = gains(simulate, groups[0], freq), gains(simulate, groups[1], freq)
    assert np.array_equal(first, second)  # one epoch
    later = gains(simulate, groups[3], freq)
    working = np.arange(117) != 43
    change = np.abs(later[working] / first[working] - 1)
    assert 0.005 < np.median(change) < 0.1
    assert not np.array_equal(
        gains(simulate.model_copy(update={"seed": 2}), groups[0], freq), first
    )
    assert not first[43].any()


def test_interference_is_in_the_data(tmp_path) -> None:
    simulate = SimulateOptions(**CLEAN | {"rfi": True, "n_times": 24})
    group = schedule(simulate, INSTRUMENT)[0]
    files = observe(tmp_path, one_source(group, 0, 0), group, simulate)
    amplitude = np.concatenate(
        [np.abs(f.data_array[..., 0]).reshape(24, -1, 8).min(axis=1) for f in files], axis=1
    )
    hit = amplitude > 20
    assert 0.02 < hit.mean() < 0.3
    assert (hit.sum(axis=1) > 4).sum() == 1  # the burst
